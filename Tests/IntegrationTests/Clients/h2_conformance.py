"""RFC 9113 and RFC 7541, case by case, by hand-made frames: HOST PORT [--tls] [--path PATH] [CASE ...]

In the manner of h2spec, whose program this machine cannot get. Every case has a connection of its own, the section it is
about, and the outcomes that the RFC allows; one JSON line each: `case`, `section`, `happened`, `ok`. As there, an end
of the connection without a GOAWAY stands for any connection error.
"""

import argparse

from h2_wire import *  # noqa: F403

CASES = []


def goaway(*names):
    return {f"goaway:{name}" for name in names} | {"closed"}


def either(*names):
    """A stream error may be a connection error of the same kind."""
    return {f"reset:{name}" for name in names} | goaway(*names)


PROTOCOL, SIZE, FLOW = "PROTOCOL_ERROR", "FRAME_SIZE_ERROR", "FLOW_CONTROL_ERROR"
ANSWERED = {"status:200", "status:201", "status:404"}
MALFORMED = either(PROTOCOL) | {"status:400"}


def case(section, name, expected):
    def keep(act):
        CASES.append((section, name, expected, act))
        return act
    return keep


def answered(wire, **more):
    stream = wire.open(wire.target.request("GET", None, *more.pop("fields", ())), **more)
    wire.until(lambda: stream in wire.ended or wire.is_over())
    return stream


def simple(section, name, expected, *frames, requests=False, upload=False):
    """Frames sent after the handshake; `S` in them is a stream that is open, or whose answer is complete."""
    def act(wire):
        stream = 0
        if upload:
            stream = wire.open(wire.target.post(path=wire.target.path), end=False)
            wire.barrier()
        elif requests:
            stream = answered(wire)
        wire.statuses.pop(stream, None)
        wire.send(*[each(wire, stream) if callable(each) else each for each in frames])
        if expected & ANSWERED:
            return answered(wire)
        return stream
    CASES.append((section, name, expected, act))


# §3.4, §4


@case("3.4", "an invalid preface", goaway(PROTOCOL))
def _(wire):
    wire.send(b"INVALID PREFACE\r\n\r\n" + frame(SETTINGS))


@case("3.4", "SETTINGS is not the first frame after the preface", goaway(PROTOCOL))
def _(wire):
    wire.send(PREFACE, frame(PING, payload=bytes(8)))


@case("6.5.2", "SETTINGS_NO_RFC7540_PRIORITIES in the first SETTINGS is borne (RFC 9218 §2.1)", ANSWERED)
def _(wire):
    wire.send(PREFACE, frame(SETTINGS, 0, 0, setting(9, 1)))
    return answered(wire)


for _, _, _, act in CASES:
    act.bare = True

simple("4.1", "a frame of unknown type is ignored", ANSWERED, frame(0xF1, 0xFF, 0, bytes(8)))
simple("4.1", "undefined flags are ignored", ANSWERED, frame(PING, 0xF0, 0, bytes(8)))
simple("4.1", "the reserved bit is ignored", ANSWERED, frame(PING, 0, 0x80000000, bytes(8)))


def taken(section, name, flags, payload):
    """The upload's own stream is answered."""
    def act(wire):
        stream = wire.open(wire.target.post(path=wire.target.path), end=False)
        wire.barrier()
        wire.send(frame(DATA, flags | END_STREAM, stream, payload))
        return stream
    CASES.append((section, name, ANSWERED, act))


taken("4.2", "DATA of 2^14 octets is taken", 0, bytes(16384))
simple("4.2", "DATA above SETTINGS_MAX_FRAME_SIZE", either(SIZE),
       lambda wire, stream: frame(DATA, 0, stream, bytes(16385)), upload=True)
simple("4.2", "HEADERS above SETTINGS_MAX_FRAME_SIZE", goaway(SIZE),
       lambda wire, stream: wire.headers(1, block(wire.target.request("GET", None, ("x", "y" * 16500)))))
