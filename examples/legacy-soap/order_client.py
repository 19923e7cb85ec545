#!/usr/bin/env python3
"""Orders through zeep, as a shop does that was written against the WSDL, and calls again when no answer comes in time.

    order_client.py URL FIRST COUNT [--name NAME] [--timeout SECONDS] [--attempts N]

Places COUNT orders with the references NAME-FIRST, NAME-FIRST+1, and so on. Each attempt is a new message: zeep gives
it a wsa:MessageID of its own.
"""

import argparse
import sys
import time

import requests
from zeep import Client
from zeep.exceptions import TransportError
from zeep.transports import Transport
from zeep.wsa import WsAddressingPlugin

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("url")
parser.add_argument("first", type=int)
parser.add_argument("count", type=int)
parser.add_argument("--name", default="shop")
parser.add_argument("--timeout", type=float, default=0.5)
parser.add_argument("--attempts", type=int, default=6)
options = parser.parse_args()

transport = Transport(session=requests.Session(), operation_timeout=options.timeout)
client = Client(f"{options.url}/?wsdl", transport=transport, plugins=[WsAddressingPlugin()])
# The WSDL names the service's own address; the shop was told another.
service = client.create_service("{urn:example:orders}Application", f"{options.url}/")

failures = 0
for number in range(options.first, options.first + options.count):
    reference = f"{options.name}-{number}"
    for attempt in range(1, options.attempts + 1):
        try:
            answer = service.PlaceOrder(reference, "book", 1)
        except (requests.exceptions.RequestException, TransportError) as error:
            reason = error.status_code if isinstance(error, TransportError) else type(error).__name__
            print(f"{reference}: no answer to attempt {attempt} ({reason})", flush=True)
            time.sleep(0.2)
        else:
            print(f"{reference}: {answer}" + (f" (attempt {attempt})" if attempt > 1 else ""), flush=True)
            break
    else:
        failures += 1
        print(f"{reference}: given up", flush=True)
sys.exit(1 if failures else 0)
