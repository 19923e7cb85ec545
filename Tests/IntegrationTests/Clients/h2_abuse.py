"""Named abuses of HTTP/2, one JSON line each: HOST PORT [--tls] [--path PATH] [--count N] [SCENARIO ...]

A line has `scenario`, `check` (of checks.md), `goaway` (a code's name or null), `resets` and `statuses` (how many of
each), `survives` (no GOAWAY, and a PING is answered), `closed`, `cases` (what became of each, where a scenario has
cases) and figures of its own. `--list` names the scenarios.
"""

import argparse
import time

from h2_wire import *  # noqa: F403

SCENARIOS = {}


def scenario(check):
    def keep(function):
        SCENARIOS[function.__name__] = (check, function)
        return function
    return keep


def flood(wire, make, count, batch=50):
    """Sends make(n) for n in 0..<count in batches, until the connection is over; gives how many went out."""
    sent = 0
    while sent < count and not wire.is_over():
        parts = [make(sent + each) for each in range(min(batch, count - sent))]
        if not wire.send(*parts):
            break
        sent += len(parts)
        if wire.reads:
            while wire.receive(0):
                pass
    if wire.reads:
        wire.until(wire.is_over, 1)
    return sent


# B2, B3


def resets(target, count, fields):
    wire = Wire(target).started()
    started = time.monotonic()

    def one(_):
        stream = wire.stream()
        return wire.headers(stream, fields()) + frame(RST, 0, stream, number(8))
    sent = flood(wire, one, count)
    return wire.report(sent=sent, seconds=round(time.monotonic() - started, 3))


@scenario("B2")
def rapid_reset(target, count):
    return resets(target, count or 10_000, target.request)


@scenario("B2")
def rapid_reset_keyed(target, count):
    return resets(target, count or 10_000, lambda: target.post(path=target.path))


def provoked(target, count, make, fields=None, end=True):
    """Requests that make the server reset the stream."""
    wire = Wire(target).started()
    started = time.monotonic()

    def one(_):
        stream = wire.stream()
        return wire.headers(stream, fields() if fields else target.post(path=target.path), end) + make(stream)
    sent = flood(wire, one, count or 2000, 10)
    return wire.report(sent=sent, seconds=round(time.monotonic() - started, 3))


@scenario("B3")
def provoked_window_zero(target, count):
    return provoked(target, count, lambda stream: frame(WINDOW, 0, stream, number(0)))


@scenario("B3")
def provoked_window_overflow(target, count):
    return provoked(target, count, lambda stream: frame(WINDOW, 0, stream, number(0x7FFFFFFF)))


@scenario("B3")
def provoked_data_after_end(target, count):
    return provoked(target, count, lambda stream: frame(DATA, 0, stream, b"x"))


@scenario("B3")
def provoked_self_dependency(target, count):
    return provoked(target, count, lambda stream: frame(PRIORITY, 0, stream, number(stream) + b"\x10"))


@scenario("B3")
def provoked_content_length(target, count):
    return provoked(target, count, lambda stream: frame(DATA, END_STREAM, stream, b"xyz"),
                    lambda: target.post(("content-length", "5"), path=target.path), end=False)


@scenario("B3")
def provoked_malformed(target, count):
    return provoked(target, count, lambda stream: b"", lambda: target.post(("connection", "close"), path=target.path))


# B5, B6, B7


def continuations(target, count, piece):
    wire = Wire(target).started()
    stream = wire.stream()
    wire.send(wire.headers(stream, target.request(), end=True, flags=0))
    sent = flood(wire, lambda n: frame(CONTINUATION, 0, stream, piece(n)), count or 10_000, 4)
    return wire.report(sent=sent)


@scenario("B5")
def continuation_flood(target, count):
    return continuations(target, count, lambda n: literal(f"x-{n}", "y" * 100))


@scenario("B5")
def continuation_empty(target, count):
    return continuations(target, count, lambda n: b"")


@scenario("B5")
def continuation_never_ends(target, count):
    """A head without its end, and silence: how long the proxy bears it."""
    wire = Wire(target).started()
    started = time.monotonic()
    wire.send(wire.headers(wire.stream(), target.request(), end=True, flags=0))
    wire.until(lambda: wire.is_over() or wire.resets or wire.statuses, count or 30)
    return wire.report(seconds=round(time.monotonic() - started, 3))