simple("4.3", "an invalid header block", goaway("COMPRESSION_ERROR"), frame(HEADERS, 5, 1, b"\x82\xff\xff\xff\xff\xff\xff"))
simple("4.3", "PRIORITY inside a header block", goaway(PROTOCOL),
       lambda wire, _: wire.headers(1, wire.target.request(), flags=0), frame(PRIORITY, 0, 1, bytes(5)))
simple("4.3", "HEADERS of another stream inside a header block", goaway(PROTOCOL),
       lambda wire, _: wire.headers(1, wire.target.request(), flags=0),
       lambda wire, _: wire.headers(3, wire.target.request()))
simple("5.5", "an unknown frame inside a header block", goaway(PROTOCOL),
       lambda wire, _: wire.headers(1, wire.target.request(), flags=0), frame(0xF1, 0, 1, b"x"))

# §5.1

simple("5.1", "idle: DATA", goaway(PROTOCOL, "STREAM_CLOSED"), frame(DATA, END_STREAM, 1, b"x"))
simple("5.1", "idle: RST_STREAM", goaway(PROTOCOL), frame(RST, 0, 1, number(8)))
simple("5.1", "idle: WINDOW_UPDATE", goaway(PROTOCOL), frame(WINDOW, 0, 1, number(100)))
simple("5.1", "idle: CONTINUATION", goaway(PROTOCOL), lambda wire, _: frame(CONTINUATION, 4, 1, block(wire.target.request())))


def half_closed(name, make, expected):
    def act(wire):
        stream = wire.stream()
        wire.send(wire.headers(stream, wire.target.request()), make(wire, stream))
        wire.until(wire.is_over, 0.5)
        wire.statuses.pop(stream, None)
        return stream
    CASES.append(("5.1", f"half-closed (remote): {name}", expected, act))


half_closed("DATA", lambda wire, stream: frame(DATA, END_STREAM, stream, b"x"), either("STREAM_CLOSED"))
half_closed("HEADERS", lambda wire, stream: wire.headers(stream, wire.target.request()), either("STREAM_CLOSED", PROTOCOL))
half_closed("CONTINUATION", lambda wire, stream: frame(CONTINUATION, 4, stream, block(wire.target.request())),
            goaway("STREAM_CLOSED", PROTOCOL))


def after_reset(name, make, expected):
    def act(wire):
        stream = wire.open(wire.target.request(), end=False)
        wire.send(frame(RST, 0, stream, number(8)), make(wire, stream))
        wire.barrier(1)
        return stream
    CASES.append(("5.1", f"closed by RST_STREAM: {name}", expected, act))


after_reset("DATA", lambda wire, stream: frame(DATA, END_STREAM, stream, b"x"), either("STREAM_CLOSED") | {"nothing"})
after_reset("HEADERS", lambda wire, stream: wire.headers(stream, wire.target.request()),
            either("STREAM_CLOSED", PROTOCOL) | {"nothing"})
after_reset("CONTINUATION", lambda wire, stream: frame(CONTINUATION, 4, stream, block(wire.target.request())),
            goaway("STREAM_CLOSED", PROTOCOL))
simple("5.1", "closed: DATA", either("STREAM_CLOSED") | {"nothing"},
       lambda wire, stream: frame(DATA, END_STREAM, stream, b"x"), requests=True)
simple("5.1", "closed: HEADERS", either("STREAM_CLOSED", PROTOCOL) | {"nothing"},
       lambda wire, stream: wire.headers(stream, wire.target.request()), requests=True)
simple("5.1", "closed: CONTINUATION", goaway("STREAM_CLOSED", PROTOCOL),
       lambda wire, stream: frame(CONTINUATION, 4, stream, block(wire.target.request())), requests=True)
simple("5.1", "closed: WINDOW_UPDATE, PRIORITY and RST_STREAM are borne", ANSWERED,
       lambda wire, stream: frame(WINDOW, 0, stream, number(1)) + frame(PRIORITY, 0, stream, number(0) + b"\1")
       + frame(RST, 0, stream, number(8)), requests=True)


