"""An HTTPS service that reads a request, counts it, and only then sends the TLS alert bad_certificate.

  late_alert.py MANNER CERTIFICATE KEY   prints `{"port": N}`, then a line `{"executed": TARGET}` for each request

MANNER: `ticket` (TLS 1.3, a session ticket before the alert), `tls12` (TLS 1.2), `interim` (TLS 1.3 without tickets,
an answer 103 before the alert). No other library here sends an alert when it is told to.
"""

import json
import os
import socket
import sys
import threading

from tlslite.api import HandshakeSettings, TLSConnection, X509CertChain, parsePEMKey
from tlslite.constants import AlertDescription, AlertLevel
from tlslite.messages import Alert

manner, certificate, key = sys.argv[1:]
chain = X509CertChain()
chain.parsePemList(open(certificate).read())
private_key = parsePEMKey(open(key).read(), private=True)


def tell(**message):
    print(json.dumps(message), flush=True)


def settings():
    made = HandshakeSettings()
    made.minVersion = (3, 3)
    made.maxVersion = (3, 3) if manner == "tls12" else (3, 4)
    made.ticketKeys = [os.urandom(32)] if manner == "ticket" else []
    made.ticket_count = 1 if manner == "ticket" else 0
    return made


def serve(raw):
    connection = TLSConnection(raw)
    connection.handshakeServer(certChain=chain, privateKey=private_key, settings=settings(), alpn=[b"http/1.1"])
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(65536)
    head, body = received.split(b"\r\n\r\n", 1)
    lengths = [line.split(b":")[1] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < int(lengths[0]):
        body += connection.recv(65536)
    tell(executed=head.split(b" ")[1].decode())
    if manner == "interim":
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
    for _ in connection._sendMsg(Alert().create(AlertDescription.bad_certificate, AlertLevel.fatal)):
        pass
    raw.close()


with socket.create_server(("127.0.0.1", 0)) as listener:
    tell(port=listener.getsockname()[1])
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