@scenario("B6")
def hpack_bomb(target, count):
    """A field of 4000 octets in the table, then one-octet references to it: one frame, 64 MB."""
    wire = Wire(target).started()
    head = block(target.request()) + indexed("a", "b" * 4000)
    stream = wire.open(head + b"\xbe" * (16384 - len(head)))
    wire.until(lambda: wire.is_over() or stream in wire.statuses or stream in wire.resets)
    return wire.report(outcome=wire.outcome(stream))


@scenario("B6")
def hpack_bomb_continued(target, count):
    wire = Wire(target).started()
    head = block(target.request()) + indexed("a", "b" * 4000)
    stream = wire.stream()
    parts = [wire.headers(stream, head, flags=0)]
    parts += [frame(CONTINUATION, END_HEADERS if n == 3 else 0, stream, b"\xbe" * 16384) for n in range(4)]
    wire.send(*parts)
    wire.until(lambda: wire.is_over() or stream in wire.statuses or stream in wire.resets)
    return wire.report(outcome=wire.outcome(stream))


@scenario("B6")
def many_fields(target, count):
    wire = Wire(target).started()
    stream = wire.open(target.request("GET", None, *[(f"x-{n}", "y") for n in range(500)]))
    wire.until(lambda: wire.is_over() or stream in wire.statuses or stream in wire.resets)
    return wire.report(outcome=wire.outcome(stream))


@scenario("B7")
def table_size_huge(target, count):
    """The proxy's encoder may use 4 GiB, and must not."""
    wire = Wire(target, [(1, 0xFFFFFFFF)]).started()
    for n in range(50):
        stream = wire.open(target.request("GET", target.path, ("x-n", str(n))))
        wire.until(lambda: stream in wire.ended)
    return wire.report(table=wire.largest_table)


@scenario("B7")
def table_size_churn(target, count):
    """Size updates in every head and every SETTINGS."""
    wire = Wire(target).started()

    def one(n):
        update = integer(0, 5, 0x20) + integer(4096, 5, 0x20)
        return frame(SETTINGS, 0, 0, setting(1, 0 if n % 2 else 65536)) + wire.headers(
            wire.stream(), update + block(target.request()))
    sent = flood(wire, one, count or 2000, 10)
    return wire.report(sent=sent, table=wire.largest_table)


# B8


def flooding(name, make, prepare=None, reads=True, default=30_000):
    def run(target, count):
        wire = Wire(target).started()
        stream = prepare(target, wire) if prepare else 0
        wire.reads = reads
        started = time.monotonic()
        sent = flood(wire, lambda n: make(stream, n), count or default, 100)
        wire.reads = True
        return wire.report(sent=sent, seconds=round(time.monotonic() - started, 3))
    run.__name__ = name
    scenario("B8")(run)


def upload(target, wire):
    stream = wire.open(target.post(path=target.path), end=False)
    wire.barrier()
    return stream


flooding("settings_flood", lambda stream, n: frame(SETTINGS, 0, 0, setting(3, n % 100)))
flooding("settings_empty_flood", lambda stream, n: frame(SETTINGS))
flooding("settings_many_entries", lambda stream, n: frame(SETTINGS, 0, 0, setting(3, 100) * 2000), default=50)
flooding("ping_flood", lambda stream, n: frame(PING, 0, 0, n.to_bytes(8, "big")))
flooding("ping_flood_unread", lambda stream, n: frame(PING, 0, 0, n.to_bytes(8, "big")), reads=False, default=1_000_000)
flooding("settings_flood_unread", lambda stream, n: frame(SETTINGS), reads=False, default=1_000_000)
flooding("priority_flood", lambda stream, n: frame(PRIORITY, 0, 2 * (n % 1000) + 101, number(0) + b"\x10"))
flooding("empty_data_flood", lambda stream, n: frame(DATA, 0, stream), upload)
flooding("padded_data_flood", lambda stream, n: frame(DATA, PADDED, stream, b"\x00"), upload)
flooding("one_octet_data_flood", lambda stream, n: frame(DATA, 0, stream, b"x"), upload)
flooding("window_update_flood", lambda stream, n: frame(WINDOW, 0, 0, number(1)))
flooding("window_update_stream_flood", lambda stream, n: frame(WINDOW, 0, stream, number(1)), upload)
flooding("unknown_frame_flood", lambda stream, n: frame(0xF0, 0, 0, b"x"))
flooding("priority_update_flood", lambda stream, n: frame(0x10, 0, 0, number(2 * (n % 1000) + 101) + b"u=1"))
flooding("empty_headers_flood", lambda stream, n: frame(HEADERS, END_HEADERS, stream), upload, default=2000)
flooding("goaway_flood", lambda stream, n: frame(GOAWAY, 0, 0, number(0) + number(0)))
flooding("settings_ack_flood", lambda stream, n: frame(SETTINGS, ACK))
flooding("ping_ack_flood", lambda stream, n: frame(PING, ACK, 0, bytes(8)))