@case("5.1.1", "an even stream id", goaway(PROTOCOL))
def _(wire):
    wire.send(wire.headers(2, wire.target.request()))
    return 2


@case("5.1.1", "a stream id below one that was used", goaway(PROTOCOL))
def _(wire):
    wire.send(wire.headers(5, wire.target.request()))
    wire.until(lambda: 5 in wire.ended)
    wire.send(wire.headers(3, wire.target.request()))
    return 3


@case("5.1.2", "more streams than SETTINGS_MAX_CONCURRENT_STREAMS", either(PROTOCOL, "REFUSED_STREAM"))
def _(wire):
    for _ in range(wire.settings.get(3, 100) + 1):
        stream = wire.open(wire.target.post(path=wire.target.path), end=False)
    return stream


@case("5.3.1", "HEADERS that depend on their own stream", either(PROTOCOL) | ANSWERED)
def _(wire):
    wire.send(wire.headers(1, number(1) + b"\x10" + block(wire.target.request()), flags=END_HEADERS | PRIORITISED))
    return 1


@case("5.3.2", "HEADERS with a priority are answered", ANSWERED)
def _(wire):
    wire.send(wire.headers(1, number(0) + b"\x10" + block(wire.target.request()), flags=END_HEADERS | PRIORITISED))
    return 1


@case("5.4.1", "the connection is closed after a connection error", {"closed"})
def _(wire):
    wire.send(frame(PING, 0, 1, bytes(8)))
    wire.until(lambda: wire.closed, 5)
    wire.goaway = None


# §6

simple("6.1", "DATA on stream 0", goaway(PROTOCOL), frame(DATA, 0, 0, b"x"))
simple("6.1", "DATA whose padding is as long as the frame", goaway(PROTOCOL),
       lambda wire, stream: frame(DATA, PADDED, stream, b"\x06Test"), upload=True)
taken("6.1", "padded DATA is taken", PADDED, b"\x05Test" + bytes(5))
simple("6.2", "HEADERS on stream 0", goaway(PROTOCOL), lambda wire, _: wire.headers(0, wire.target.request()))
simple("6.2", "HEADERS whose padding is as long as the frame", goaway(PROTOCOL),
       lambda wire, _: wire.headers(1, b"\xff" + block(wire.target.request())[:100], flags=END_HEADERS | PADDED))


@case("6.2", "padded HEADERS are answered", ANSWERED)
def _(wire):
    wire.send(wire.headers(1, b"\x10" + block(wire.target.request()) + bytes(16), flags=END_HEADERS | PADDED))
    return 1


simple("6.3", "PRIORITY on stream 0", goaway(PROTOCOL), frame(PRIORITY, 0, 0, number(0) + b"\x10"))
simple("6.3", "PRIORITY of 4 octets", either(SIZE), lambda wire, stream: frame(PRIORITY, 0, stream, bytes(4)), upload=True)
simple("6.3", "PRIORITY on an idle stream is borne", ANSWERED, frame(PRIORITY, 0, 99, number(0) + b"\x10"))
simple("6.4", "RST_STREAM on stream 0", goaway(PROTOCOL), frame(RST, 0, 0, number(8)))
simple("6.4", "RST_STREAM of 3 octets", goaway(SIZE), lambda wire, stream: frame(RST, 0, stream, bytes(3)), upload=True)
simple("6.5", "SETTINGS ACK with a payload", goaway(SIZE), frame(SETTINGS, ACK, 0, setting(3, 1)))
simple("6.5", "SETTINGS on a stream", goaway(PROTOCOL), frame(SETTINGS, 0, 1, setting(3, 1)))
simple("6.5", "SETTINGS whose length is not a multiple of 6", goaway(SIZE), frame(SETTINGS, 0, 0, setting(3, 1)[:3]))
simple("6.5.2", "SETTINGS_ENABLE_PUSH 2", goaway(PROTOCOL), frame(SETTINGS, 0, 0, setting(2, 2)))
simple("6.5.2", "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1", goaway(FLOW), frame(SETTINGS, 0, 0, setting(4, 1 << 31)))
simple("6.5.2", "SETTINGS_MAX_FRAME_SIZE below 2^14", goaway(PROTOCOL), frame(SETTINGS, 0, 0, setting(5, 16383)))
simple("6.5.2", "SETTINGS_MAX_FRAME_SIZE above 2^24-1", goaway(PROTOCOL), frame(SETTINGS, 0, 0, setting(5, 1 << 24)))
simple("7.1", "PRIORITY_UPDATE (RFC 9218) is borne", ANSWERED, frame(0x10, 0, 0, number(1) + b"u=1, i"))
simple("6.5.2", "an unknown setting is ignored", ANSWERED, frame(SETTINGS, 0, 0, setting(0xFF, 1)))


