"""An order service in SOAP 1.1 made with spyne, which knows no idempotency: [SECONDS that each order takes].

Prints `port N` at its start and a line for each order: it is what the service has done.
"""

import sys
import time
from wsgiref.simple_server import WSGIRequestHandler, make_server

from spyne import Application, Fault, Integer, ServiceBase, Unicode, rpc
from spyne.protocol.soap import Soap11
from spyne.server.wsgi import WsgiApplication

seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0
orders = 0


class Orders(ServiceBase):
    @rpc(Unicode, Integer, _returns=Unicode)
    def PlaceOrder(ctx, item, quantity):
        global orders
        orders += 1
        print(f"order-{orders} {quantity} {item}", flush=True)
        time.sleep(seconds)
        if item == "unicorn":
            raise Fault("Client.OutOfStock", f"order-{orders}: none left")
        return f"order-{orders}"


class QuietHandler(WSGIRequestHandler):
    def log_message(self, *arguments):
        pass


application = Application(
    [Orders], "urn:example:orders", in_protocol=Soap11(validator="lxml"), out_protocol=Soap11())
server = make_server("127.0.0.1", 0, WsgiApplication(application), handler_class=QuietHandler)
print(f"port {server.server_port}", flush=True)
server.serve_forever()
