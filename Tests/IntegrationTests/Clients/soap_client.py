"""Orders through zeep, as a program does that was written against the WSDL: URL SECURITY READ_TIMEOUT ITEM QUANTITY…

SECURITY is none, timestamp (a wsu:Timestamp made for each call), or digest (a password digest with a nonce).
Every call gets a wsa:MessageID of its own; what urllib3 repeats after the time-out is the same message.
Prints a JSON list with an object for each call: result or fault, and the marker of a replay.
"""

import datetime
import json
import sys

import requests
from lxml import etree
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry
from zeep import Client, Plugin
from zeep.exceptions import Fault
from zeep.transports import Transport
from zeep.wsa import WsAddressingPlugin
from zeep.wsse import utils
from zeep.wsse.username import UsernameToken

url, security, timeout = sys.argv[1], sys.argv[2], float(sys.argv[3])
calls = list(zip(sys.argv[4::2], sys.argv[5::2]))


def timestamp():
    now = datetime.datetime.now(datetime.timezone.utc)
    token = utils.WSU.Timestamp()
    token.extend([
        utils.WSU.Created(now.isoformat(timespec="microseconds")),
        utils.WSU.Expires((now + datetime.timedelta(minutes=5)).isoformat(timespec="microseconds")),
    ])
    return token


class Seen(Plugin):
    """Keeps what came and went."""

    def egress(self, envelope, http_headers, operation, binding_options):
        self.envelope = etree.tostring(envelope).decode()
        return envelope, http_headers


class Marking(Transport):
    def post(self, *arguments, **named):
        answer = super().post(*arguments, **named)
        self.marker = answer.headers.get("Idempotent-Replayed")
        return answer


seen = Seen()
session = requests.Session()
session.mount("http://", HTTPAdapter(max_retries=Retry(
    total=20, backoff_factor=0.05, backoff_max=0.5, allowed_methods=None, status_forcelist=[409, 502, 503, 504])))
results = []
envelopes = set()
for item, quantity in calls:
    wsse = None
    if security == "timestamp":
        wsse = UsernameToken("shop", "secret", timestamp_token=timestamp())
    elif security == "digest":
        wsse = UsernameToken("shop", "secret", use_digest=True)
    transport = Marking(session=session, operation_timeout=timeout)
    client = Client(f"{url}/?wsdl", transport=transport, wsse=wsse, plugins=[WsAddressingPlugin(), seen])
    service = client.create_service("{urn:example:orders}Application", f"{url}/")
    result = {"fault": None, "result": None}
    try:
        result["result"] = service.PlaceOrder(item, int(quantity))
    except Fault as fault:
        result["fault"] = fault.message
    result["replayed"] = transport.marker
    envelopes.add(seen.envelope)
    results.append(result)
assert len(envelopes) == len(calls), "each call is a message of its own"
print(json.dumps(results))
