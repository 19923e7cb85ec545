#!/usr/bin/env python3
"""A small legacy order service: real orders in a file, and no idempotency. Standard library only.

    POST /orders            appends an order and answers 201 with it; every call makes another order
    POST /orders?delay_ms=N the same, answered N milliseconds after the order was stored
    POST /orders?drop=1     stores the order and closes the connection without an answer
    GET  /orders            all orders
    GET  /orders/N          one order
    GET  /healthz           200
"""

import argparse
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

BODY_BYTES_MAX = 1 << 20


class OrderFile:
    """Orders as JSON lines; the number of an order is its line."""

    def __init__(self, path):
        self.path = path
        self.lock = threading.Lock()
        open(path, "a").close()

    def append(self, details):
        with self.lock:
            number = len(self.all()) + 1
            order = {"order": number, "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **details}
            with open(self.path, "a") as file:
                file.write(json.dumps(order) + "\n")
            return order

    def all(self):
        with open(self.path) as file:
            return [json.loads(line) for line in file]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "order-service"
    timeout = 75

    def do_GET(self):
        path = urlsplit(self.path).path
        orders = self.server.orders.all()
        if path == "/orders":
            self.answer(200, {"count": len(orders), "orders": orders})
        elif path == "/healthz":
            self.answer(200, {"status": "ok"})
        elif path.startswith("/orders/") and path[8:].isdigit() and 1 <= int(path[8:]) <= len(orders):
            self.answer(200, orders[int(path[8:]) - 1])
        else:
            self.answer(404, {"error": "no such resource"})

    def do_POST(self):
        target = urlsplit(self.path)
        options = parse_qs(target.query)
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self.answer(411 if not length else 413, {"error": "a Content-Length up to 1 MiB is needed"})
            return
        body = self.rfile.read(int(length))
        if target.path != "/orders":
            self.answer(404, {"error": "no such resource"})
            return
        try:
            details = json.loads(body)
            if not isinstance(details, dict):
                raise ValueError("an object is needed")
            delay = int(options.get("delay_ms", ["0"])[0])
        except ValueError as error:
            self.answer(400, {"error": str(error)})
            return
        order = self.server.orders.append(details)
        time.sleep(min(max(delay, 0), 600_000) / 1000)
        if options.get("drop") == ["1"]:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.answer(201, order, [("Location", f"/orders/{order['order']}")])

    def answer(self, status, content, fields=()):
        body = json.dumps(content).encode() + b"\n"
        head = [f"HTTP/1.1 {status} {self.responses[status][0]}", f"Date: {self.date_time_string()}",
                f"Server: {self.server_version}", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in fields]
        if self.close_connection:
            head.append("Connection: close")
        self.wfile.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        self.log_request(status, len(body))

    def log_message(self, form, *arguments):
        if self.server.is_verbose:
            print(f"order service: {form % arguments}", file=sys.stderr, flush=True)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--file", default="orders.jsonl", help="where the orders are kept")
    parser.add_argument("--port-file", help="the port is written here once the service answers")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    server = Server((options.host, options.port), Handler)
    server.orders = OrderFile(options.file)
    server.is_verbose = not options.quiet
    port = server.server_address[1]
    if options.port_file:
        with open(options.port_file + ".part", "w") as file:
            file.write(f"{port}\n")
        os.replace(options.port_file + ".part", options.port_file)
    print(f"order service: listening on {options.host}:{port}, orders in {os.path.abspath(options.file)}",
          file=sys.stderr, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
