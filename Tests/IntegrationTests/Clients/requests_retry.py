"""POST with a key through requests and urllib3's Retry: URL KEY [READ_TIMEOUT]. Prints the last answer as JSON."""

import json
import sys

import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

url, key = sys.argv[1], sys.argv[2]
timeout = float(sys.argv[3]) if len(sys.argv) > 3 else 30.0
retry = Retry(
    total=8,
    backoff_factor=0.1,
    allowed_methods=None,
    status_forcelist=[409, 502, 503, 504],
    respect_retry_after_header=True,
)
session = requests.Session()
session.mount("http://", HTTPAdapter(max_retries=retry))
answer = session.post(url, json={"amount": 1}, headers={"Idempotency-Key": key}, timeout=(5, timeout))
print(json.dumps({
    "status": answer.status_code,
    "replayed": answer.headers.get("Idempotent-Replayed"),
    "body": answer.text,
}))
