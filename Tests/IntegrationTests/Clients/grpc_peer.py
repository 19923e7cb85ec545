"""gRPC without generated code: messages are plain octets.

  grpc_peer.py serve PORT [CERTIFICATE KEY]   prints one JSON line `{"port": N}`, then one for each call that executed
  grpc_peer.py call  ADDRESS CALLS [CA [NAME]] makes the calls (a JSON list, in turn), prints one JSON line for each

Methods of /oncegate.Test/: Unary (echo; the message `fail:CODE:TEXT` fails, `slow:SECONDS` waits, `held:NAME` waits
for the mark NAME, `large:N` answers N octets), ServerStream (as many messages as the request says), ClientStream
(joins what comes), Both (echo of each).
A call: {"method", "message" | "messages", "metadata": [[name, value]], "timeout", "marks", "server", "ahead"}.

With "marks" (a name, sent as the field x-marks) no message of a stream is sent before an earlier one has come: a
client sends at most "ahead" of them before the other side has taken or answered the first, and ServerStream sends one
at a time. What the other side of the proxy has seen is told by marks NAME/0, NAME/1… which Mark sets and Reached waits
for, on a connection to "server" itself.
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "oncegate.Test"
lock = threading.Lock()
marks = set()
marked = threading.Condition()
MARK_SECONDS = 10


def tell(**message):
    with lock:
        print(json.dumps(message), flush=True)


def executed(method, context, octets):
    tell(method=method, message=octets.decode("latin-1"),
         metadata=[[name, value if isinstance(value, str) else value.decode("latin-1")]
                   for name, value in context.invocation_metadata()])


def mark(name):
    with marked:
        marks.add(name)
        marked.notify_all()


def reached(name, context):
    with marked:
        if not marked.wait_for(lambda: name in marks, MARK_SECONDS):
            context.abort(grpc.StatusCode.INTERNAL, f"no mark {name}")


def set_mark(request, context):
    mark(request.decode())
    return b""


def wait_for_mark(request, context):
    reached(request.decode(), context)
    return b""


def name_of_marks(context):
    return dict(context.invocation_metadata()).get("x-marks")


def unary(request, context):
    executed("Unary", context, request)
    text = request.decode("latin-1")
    if text.startswith("slow:"):
        time.sleep(float(text[5:]))
    if text.startswith("held:"):
        reached(text[5:], context)
    context.send_initial_metadata((("x-initial", "first"), ("x-binary-bin", b"\x00\xff")))
    context.set_trailing_metadata((("x-trailing", "last"), ("x-trailing-bin", b"\x01\xfe")))
    if text.startswith("fail:"):
        _, code, details = text.split(":", 2)
        context.abort(getattr(grpc.StatusCode, code), details)
    if text.startswith("large:"):
        return b"x" * int(text[6:])
    return b"echo " + request


def server_stream(request, context):
    executed("ServerStream", context, request)
    name = name_of_marks(context)
    for number in range(int(request)):
        yield f"part {number}".encode()
        if name:
            reached(f"{name}/{number}", context)


def client_stream(requests, context):
    taken = []
    for request in requests:
        mark(f"{name_of_marks(context)}/{len(taken)}")
        taken.append(request)
    joined = b",".join(taken)
    executed("ClientStream", context, joined)
    return joined


def both(requests, context):
    for request in requests:
        executed("Both", context, request)
        yield b"echo " + request


def serve(port, certificate=None, key=None):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream),
        "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
        "Both": grpc.stream_stream_rpc_method_handler(both),
        "Mark": grpc.unary_unary_rpc_method_handler(set_mark),
        "Reached": grpc.unary_unary_rpc_method_handler(wait_for_mark),
    })])
    address = f"127.0.0.1:{port}"
    if certificate:
        credentials = grpc.ssl_server_credentials([(open(key, "rb").read(), open(certificate, "rb").read())])
        port = server.add_secure_port(address, credentials)
    else:
        port = server.add_insecure_port(address)
    server.start()
    tell(port=port)
    server.wait_for_termination()


def readable(metadata):
    return [[name, value if isinstance(value, str) else value.decode("latin-1")] for name, value in metadata or ()]


class Marks:
    """What the two sides have seen of one stream, beside the proxy."""

    def __init__(self, request):
        self.name = request.get("marks")
        self.ahead = request.get("ahead", 1)
        self.channel = grpc.insecure_channel(request["server"]) if self.name else None
        self.answers = 0
        self.answered = threading.Condition()

    def run(self, method, number):
        self.channel.unary_unary(f"/{SERVICE}/{method}")(f"{self.name}/{number}".encode(), timeout=MARK_SECONDS)

    def answer_came(self):
        with self.answered:
            self.answers += 1
            self.answered.notify_all()

    def spaced(self, messages, waits):
        """Each message, once `waits(number)` has seen the one `ahead` before it."""
        for number, message in enumerate(messages):
            if self.name and number >= self.ahead:
                waits(number - self.ahead)
            yield message.encode("latin-1")

    def taken(self, number):
        self.run("Reached", number)

    def answered_to(self, number):
        with self.answered:
            if not self.answered.wait_for(lambda: self.answers > number, MARK_SECONDS):
                raise TimeoutError(f"no answer {number} before the message {number + self.ahead}")


def call(channel, request):
    path = f"/{SERVICE}/{request['method']}"
    metadata = [tuple(pair) for pair in request.get("metadata", [])]
    marks = Marks(request)
    if marks.name:
        metadata.append(("x-marks", marks.name))
    options = {"metadata": metadata, "timeout": request.get("timeout", 15)}
    result = {"messages": []}
    try:
        if request["method"] in ("Unary", "Mark"):
            call = channel.unary_unary(path).future(request["message"].encode("latin-1"), **options)
            result["messages"] = [call.result()]
        elif request["method"] == "ServerStream":
            call = channel.unary_stream(path)(request["message"].encode("latin-1"), **options)
            for number, message in enumerate(call):
                result["messages"].append(message)
                if marks.name:
                    marks.run("Mark", number)
        elif request["method"] == "ClientStream":
            call = channel.stream_unary(path).future(marks.spaced(request["messages"], marks.taken), **options)
            result["messages"] = [call.result()]
        else:
            call = channel.stream_stream(path)(marks.spaced(request["messages"], marks.answered_to), **options)
            for message in call:
                result["messages"].append(message)
                marks.answer_came()
    except grpc.RpcError:
        pass
    result["messages"] = [message.decode("latin-1") for message in result["messages"]]
    result |= {"code": call.code().name, "details": call.details(), "initial": readable(call.initial_metadata()),
               "trailing": readable(call.trailing_metadata())}
    tell(**result)


def make_calls(address, calls, ca=None, name=None):
    options = [("grpc.enable_retries", 0)]
    if ca:
        credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
        options += [("grpc.ssl_target_name_override", name or "service.test")]
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options + [("grpc.default_authority", "service.test")])
    with channel:
        for request in json.loads(calls):
            call(channel, request)


if sys.argv[1] == "serve":
    serve(*sys.argv[2:])
else:
    make_calls(*sys.argv[2:])
