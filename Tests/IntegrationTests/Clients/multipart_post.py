"""Uploads files with requests, each as multipart/form-data with a boundary made for it: URL FILE…. Prints JSON."""

import json
import sys

import requests

answers = []
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        answer = requests.post(
            sys.argv[1], data={"order": "7"},
            files={"file": ("scan.bin", file, "application/octet-stream")}, timeout=30)
    answers.append({
        "status": answer.status_code,
        "replayed": answer.headers.get("Idempotent-Replayed"),
        "boundary": answer.request.headers["Content-Type"],
    })
print(json.dumps(answers))