# B10: the connection's window after octets that nobody read.


def windows(target, one, streams=120):
    """Runs `one(wire, stream)` until it has sent several windows; what counts is what has come back at the end."""
    wire = Wire(target).started()
    full, before, stuck = wire.window, wire.sent_octets, 0
    for _ in range(streams):
        if wire.is_over():
            break
        if not wire.until(lambda: wire.window >= 61440 or wire.is_over(), 3):
            stuck += 1
            break
        if one(wire) is False:
            stuck += 1
            break
        wire.receive(0)
    sent = wire.sent_octets - before
    top_up(target, wire)
    return wire.report(full=full, window=wire.window, sent=sent, stuck=stuck)


def settle(wire):
    """The updates of all that was sent are here: a PING's answer overtakes those of its own turn, and no earlier ones."""
    wire.barrier()
    wire.barrier()


def top_up(target, wire):
    """Uploads octets that are read at once, until an update comes: it gives back everything that was read until then,
    so that the window is full again unless octets were lost before. Updates come when half of it is used."""
    settle(wire)
    stream, size = wire.open(target.post(path=target.path), end=False), 8192
    for _ in range(4 * wire.window // size):
        updates = wire.updates
        if wire.is_over() or not wire.until(lambda: min(wire.window, wire.stream_window(stream)) >= size, 3):
            return
        wire.send_data(stream, bytes(size))
        settle(wire)
        if wire.updates > updates:
            break
    wire.send_data(stream, b"", end=True)
    wire.until(lambda: stream in wire.ended or wire.is_over())


def pieces(wire, stream, count, size=4096, padding=None):
    for n in range(count):
        room = size + (padding + 1 if padding is not None else 0)
        if not wire.until(lambda: min(wire.window, wire.stream_window(stream)) >= room or wire.is_over()
                          or stream in wire.resets or stream in wire.ended, 3):
            return
        if wire.is_over() or min(wire.window, wire.stream_window(stream)) < room:
            return
        wire.send_data(stream, bytes(size), padding=padding)


@scenario("B10")
def window_read(target, count):
    """Bodies that are read."""
    def one(wire):
        stream = wire.open(target.post(path=target.path), end=False)
        pieces(wire, stream, 15)
        wire.send_data(stream, b"", end=True)
        wire.until(lambda: stream in wire.ended or wire.is_over())
    return windows(target, one)


@scenario("B10")
def window_padded(target, count):
    """As much padding as data."""
    def one(wire):
        stream = wire.open(target.post(path=target.path), end=False)
        pieces(wire, stream, 90, 256, 255)
        wire.send_data(stream, b"", end=True)
        wire.until(lambda: stream in wire.ended or wire.is_over())
    return windows(target, one, 60)


@scenario("B10")
def window_reset(target, count):
    """The client resets in the middle of its body."""
    def one(wire):
        stream = wire.open(target.post(path=target.path), end=False)
        pieces(wire, stream, 15)
        wire.send(frame(RST, 0, stream, number(8)))
    return windows(target, one)


@scenario("B10")
def window_refused(target, count):
    """The proxy answers by the head (a token is missing), and the body comes all the same."""
    def one(wire):
        stream = wire.open(target.request("POST", target.path), end=False)
        for _ in range(15):
            if wire.window >= 4096 and wire.stream_window(stream) >= 4096:
                wire.send_data(stream, bytes(4096))
        return wire.until(lambda: stream in wire.ended or stream in wire.resets or wire.is_over())
    return windows(target, one)


@scenario("B10")
def window_malformed(target, count):
    """The proxy resets a stream whose body goes on."""
    def one(wire):
        stream = wire.open(target.post(("connection", "close"), path=target.path), end=False)
        for _ in range(15):
            if wire.window >= 4096 and wire.stream_window(stream) >= 4096:
                wire.send_data(stream, bytes(4096))
        return wire.until(lambda: stream in wire.resets or stream in wire.ended or wire.is_over())
    return windows(target, one)


@scenario("B10")
def window_length(target, count):
    """More octets than content-length says."""
    def one(wire):
        stream = wire.open(target.post(("content-length", "100"), path=target.path), end=False)
        for _ in range(15):
            if wire.window >= 4096 and wire.stream_window(stream) >= 4096:
                wire.send_data(stream, bytes(4096))
        return wire.until(lambda: stream in wire.resets or stream in wire.ended or wire.is_over())
    return windows(target, one)


# B11


@scenario("B11")
def too_many_streams(target, count):
    """150 requests whose bodies do not end."""
    wire = Wire(target).started()
    for _ in range(150):
        wire.open(target.post(path=target.path), end=False)
    wire.barrier()
    return wire.report(limit=wire.settings.get(3))


@scenario("B11")
def stream_ids(target, count):
    """One connection for each misuse of an id."""
    cases = {}

    def one(name, act):
        wire = Wire(target).started()
        stream = act(wire)
        wire.until(lambda: wire.outcome(stream) != "nothing")
        cases[name] = wire.outcome(stream)
    one("even", lambda wire: wire.send(wire.headers(2, target.request())) and 2)

    def reuse(wire):
        stream = wire.open(target.request())
        wire.until(lambda: stream in wire.ended)
        wire.statuses.pop(stream)
        wire.send(wire.headers(stream, target.request()))
        return stream
    one("reuse", reuse)

    def lower(wire):
        wire.send(wire.headers(5, target.request()))
        wire.until(lambda: 5 in wire.ended)
        wire.send(wire.headers(3, target.request()))
        return 3
    one("lower", lower)
    one("gap", lambda wire: wire.send(wire.headers(10001, target.request())) and 10001)
    one("zero", lambda wire: wire.send(wire.headers(0, target.request())) and 0)

    def last(wire):
        wire.send(wire.headers(0x7FFFFFFF, target.request()))
        wire.until(lambda: 0x7FFFFFFF in wire.ended)
        wire.until(lambda: wire.goaway is not None, 1)
        cases["last_goaway"] = "none" if wire.goaway is None else code_name(wire.goaway)
        return 0x7FFFFFFF
    one("last", last)
    return {"cases": cases}


# B12 to B16: one stream for each malformed request. What became of it, and whether the connection bears the next one.


def malformed(target, cases, trailers=False):
    results, wire = {}, None
    for name, fields in cases.items():
        if wire is None or wire.is_over():
            wire = Wire(target).started()
        body = b"{}" if callable(fields) else None
        if body is not None:
            stream = fields(wire)
        else:
            stream = wire.open(fields)
        wire.until(lambda: wire.outcome(stream) != "nothing")
        results[name] = wire.outcome(stream)
        # Resets have a budget: a connection of its own for each would be as good.
        wire.socket.close()
        wire = None
    return {"cases": results}


def replaced(target, name, value, method="POST", key=None):
    fields = [(n, value if n == name else v) for n, v in target.post(path=target.path, key=key)]
    return [(n, v) for n, v in fields if v is not None]


@scenario("B12")
def pseudo_fields(target, count):
    post = lambda *more: target.post(*more, path=target.path)  # noqa: E731
    authority = target.authority
    cases = {f"missing_{name[1:]}": replaced(target, name, None) for name in (":method", ":scheme", ":path")}
    cases |= {
        "duplicate_method": [(":method", "POST")] + post(), "duplicate_path": [(":path", "/other")] + post(),
        "duplicate_scheme": [(":scheme", "http")] + post(), "duplicate_authority": [(":authority", authority)] + post(),
        "after_regular": [("a", "1")] + post(), "unknown": [(":unknown", "1")] + post(),
        "status": [(":status", "200")] + post(), "empty_name": [(":", "1")] + post(),
        "path_empty": replaced(target, ":path", ""), "path_star": replaced(target, ":path", "*"),
        "path_no_slash": replaced(target, ":path", "orders"), "path_space": replaced(target, ":path", "/a b"),
        "path_fragment": replaced(target, ":path", "/a#b"), "path_control": replaced(target, ":path", "/a\x01b"),
        "path_8bit": replaced(target, ":path", b"/a\xffb"), "method_empty": replaced(target, ":method", ""),
        "scheme_empty": replaced(target, ":scheme", ""), "scheme_odd": replaced(target, ":scheme", "ht tp"),
        "authority_empty": replaced(target, ":authority", ""),
        "authority_none": replaced(target, ":authority", None),
        "authority_userinfo": replaced(target, ":authority", "user@" + authority),
        "authority_path": replaced(target, ":authority", authority + "/x"),
        "host_differs": post(("host", "other.test")), "host_twice": post(("host", authority), ("host", authority)),
    }

    def in_trailers(wire):
        stream = wire.open(post(), end=False)
        wire.send_data(stream, b"{}")
        wire.send(wire.headers(stream, [(":path", "/x")]))
        return stream
    cases["in_trailers"] = in_trailers

    def trailers_open(wire):
        stream = wire.open(post(), end=False)
        wire.send_data(stream, b"{}")
        wire.send(wire.headers(stream, [("x", "y")], end=False))
        return stream
    cases["trailers_without_end"] = trailers_open
    return malformed(target, cases)


@scenario("B13")
def field_octets(target, count):
    post = lambda *more: target.post(*more, path=target.path)  # noqa: E731
    cases = {
        "upper_case": post(("X-Upper", "1")), "name_ctl": post(("x\x01y", "1")), "name_nul": post(("x\0y", "1")),
        "name_cr": post(("x\ry", "1")), "name_lf": post(("x\ny", "1")), "name_colon": post(("x:y", "1")),
        "name_space": post(("x y", "1")), "name_trailing_space": post(("x ", "1")), "name_8bit": post((b"x\xe9", "1")),
        "name_empty": post(("", "1")), "name_delete": post(("x\x7f", "1")), "value_nul": post(("x", "a\0b")),
        "value_cr": post(("x", "a\rb")), "value_lf": post(("x", "a\nb")), "value_crlf": post(("x", "a\r\nb: c")),
        "value_ctl": post(("x", "a\x01b")), "value_delete": post(("x", "a\x7fb")),
        "value_leading_space": post(("x", " a")), "value_trailing_space": post(("x", "a ")),
        "value_leading_tab": post(("x", "\ta")), "value_trailing_tab": post(("x", "a\t")),
        "key_lf": target.request("POST", target.path, ("idempotency-key", "a\nb")),
    }
    return malformed(target, cases)


@scenario("B14")
def connection_fields(target, count):
    post = lambda *more: target.post(*more, path=target.path)  # noqa: E731
    cases = {
        "connection": post(("connection", "close")), "connection_key": post(("connection", "idempotency-key")),
        "transfer_encoding": post(("transfer-encoding", "chunked")), "upgrade": post(("upgrade", "h2c")),
        "keep_alive": post(("keep-alive", "timeout=5")), "proxy_connection": post(("proxy-connection", "close")),
        "te_gzip": post(("te", "gzip")), "te_both": post(("te", "trailers, gzip")),
    }
    return malformed(target, cases)


@scenario("B14")
def te_trailers(target, count):
    return malformed(target, {"te_trailers": target.post(("te", "trailers"), path=target.path)})


@scenario("B15")
def content_length(target, count):
    def sending(length, body, *more):
        def run(wire):
            stream = wire.open(target.post(*[("content-length", each) for each in (length, *more)], path=target.path),
                               end=False)
            wire.send_data(stream, body, end=True)
            return stream
        return run
    cases = {
        "short": sending("5", b"abc"), "long": sending("2", b"abc"), "twice": sending("3", b"abc", "3"),
        "twice_differs": sending("3", b"abc", "4"), "list": sending("3,3", b"abc"), "plus": sending("+3", b"abc"),
        "minus": sending("-3", b"abc"), "hex": sending("0x3", b"abc"), "empty": sending("", b"abc"),
        "overflow": sending("18446744073709551619", b"abc"), "space": sending("3 ", b"abc"),
        "with_end": target.post(("content-length", "5"), path=target.path),
    }
    return malformed(target, cases)


@scenario("B16")
def smuggling(target, count):
    post = lambda *more: target.post(*more, path=target.path)  # noqa: E731
    second = "POST /smuggled HTTP/1.1\r\nHost: service.test\r\nContent-Length: 0\r\n\r\n"
    cases = {
        "method_line": replaced(target, ":method", "GET / HTTP/1.1\r\nHost: x\r\n\r\n" + second),
        "method_space": replaced(target, ":method", "GET /smuggled HTTP/1.1"),
        "method_crlf": replaced(target, ":method", "POST\r\nX: y"), "method_nul": replaced(target, ":method", "PO\0ST"),
        "path_crlf": replaced(target, ":path", "/ HTTP/1.1\r\nHost: x\r\n\r\n" + second),
        "path_space": replaced(target, ":path", "/ HTTP/1.1"), "path_lf": replaced(target, ":path", "/\nX: y"),
        "path_tab": replaced(target, ":path", "/\tHTTP/1.1"),
        "authority_crlf": replaced(target, ":authority", "service.test\r\nX: y\r\n\r\n" + second),
        "authority_space": replaced(target, ":authority", "service.test x"),
        "scheme_crlf": replaced(target, ":scheme", "http\r\nX: y"),
        "scheme_path": replaced(target, ":scheme", "http://evil.test/x?"),
        "value_crlf": post(("x", "a\r\n\r\n" + second)), "name_crlf": post(("x: a\r\n\r\n" + second, "b")),
        "name_line": post(("transfer-encoding: chunked\r\nx", "b")),
        "transfer_encoding": post(("transfer-encoding", "chunked"), ("content-length", "3")),
        "cookie_crlf": post(("cookie", "a=b\r\n" + second)), "host_crlf": post(("host", "x\r\n" + second)),
        "length_crlf": post(("content-length", "0\r\nX: y")),
    }

    def chunk_body(wire):
        stream = wire.open(post(("transfer-encoding", "chunked")), end=False)
        wire.send_data(stream, b"0\r\n\r\n" + second.encode(), end=True)
        return stream
    cases["chunked_body"] = chunk_body

    def trailer(wire):
        stream = wire.open(post(), end=False)
        wire.send_data(stream, b"{}")
        wire.send(wire.headers(stream, [("x", "a\r\n\r\n" + second)]))
        return stream
    cases["trailer_crlf"] = trailer
    return malformed(target, cases)


# B19


@scenario("B19")
def connect(target, count):
    cases = {
        "connect": [(":method", "CONNECT"), (":authority", "service.test:443")],
        "connect_with_path": target.request("CONNECT"),
        "extended": [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/"),
                     (":authority", target.authority)],
        "protocol_on_post": [(":protocol", "websocket")] + target.post(path=target.path),
    }
    return malformed(target, cases)


@scenario("B19")
def connect_flood(target, count):
    wire = Wire(target).started()
    fields = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/"),
              (":authority", target.authority)]
    sent = flood(wire, lambda _: wire.headers(wire.stream(), fields, end=False), count or 2000, 10)
    return wire.report(sent=sent)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("host", nargs="?")
    parser.add_argument("port", nargs="?", type=int)
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--path", default="/")
    parser.add_argument("--authority", default="service.test")
    parser.add_argument("--count", type=int)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_intermixed_args()
    if options.list:
        for name, (check, _) in SCENARIOS.items():
            print(check, name)
        return
    target = Target(options.host, options.port, options.tls, options.authority, options.path)
    for name in options.scenarios or SCENARIOS:
        check, run = SCENARIOS[name]
        try:
            tell(scenario=name, check=check, **run(target, options.count))
        except Exception as error:  # A refused connection is a finding too.
            tell(scenario=name, check=check, error=f"{type(error).__name__}: {error}")


main()