@case("6.5.3", "SETTINGS are acknowledged", {"acknowledged"})
def _(wire):
    before = wire.acks
    wire.send(frame(SETTINGS, 0, 0, setting(3, 50)))
    return "acknowledged" if wire.until(lambda: wire.acks > before) else "not acknowledged"


@case("6.6", "PUSH_PROMISE from a client", goaway(PROTOCOL))
def _(wire):
    wire.send(wire.headers(1, wire.target.request(), end=False),
              frame(PUSH, END_HEADERS, 1, number(2) + block(wire.target.request())))
    return 1


@case("6.7", "PING is acknowledged with its octets", {"acknowledged"})
def _(wire):
    return "acknowledged" if wire.barrier() else "not acknowledged"


simple("6.7", "an unasked PING ACK is ignored", ANSWERED, frame(PING, ACK, 0, bytes(8)))
simple("6.7", "PING on a stream", goaway(PROTOCOL), frame(PING, 0, 1, bytes(8)))
simple("6.7", "PING of 6 octets", goaway(SIZE), frame(PING, 0, 0, bytes(6)))
simple("6.8", "GOAWAY on a stream", goaway(PROTOCOL), frame(GOAWAY, 0, 1, bytes(8)))
simple("6.9", "WINDOW_UPDATE 0 on the connection", goaway(PROTOCOL), frame(WINDOW, 0, 0, number(0)))
simple("6.9", "WINDOW_UPDATE 0 on a stream", either(PROTOCOL), lambda wire, stream: frame(WINDOW, 0, stream, number(0)), upload=True)
simple("6.9", "WINDOW_UPDATE of 3 octets", goaway(SIZE), frame(WINDOW, 0, 0, bytes(3)))
simple("6.9.1", "the connection's window above 2^31-1", goaway(FLOW), frame(WINDOW, 0, 0, number(0x7FFFFFFF)) * 2)
simple("6.9.1", "a stream's window above 2^31-1", either(FLOW),
       lambda wire, stream: frame(WINDOW, 0, stream, number(0x7FFFFFFF)) * 2, upload=True)


@case("6.9.1", "the stream's window is kept to", {"1"})
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, setting(4, 1)))
    wire.barrier()
    stream = wire.open(wire.target.request())
    wire.until(lambda: wire.data.get(stream))
    wire.barrier()
    return str(wire.data.get(stream, 0))


@case("6.9.2", "a change of the initial window moves streams that are open", {"1 then 2"})
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, setting(4, 0)))
    wire.barrier()
    stream = wire.open(wire.target.request())
    wire.until(lambda: stream in wire.statuses)
    wire.send(frame(SETTINGS, 0, 0, setting(4, 1)))
    wire.until(lambda: wire.data.get(stream))
    wire.barrier()
    first = wire.data.get(stream, 0)
    wire.send(frame(SETTINGS, 0, 0, setting(4, 2)))
    wire.until(lambda: wire.data.get(stream, 0) >= 2)
    return f"{first} then {wire.data.get(stream, 0)}"


