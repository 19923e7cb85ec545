"""An HTTP/2 connection of hand-made frames: says exactly what it is told, and notes what comes back."""

import json
import os
import select
import socket
import ssl
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 1, 1, 4, 8, 32
CODES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
         "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM",
         "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED")


def code_name(code):
    return CODES[code] if code < len(CODES) else str(code)


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    length = len(payload) if length is None else length
    return length.to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def setting(number, value):
    return number.to_bytes(2, "big") + value.to_bytes(4, "big")


def number(value):
    return value.to_bytes(4, "big")


def integer(value, bits, first=0):
    """RFC 7541 §5.1."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    octets, value = [first | limit], value - limit
    while value >= 128:
        octets.append(value % 128 + 128)
        value //= 128
    return bytes(octets + [value])


def octets(text):
    return text if isinstance(text, bytes) else text.encode("latin-1")


def literal(name, value):
    """A literal field without indexing: any octets at all."""
    name, value = octets(name), octets(value)
    return b"\x00" + integer(len(name), 7) + name + integer(len(value), 7) + value


def indexed(name, value):
    """A literal field that goes into the dynamic table."""
    name, value = octets(name), octets(value)
    return b"\x40" + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(fields):
    return b"".join(literal(name, value) for name, value in fields)


class Target:
    """Where the proxy is, and how a request to it looks."""

    def __init__(self, host, port, tls, authority="service.test", path="/"):
        self.host, self.port, self.tls, self.authority, self.path = host, port, tls, authority, path

    def request(self, method="GET", path=None, *more):
        return [(":method", method), (":scheme", "https" if self.tls else "http"), (":path", path or self.path),
                (":authority", self.authority), *more]

    def post(self, *more, path=None, key=None):
        key = key or os.urandom(8).hex()
        return self.request("POST", path, ("idempotency-key", key), *more)

    def connect(self, alpn=("h2",)):
        connection = socket.create_connection((self.host, self.port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(list(alpn))
            connection = context.wrap_socket(connection, server_hostname=self.authority)
        return connection


class Wire:
    def __init__(self, target, settings=(), preface=True, reads=True):
        self.target, self.socket = target, target.connect()
        self.socket.setblocking(False)
        self.input, self.decoder = bytearray(), hpack.Decoder(max_header_list_size=1 << 24)
        self.decoder.max_allowed_table_size = 1 << 32
        self.goaway, self.resets, self.statuses, self.ended, self.fields = None, {}, {}, set(), {}
        self.goaways, self.data, self.pings, self.settings, self.acks = [], {}, [], {}, 0
        self.closed, self.window, self.stream_windows, self.reads = False, 65535, {}, reads
        self.sent_octets, self.frames_in, self.largest_table, self.updates = 0, 0, 0, 0
        self.next_stream, self.header_block = 1, None
        if preface:
            self.send(PREFACE, frame(SETTINGS, payload=b"".join(setting(*each) for each in settings)))

    # Sending

    def send(self, *parts, seconds=5):
        """False when the connection is over or takes no more."""
        out = memoryview(b"".join(parts))
        deadline = time.monotonic() + seconds
        while out and not self.closed:
            try:
                count = self.socket.send(out)
                out = out[count:]
                self.sent_octets += count
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                if time.monotonic() > deadline:
                    return False
                if self.reads:
                    self.receive(0.01)
                else:
                    select.select([], [self.socket], [], 0.05)
            except OSError:
                self.receive(0.2)
                self.closed = True
        return not self.closed

    def stream(self):
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        return stream

    def headers(self, stream, fields, end=True, flags=END_HEADERS):
        payload = fields if isinstance(fields, bytes) else block(fields)
        return frame(HEADERS, flags | (END_STREAM if end else 0), stream, payload)

    def open(self, fields, end=True):
        stream = self.stream()
        self.send(self.headers(stream, fields, end))
        return stream

    def send_data(self, stream, body, end=False, padding=None):
        payload = body if padding is None else bytes([padding]) + body + bytes(padding)
        flags = (END_STREAM if end else 0) | (PADDED if padding is not None else 0)
        self.window -= len(payload)
        self.stream_windows[stream] = self.stream_window(stream) - len(payload)
        return self.send(frame(DATA, flags, stream, payload))

    def stream_window(self, stream):
        return self.stream_windows.get(stream, 0) + self.settings.get(4, 65535)

    # Receiving

    def receive(self, seconds):
        """Takes what comes within the time at most; returns whether something came."""
        if self.closed:
            return False
        pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
        if not pending:
            ready, _, _ = select.select([self.socket], [], [], seconds)
            if not ready:
                return False
        try:
            octets = self.socket.recv(1 << 18)
        except (BlockingIOError, ssl.SSLWantReadError):
            return True
        except OSError:
            octets = b""
        if not octets:
            self.closed = True
        self.input += octets
        self.take_frames()
        return True

    def take_frames(self):
        while len(self.input) >= 9:
            size = int.from_bytes(self.input[:3], "big")
            if len(self.input) < 9 + size:
                return
            kind, flags, stream = self.input[3], self.input[4], int.from_bytes(self.input[5:9], "big") & 0x7FFFFFFF
            payload = bytes(self.input[9:9 + size])
            del self.input[:9 + size]
            self.frames_in += 1
            self.take(kind, flags, stream, payload)

    def take(self, kind, flags, stream, payload):
        if kind == DATA:
            self.data[stream] = self.data.get(stream, 0) + len(payload)
        elif kind in (HEADERS, CONTINUATION):
            self.header_block = payload if kind == HEADERS else self.header_block + payload
            if flags & END_HEADERS:
                fields = self.decoder.decode(self.header_block, raw=True)
                self.largest_table = max(self.largest_table, self.decoder.header_table_size)
                self.fields.setdefault(stream, []).append(fields)
                if fields and fields[0][0] == b":status":
                    self.statuses[stream] = int(fields[0][1])
        elif kind == RST:
            self.resets[stream] = int.from_bytes(payload, "big")
        elif kind == SETTINGS:
            if flags & ACK:
                self.acks += 1
            else:
                for at in range(0, len(payload), 6):
                    self.settings[int.from_bytes(payload[at:at + 2], "big")] = int.from_bytes(payload[at + 2:at + 6], "big")
                self.send(frame(SETTINGS, ACK))
        elif kind == PING and flags & ACK:
            self.pings.append(payload)
        elif kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
            self.goaways.append([int.from_bytes(payload[:4], "big"), self.goaway])
        elif kind == WINDOW:
            if stream == 0:
                self.updates += 1
                self.window += int.from_bytes(payload, "big")
            else:
                self.stream_windows[stream] = self.stream_windows.get(stream, 0) + int.from_bytes(payload, "big")
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.ended.add(stream)

    def until(self, condition, seconds=3.0):
        """Reads until the condition holds, the connection is over, or the time has passed."""
        deadline = time.monotonic() + seconds
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0 or self.closed:
                break
            self.receive(min(left, 0.05))
        return bool(condition())

    def barrier(self, seconds=3.0):
        """Everything sent so far has been handled: a PING came back."""
        mark = os.urandom(8)
        self.send(frame(PING, payload=mark))
        return self.until(lambda: mark in self.pings or self.goaway not in (None, 0), seconds) and mark in self.pings

    def started(self):
        """The proxy's SETTINGS and window have come."""
        self.until(lambda: self.settings or self.closed)
        self.barrier()
        return self

    def is_over(self):
        return self.closed or self.goaway not in (None, 0)

    def outcome(self, stream):
        """One word for what became of a stream or its connection."""
        if stream in self.resets:
            return "reset:" + code_name(self.resets[stream])
        if stream in self.statuses:
            return f"status:{self.statuses[stream]}"
        if self.goaway is not None:
            return "goaway:" + code_name(self.goaway)
        return "closed" if self.closed else "nothing"

    def report(self, **more):
        survives = not self.is_over() and self.barrier(2)
        self.until(lambda: self.closed, 1.0 if self.is_over() else 0)
        counts = {}
        for code in self.resets.values():
            counts[code_name(code)] = counts.get(code_name(code), 0) + 1
        statuses = {}
        for status in self.statuses.values():
            statuses[str(status)] = statuses.get(str(status), 0) + 1
        return {"goaway": None if self.goaway is None else code_name(self.goaway), "survives": survives,
                "closed": self.closed, "resets": counts, "statuses": statuses, "frames_in": self.frames_in,
                "sent_octets": self.sent_octets} | more


def tell(**message):
    print(json.dumps(message), flush=True)
