#!/usr/bin/env python3
"""A legacy order service in SOAP 1.1, made with spyne: every call of PlaceOrder makes an order, whatever came before.

    order_service.py --port N --file ORDERS [--slow-every N] [--slow-seconds S]

Every N-th call is slow: its order is in the books at once, its answer comes S seconds later. That is when clients call
again. An order whose reference begins with "lost" is in the books, too, and its connection is cut instead of answered.
GET /orders?reference=R lists the orders with that reference as JSON, for people and probes.
"""

import argparse
import json
import os
import socket
import threading
import time
from socketserver import ThreadingMixIn
from urllib.parse import parse_qs
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from spyne import Application, Integer, ServiceBase, Unicode, rpc
from spyne.protocol.soap import Soap11
from spyne.server.wsgi import WsgiApplication


class Books:
    """Orders as JSON lines; the number of an order is its line."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        open(path, "a").close()

    def add(self, **order):
        with self.lock:
            number = len(self.all()) + 1
            with open(self.path, "a") as file:
                file.write(json.dumps({"order": number, **order}) + "\n")
            return number

    def all(self):
        with open(self.path) as file:
            return [json.loads(line) for line in file]


class Orders(ServiceBase):
    @rpc(Unicode, Unicode, Integer, _returns=Unicode)
    def PlaceOrder(ctx, reference, item, quantity):
        number = books.add(reference=reference, item=item, quantity=quantity)
        if reference.startswith("lost"):
            ctx.transport.req_env["example.connection"].shutdown(socket.SHUT_RDWR)
        if options.slow_every and number % options.slow_every == 0:
            time.sleep(options.slow_seconds)
        return f"order {number} for {reference}"


soap = WsgiApplication(
    Application([Orders], "urn:example:orders", in_protocol=Soap11(validator="lxml"), out_protocol=Soap11()))


def application(environment, start):
    if environment["REQUEST_METHOD"] != "GET" or environment["PATH_INFO"] != "/orders":
        return soap(environment, start)
    wanted = parse_qs(environment.get("QUERY_STRING", "")).get("reference")
    found = [order for order in books.all() if wanted is None or order["reference"] in wanted]
    start("200 OK" if found else "404 Not Found", [("Content-Type", "application/json")])
    return [json.dumps({"count": len(found), "orders": found}).encode() + b"\n"]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # A client that has left is nothing to write home about.


class QuietHandler(WSGIRequestHandler):
    def get_environ(self):
        return {**super().get_environ(), "example.connection": self.connection}

    def log_message(self, *arguments):
        pass


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--port", type=int, default=0)
parser.add_argument("--port-file", help="gets the number of the port")
parser.add_argument("--file", required=True, help="where the orders are")
parser.add_argument("--slow-every", type=int, default=4, help="0: never")
parser.add_argument("--slow-seconds", type=float, default=1.5)
options = parser.parse_args()
books = Books(options.file)
server = make_server("127.0.0.1", options.port, application, server_class=Server, handler_class=QuietHandler)
if options.port_file:
    with open(options.port_file + ".new", "w") as file:
        file.write(f"{server.server_port}\n")
    os.replace(options.port_file + ".new", options.port_file)
print(f"order service: listening on 127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