@case("6.9.2", "a window below zero is made good first", {"3 then 3 then 4"})
def _(wire):
    wire.send(frame(SETTINGS, 0, 0, setting(4, 3)))
    wire.barrier()
    stream = wire.open(wire.target.request())
    wire.until(lambda: wire.data.get(stream, 0) >= 3)
    seen = [wire.data.get(stream, 0)]
    wire.send(frame(SETTINGS, 0, 0, setting(4, 2)), frame(WINDOW, 0, stream, number(1)))
    wire.barrier()
    seen.append(wire.data.get(stream, 0))
    wire.send(frame(WINDOW, 0, stream, number(1)))
    wire.until(lambda: wire.data.get(stream, 0) >= 4)
    return " then ".join(str(each) for each in seen + [wire.data.get(stream, 0)])


@case("6.9.2", "SETTINGS_INITIAL_WINDOW_SIZE that overflows a stream's window", goaway(FLOW) | either(FLOW))
def _(wire):
    stream = wire.open(wire.target.post(path=wire.target.path), end=False)
    wire.send(frame(WINDOW, 0, stream, number(0x7FFFFFFF - 65535)), frame(SETTINGS, 0, 0, setting(4, 70000)))
    return stream


@case("6.10", "a header block in three frames is answered", ANSWERED)
def _(wire):
    parts = block(wire.target.request())
    wire.send(frame(HEADERS, END_STREAM, 1, parts[:5]), frame(CONTINUATION, 0, 1, parts[5:9]),
              frame(CONTINUATION, END_HEADERS, 1, parts[9:]))
    return 1


simple("6.10", "CONTINUATION after END_HEADERS", goaway(PROTOCOL),
       lambda wire, _: wire.headers(1, wire.target.request(), end=False), frame(CONTINUATION, 4, 1, b""))
simple("6.10", "CONTINUATION on stream 0", goaway(PROTOCOL),
       lambda wire, _: wire.headers(1, wire.target.request(), flags=0), frame(CONTINUATION, 4, 0, b""))
simple("6.10", "CONTINUATION without HEADERS", goaway(PROTOCOL), frame(CONTINUATION, 4, 1, b""))
simple("6.10", "CONTINUATION after DATA", goaway(PROTOCOL), lambda wire, stream: frame(DATA, 0, stream, b"x"),
       lambda wire, stream: frame(CONTINUATION, 4, stream, b""), upload=True)
simple("7", "unknown error codes are borne", ANSWERED, lambda wire, stream: frame(RST, 0, stream, number(0xFF)), upload=True)

# §8


@case("8.1", "a second HEADERS without END_STREAM", MALFORMED)
def _(wire):
    stream = wire.open(wire.target.post(path=wire.target.path), end=False)
    wire.send(wire.headers(stream, [("x", "y")], end=False))
    return stream


@case("8.1", "trailers are taken", ANSWERED)
def _(wire):
    stream = wire.open(wire.target.post(path=wire.target.path), end=False)
    wire.send_data(stream, b"{}")
    wire.send(wire.headers(stream, [("x", "y")]))
    return stream


@case("8.1.1", "content-length and DATA differ", MALFORMED)
def _(wire):
    stream = wire.open(wire.target.post(("content-length", "1"), path=wire.target.path), end=False)
    wire.send_data(stream, b"test", end=True)
    return stream


@case("8.1.1", "content-length and several DATA frames differ", MALFORMED)
def _(wire):
    stream = wire.open(wire.target.post(("content-length", "1"), path=wire.target.path), end=False)
    wire.send_data(stream, b"test")
    wire.send_data(stream, b"test", end=True)
    return stream


def fields_case(section, name, expected, make):
    CASES.append((section, name, expected, lambda wire: wire.open(make(wire.target))))


fields_case("8.2.1", "an upper-case name", MALFORMED, lambda target: target.request("GET", None, ("X-Test", "ok")))
fields_case("8.2.2", "connection", MALFORMED, lambda target: target.request("GET", None, ("connection", "keep-alive")))
fields_case("8.2.2", "te: trailers, deflate", MALFORMED, lambda target: target.request("GET", None, ("te", "trailers, deflate")))
fields_case("8.2.2", "te: trailers", ANSWERED, lambda target: target.request("GET", None, ("te", "trailers")))
fields_case("8.3", "an unknown pseudo-header field", MALFORMED, lambda target: [(":test", "ok")] + target.request())
fields_case("8.3", "a response's pseudo-header field", MALFORMED, lambda target: [(":status", "200")] + target.request())
fields_case("8.3", "a pseudo-header field after a regular one", MALFORMED, lambda target: [("x-test", "ok")] + target.request())
fields_case("8.3.1", "an empty :path", MALFORMED, lambda target: target.request("GET")[:2] + [(":path", "")])
for missing in (":method", ":scheme", ":path"):
    fields_case("8.3.1", f"no {missing}", MALFORMED,
                lambda target, missing=missing: [each for each in target.request() if each[0] != missing])
