"""gRPC without generated code: messages are plain octets.

  grpc_peer.py serve PORT [CERTIFICATE KEY]   prints one JSON line `{"port": N}`, then one for each call that executed
  grpc_peer.py call  ADDRESS CALLS [CA [NAME]] makes the calls (a JSON list, in turn), prints one JSON line for each

Methods of /oncegate.Test/: Unary (echo; the message `fail:CODE:TEXT` fails, `slow:SECONDS` waits, `large:N` answers N
octets), ServerStream (as many messages as the request says), ClientStream (joins what comes), Both (echo of each).
A call: {"method", "message" | "messages", "metadata": [[name, value]], "timeout", "gap"}.
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "oncegate.Test"
lock = threading.Lock()


def tell(**message):
    with lock:
        print(json.dumps(message), flush=True)


def executed(method, context, octets):
    tell(method=method, message=octets.decode("latin-1"),
         metadata=[[name, value if isinstance(value, str) else value.decode("latin-1")]
                   for name, value in context.invocation_metadata()])


def unary(request, context):
    executed("Unary", context, request)
    text = request.decode("latin-1")
    if text.startswith("slow:"):
        time.sleep(float(text[5:]))
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
    for number in range(int(request)):
        yield f"part {number}".encode()


def client_stream(requests, context):
    joined = b",".join(requests)
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


def spaced(messages, gap):
    for number, message in enumerate(messages):
        if number and gap:
            time.sleep(gap)
        yield message.encode("latin-1")


def call(channel, request):
    path = f"/{SERVICE}/{request['method']}"
    metadata = [tuple(pair) for pair in request.get("metadata", [])]
    options = {"metadata": metadata, "timeout": request.get("timeout", 15)}
    result = {"messages": []}
    try:
        if request["method"] == "Unary":
            call = channel.unary_unary(path).future(request["message"].encode("latin-1"), **options)
            result["messages"] = [call.result()]
        elif request["method"] == "ServerStream":
            call = channel.unary_stream(path)(request["message"].encode("latin-1"), **options)
            result["messages"] = list(call)
        elif request["method"] == "ClientStream":
            call = channel.stream_unary(path).future(spaced(request["messages"], request.get("gap")), **options)
            result["messages"] = [call.result()]
        else:
            call = channel.stream_stream(path)(spaced(request["messages"], request.get("gap")), **options)
            result["messages"] = list(call)
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