for twice in (":method", ":scheme", ":path"):
    fields_case("8.3.1", f"{twice} twice", MALFORMED,
                lambda target, twice=twice: [each for each in target.request() if each[0] == twice] + target.request())
fields_case("5", "a priority field (RFC 9218)", ANSWERED, lambda target: target.request("GET", None, ("priority", "u=1, i")))
fields_case("8.2.3", "cookie in pieces", ANSWERED, lambda target: target.request("GET", None, ("cookie", "a=b"), ("cookie", "c=d")))


@case("8.3", "a pseudo-header field in trailers", MALFORMED)
def _(wire):
    stream = wire.open(wire.target.post(path=wire.target.path), end=False)
    wire.send_data(stream, b"{}")
    wire.send(wire.headers(stream, [(":method", "200")]))
    return stream


# RFC 7541


def compressed(section, name, expected, make):
    CASES.append((f"HPACK {section}", name, expected, lambda wire: wire.open(make(block(wire.target.request())))))


COMPRESSION = goaway("COMPRESSION_ERROR")
compressed("2.3.3", "an index outside of both tables", COMPRESSION, lambda head: head + b"\xc6")
compressed("2.3.3", "a name's index outside of both tables", COMPRESSION, lambda head: head + b"\x7f\x07\x01x")
compressed("4.2", "a size update at the end of a block", COMPRESSION, lambda head: head + b"\x20")
compressed("5.2", "Huffman padding of more than 7 bits", COMPRESSION, lambda head: head + b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")
compressed("5.2", "Huffman padding of zeros", COMPRESSION, lambda head: head + b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")
compressed("5.2", "Huffman with EOS", COMPRESSION, lambda head: head + b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f")
compressed("6.1", "index 0", COMPRESSION, lambda head: head + b"\x80")
compressed("6.3", "a size update above the limit", COMPRESSION, lambda head: integer(4097, 5, 0x20) + head)
compressed("4.1", "a field in the dynamic table is understood", ANSWERED, lambda head: head + indexed("x-a", "b") + b"\xbe")
compressed("4.2", "size updates at the start are understood", ANSWERED, lambda head: integer(0, 5, 0x20) + integer(4096, 5, 0x20) + head)


def run(target, section, name, expected, act):
    bare = getattr(act, "bare", False)
    wire = Wire(target, preface=not bare)
    if not bare:
        wire.started()
    stream = act(wire)
    if isinstance(stream, str):
        happened = stream
    else:
        # GOAWAY says more than what happened on the stream before it.
        wire.until(lambda: wire.outcome(stream) in expected, 2 if "nothing" not in expected else 0.3)
        happened = wire.outcome(stream)
        if happened not in expected and wire.closed and "closed" in expected:
            happened = "closed"
        if happened not in expected and wire.goaway is not None:
            happened = "goaway:" + code_name(wire.goaway)
    wire.socket.close()
    tell(section=section, case=name, happened=happened, ok=happened in expected, expected=sorted(expected))
    return happened in expected


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("cases", nargs="*")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--path", default="/")
    options = parser.parse_intermixed_args()
    target = Target(options.host, options.port, options.tls, path=options.path)
    for section, name, expected, act in CASES:
        if options.cases and name not in options.cases:
            continue
        try:
            run(target, section, name, expected, act)
        except Exception as error:
            tell(section=section, case=name, happened=f"{type(error).__name__}: {error}", ok=False, expected=sorted(expected))


main()
