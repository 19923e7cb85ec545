"""HTTP/2 and TLS peers for the tests: CONTROL_SOCKET. TestSupport/Peer.swift starts this and speaks to it.

One JSON object a line in both directions. A command carries `id` and `op`, and is answered with the same `id`; events
carry `event`. Octets are base64, fields are [name, value] pairs in ISO 8859-1. Scripts of the upstream are in the
hands of the Swift side: every request head is an event, and the answer to it a list of steps.
"""

import asyncio
import base64
import json
import os
import socket
import ssl
import struct
import sys

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
import hyperframe.frame

SETTINGS = {
    "header_table_size": h2.settings.SettingCodes.HEADER_TABLE_SIZE,
    "max_concurrent_streams": h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS,
    "initial_window_size": h2.settings.SettingCodes.INITIAL_WINDOW_SIZE,
    "max_frame_size": h2.settings.SettingCodes.MAX_FRAME_SIZE,
    "max_header_list_size": h2.settings.SettingCodes.MAX_HEADER_LIST_SIZE,
    "enable_connect_protocol": h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL,
}
VERSIONS = {"1.0": ssl.TLSVersion.TLSv1, "1.1": ssl.TLSVersion.TLSv1_1, "1.2": ssl.TLSVersion.TLSv1_2,
            "1.3": ssl.TLSVersion.TLSv1_3}


def encoded(octets):
    return base64.b64encode(octets).decode()


def as_fields(headers):
    return [[bytes(name).decode("latin-1"), bytes(value).decode("latin-1")] for name, value in headers]


def as_headers(fields):
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]


def server_context(tls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls["certificate"], tls["key"])
    if tls.get("ca"):
        context.load_verify_locations(tls["ca"])
        context.verify_mode = ssl.CERT_REQUIRED
    limit(context, tls)

    def named(connection, name, _):
        connection.name_asked = name
    context.sni_callback = named
    return context


def client_context(tls):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls.get("ca"):
        context.load_verify_locations(tls["ca"])
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.get("certificate"):
        context.load_cert_chain(tls["certificate"], tls["key"])
    limit(context, tls)
    return context


def limit(context, tls):
    if tls.get("alpn"):
        context.set_alpn_protocols(tls["alpn"])
    if tls.get("min"):
        context.minimum_version = VERSIONS[tls["min"]]
    if tls.get("max"):
        context.maximum_version = VERSIONS[tls["max"]]
    if tls.get("min") in ("1.0", "1.1") or tls.get("max") in ("1.0", "1.1"):
        context.set_ciphers("ALL:@SECLEVEL=0")


def agreement(transport):
    """What a handshake agreed on."""
    connection = transport.get_extra_info("ssl_object")
    if connection is None:
        return {}
    certificate = connection.getpeercert() or {}
    return {
        "alpn": connection.selected_alpn_protocol() or "", "version": connection.version(),
        "cipher": connection.cipher()[0], "name": getattr(connection, "name_asked", None) or "",
        "resumed": bool(connection.session_reused),
        "subject": ",".join(f"{key}={value}" for part in certificate.get("subject", ()) for key, value in part)}


class Peer:
    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.objects, self.exchanges, self.latches = {}, {}, {}
        self.handles = 0

    def tell(self, **message):
        self.writer.write(json.dumps(message).encode() + b"\n")

    def handle(self, thing):
        self.handles += 1
        self.objects[self.handles] = thing
        thing.handle = self.handles
        return self.handles

    def latch(self, number):
        return self.latches.setdefault(number, asyncio.Event())

    async def run(self):
        while line := await self.reader.readline():
            command = json.loads(line)
            asyncio.get_running_loop().create_task(self.obey(command))

    async def obey(self, command):
        try:
            kind, _, action = command["op"].partition(".")
            if kind == "latch":
                self.latch(command["handle"]).set()
                result = {}
            elif kind == "sync":
                result = {}
            elif kind == "exchange":
                self.exchanges[command["handle"]].steps.set_result(command["steps"])
                result = {}
            elif action == "make":
                result = await {"upstream": make_upstream, "client": make_client, "relay": make_relay}[kind](self, command)
            else:
                result = await getattr(self.objects[command["handle"]], action)(command) or {}
        except Exception as error:  # The Swift side decides what it means.
            result = {"error": f"{type(error).__name__}: {error}"}
        self.tell(id=command["id"], **result)


class Session(asyncio.Protocol):
    """One HTTP/2 connection, either side."""

    def __init__(self, peer, client_side, settings, acknowledges):
        self.peer, self.acknowledges = peer, acknowledges
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=client_side, header_encoding=None, validate_outbound_headers=False,
            normalize_outbound_headers=False, validate_inbound_headers=False))
        self.connection.local_settings = h2.settings.Settings(
            client=client_side, initial_values={SETTINGS[name]: value for name, value in settings.items()})
        self.changed = asyncio.Event()
        self.is_open, self.goaway, self.octets_received, self.failure = True, None, 0, None
        self.input, self.expects_preface, self.owner = bytearray(), not client_side, 0
        self.blocked, self.pongs = set(), set()

    def connection_made(self, transport):
        self.transport = transport
        plain = transport.get_extra_info("socket")
        if plain.family != socket.AF_UNIX:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.begin()

    def begin(self):
        self.connection.initiate_connection()
        self.flush()

    def flush(self):
        octets = self.connection.data_to_send()
        if octets and not self.transport.is_closing():
            self.transport.write(octets)

    def notify(self):
        self.changed.set()
        self.changed = asyncio.Event()

    async def until(self, condition):
        while not condition():
            await self.changed.wait()

    def data_received(self, octets):
        self.octets_received += len(octets)
        self.input += octets
        while self.is_open and (frame := self.next_frame()):
            # The library lets a GOAWAY end the connection, with the streams below its id; so it does not see one.
            if frame[3] == 7 and not self.expects_preface:
                last, code = struct.unpack(">II", frame[9:17])
                self.goaway = [last & 0x7FFFFFFF, code]
                self.peer.tell(event="goaway", handle=self.owner, last=self.goaway[0], code=code)
                continue
            if self.refuses(frame):
                continue
            self.expects_preface = False
            try:
                for event in self.connection.receive_data(frame):
                    if isinstance(event, h2.events.PingAckReceived):
                        self.pongs.add(bytes(event.ping_data))
                    self.received(event)
            except h2.exceptions.ProtocolError as error:
                self.failure = f"{type(error).__name__}: {error}"
                self.peer.tell(event="failed", handle=self.owner, error=self.failure)
                self.flush()
                self.transport.close()
                break
        self.flush()
        self.notify()

    def refuses(self, frame):
        return False

    def next_frame(self):
        size = 24 if self.expects_preface else 9 + int.from_bytes(self.input[:3], "big")
        if len(self.input) < 9 or len(self.input) < size:
            return b""
        frame = bytes(self.input[:size])
        del self.input[:size]
        return frame

    def acknowledge(self, event):
        if self.acknowledges and event.flow_controlled_length:
            try:
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            except h2.exceptions.ProtocolError:
                pass

    def connection_lost(self, error):
        self.is_open = False
        self.notify()
        self.lost(error)

    def write_raw(self, octets):
        self.flush()
        self.transport.write(octets)

    async def send_body(self, stream, octets, end):
        position = 0
        while position < len(octets):
            if self.window(stream) <= 0:
                self.blocked.add(stream)
                self.notify()
            await self.until(lambda: not self.is_open or self.window(stream) > 0)
            self.blocked.discard(stream)
            if not self.is_open:
                return
            count = min(self.window(stream), self.connection.max_outbound_frame_size, len(octets) - position)
            self.connection.send_data(stream, octets[position:position + count])
            position += count
            self.flush()
        if end:
            self.connection.end_stream(stream)
        self.flush()

    async def barrier(self):
        """The other side has handled everything that was sent: it answers a PING."""
        mark = os.urandom(8)
        self.connection.ping(mark)
        self.flush()
        await self.until(lambda: mark in self.pongs or not self.is_open)

    def window(self, stream):
        try:
            return self.connection.local_flow_control_window(stream)
        except h2.exceptions.ProtocolError:
            return 1 << 30  # Gone: the send fails.

    # Commands that both sides know.

    async def close(self, _):
        self.transport.close()

    async def abort(self, _):
        reset(self.transport)

    async def raw(self, command):
        self.write_raw(base64.b64decode(command["body"]))

    async def state(self, _):
        return {"open": self.is_open, "goaway": self.goaway, "failure": self.failure, "octets": self.octets_received,
                "window": self.connection.outbound_flow_control_window,
                "settings": {int(code): value for code, value in self.connection.remote_settings.items()}}

    async def closed(self, _):
        await self.until(lambda: not self.is_open)
        return await self.state(_)

    async def goaway_received(self, command):
        """Waits for a GOAWAY, or for one that names a stream up to `last`."""
        last = command.get("last")
        await self.until(lambda: not self.is_open or self.goaway and (last is None or self.goaway[0] <= last))
        return await self.state(command)

    async def ping(self, _):
        await self.barrier()


def truncate(transport):
    """FIN without close_notify."""
    plain = transport.get_extra_info("socket")
    with socket.socket(fileno=socket.dup(plain.fileno())) as copy:
        copy.shutdown(socket.SHUT_WR)


def reset(transport):
    plain = transport.get_extra_info("socket")
    try:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    transport.abort()


# Upstream


class Upstream:
    def __init__(self, peer, command):
        self.peer, self.connections, self.count = peer, [], 0
        self.settings, self.acknowledges = command.get("settings") or {}, command.get("acknowledges", True)
        self.server = None

    async def open(self, command):
        context = server_context(command["tls"]) if command.get("tls") else None
        loop = asyncio.get_running_loop()
        if command.get("path"):
            self.server = await loop.create_unix_server(self.accept, command["path"], ssl=context)
            return {"port": 0}
        self.server = await loop.create_server(self.accept, "127.0.0.1", command.get("port") or 0, ssl=context)
        return {"port": self.server.sockets[0].getsockname()[1]}

    def accept(self):
        session = UpstreamSession(self.peer, self)
        self.connections.append(session)
        return session

    async def refuse(self, _):
        self.server.close()

    async def drop(self, _):
        for session in self.connections:
            session.transport.close()

    async def goaway(self, command):
        for session in self.connections:
            if session.is_open:
                session.write_raw(hyperframe.frame.GoAwayFrame(
                    0, last_stream_id=command["last"], error_code=command["code"]).serialize())

    async def pause(self, _):
        """Reads nothing from any connection, so that the other side's kernel takes no more."""
        for session in self.connections:
            if session.is_open:
                session.transport.pause_reading()

    async def resume(self, _):
        for session in self.connections:
            if session.is_open:
                session.transport.resume_reading()

    async def stalled(self, command):
        """Waits until so many streams of one connection have no window, and nothing that would open it is under way."""
        def found():
            return next((each for each in self.connections if each.is_open and len(each.blocked) >= command["count"]), None)
        while True:
            while not (session := found()):
                await asyncio.sleep(0.005)
            before = set(session.blocked)
            await session.barrier()
            if before <= session.blocked:
                return {}

    async def grant(self, command):
        """A window for everything on every connection, after a time of starvation."""
        for session in self.connections:
            if session.is_open:
                session.acknowledges = True
                for exchange in session.streams.values():
                    if exchange.unacknowledged:
                        session.connection.acknowledge_received_data(exchange.unacknowledged, exchange.stream)
                        exchange.unacknowledged = 0
                session.flush()


async def make_upstream(peer, command):
    upstream = Upstream(peer, command)
    return {"handle": peer.handle(upstream)} | await upstream.open(command)


class Exchange:
    def __init__(self, stream):
        self.stream, self.body, self.trailers = stream, b"", []
        self.steps = asyncio.get_running_loop().create_future()
        self.is_complete, self.unacknowledged, self.task = False, 0, None


class UpstreamSession(Session):
    def __init__(self, peer, upstream):
        super().__init__(peer, False, upstream.settings, upstream.acknowledges)
        self.upstream, self.streams, self.refused, self.owner = upstream, {}, set(), upstream.handle

    def begin(self):
        self.upstream.count += 1
        self.number = self.upstream.count
        self.peer.handle(self)
        self.peer.tell(event="connection", handle=self.upstream.handle, connection=self.number,
                       agreement=agreement(self.transport))
        super().begin()
        # Who has wide streams has a wide connection.
        if (width := self.upstream.settings.get("initial_window_size", 0)) > 65535:
            self.connection.increment_flow_control_window(width - 65535)
            self.flush()

    def refuses(self, frame):
        """A stream above the limit: REFUSED_STREAM, where the library would end the connection. A client may open it
        before it has our SETTINGS."""
        limit = self.upstream.settings.get("max_concurrent_streams")
        if limit is None or self.expects_preface:
            return False
        stream = int.from_bytes(frame[5:9], "big")
        if frame[3] == 1 and stream not in self.streams and self.connection.open_inbound_streams >= limit:
            self.connection.decoder.decode(frame[9:])  # The table must not miss it.
            self.refused.add(stream)
            self.write_raw(hyperframe.frame.RstStreamFrame(stream, error_code=7).serialize())
            self.peer.tell(event="refused", handle=self.upstream.handle, connection=self.number)
        return stream in self.refused

    def received(self, event):
        exchange = self.streams.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.RequestReceived):
            exchange = self.streams[event.stream_id] = Exchange(event.stream_id)
            exchange.number = self.peer.handle(exchange)
            self.peer.exchanges[exchange.number] = exchange
            self.peer.tell(event="request", handle=self.upstream.handle, exchange=exchange.number,
                           connection=self.number, stream=event.stream_id, fields=as_fields(event.headers))
            exchange.task = asyncio.get_running_loop().create_task(self.serve(exchange))
        elif isinstance(event, h2.events.DataReceived):
            exchange.body += event.data
            if not self.acknowledges:
                exchange.unacknowledged += event.flow_controlled_length
            self.acknowledge(event)
        elif isinstance(event, h2.events.TrailersReceived):
            exchange.trailers = as_fields(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            exchange.is_complete = True
        elif isinstance(event, h2.events.StreamReset) and exchange:
            exchange.task.cancel()
            self.peer.tell(event="reset", handle=self.upstream.handle, exchange=exchange.number,
                           code=int(event.error_code), body=encoded(exchange.body))

    def lost(self, error):
        for exchange in self.streams.values():
            exchange.task.cancel()
        self.peer.tell(event="lost", handle=self.upstream.handle, connection=self.number)

    async def serve(self, exchange):
        try:
            for step in await exchange.steps:
                await getattr(self, "step_" + step["do"])(exchange, exchange.stream, step)
                self.flush()
        except (h2.exceptions.ProtocolError, KeyError) as error:
            self.peer.tell(event="failed", handle=self.upstream.handle, exchange=exchange.number, error=repr(error))

    async def step_read(self, exchange, stream, step):
        count = step.get("count")
        await self.until(lambda: exchange.is_complete or (count is not None and len(exchange.body) >= count))
        if exchange.is_complete:
            self.peer.tell(event="executed", handle=self.upstream.handle, exchange=exchange.number,
                           body=encoded(exchange.body), trailers=exchange.trailers)

    async def step_head(self, exchange, stream, step):
        headers = [(b":status", str(step["status"]).encode())] + as_headers(step["fields"])
        self.connection.send_headers(stream, headers, end_stream=step.get("end", False))

    async def step_data(self, exchange, stream, step):
        await self.send_body(stream, base64.b64decode(step["body"]), step.get("end", False))

    async def step_fill(self, exchange, stream, step):
        piece = base64.b64decode(step["body"])
        left = step["count"]
        while left > 0 and self.is_open:
            await self.send_body(stream, piece[:left], False)
            left -= len(piece)
        if step.get("end", True) and self.is_open:
            self.connection.end_stream(stream)

    async def step_padded(self, exchange, stream, step):
        size = len(step["body"]) + step["count"] + 1
        await self.until(lambda: not self.is_open or self.window(stream) >= size)
        self.connection.send_data(stream, base64.b64decode(step["body"]), pad_length=step["count"])

    async def step_trailers(self, exchange, stream, step):
        self.connection.send_headers(stream, as_headers(step["fields"]), end_stream=True)

    async def step_rst(self, exchange, stream, step):
        self.write_raw(hyperframe.frame.RstStreamFrame(stream, error_code=step["code"]).serialize())

    async def step_goaway(self, exchange, stream, step):
        last = stream + step.get("offset", 0) if step.get("last") is None else step["last"]
        self.write_raw(hyperframe.frame.GoAwayFrame(0, last_stream_id=max(last, 0), error_code=step["code"]).serialize())

    async def step_raw(self, exchange, stream, step):
        """Octets in which a frame header's stream id 0x7FFFFFFF stands for this stream's."""
        octets = base64.b64decode(step["body"]).replace(b"\x7f\xff\xff\xff", stream.to_bytes(4, "big"))
        self.write_raw(octets)

    async def step_latch(self, exchange, stream, step):
        await self.peer.latch(step["latch"]).wait()

    async def step_ping(self, exchange, stream, step):
        await self.barrier()

    async def step_reach(self, exchange, stream, step):
        self.peer.tell(event="reached", handle=self.upstream.handle, latch=step["latch"])

    async def step_never(self, exchange, stream, step):
        await self.until(lambda: not self.is_open)

    async def step_close(self, exchange, stream, step):
        self.flush()
        self.transport.close()

    async def step_truncate(self, exchange, stream, step):
        self.flush()
        truncate(self.transport)

    async def step_reset(self, exchange, stream, step):
        reset(self.transport)


# Client


class Answer:
    def __init__(self):
        self.status, self.fields, self.body, self.trailers, self.interim = None, None, bytearray(), None, []
        self.is_ended, self.reset, self.unacknowledged = False, None, 0

    def report(self, session):
        return {"status": self.status, "fields": self.fields or [], "body": encoded(self.body),
                "trailers": self.trailers or [], "interim": self.interim, "ended": self.is_ended, "reset": self.reset,
                "goaway": session.goaway, "open": session.is_open, "failure": session.failure}


class ClientSession(Session):
    def __init__(self, peer, command):
        super().__init__(peer, True, command.get("settings") or {}, command.get("acknowledges", True))
        self.answers = {}
        self.upgrade_fields, self.head = command.get("upgrade"), b""
        self.authority = command.get("authority") or "service.test"
        self.upgraded = asyncio.get_running_loop().create_future() if self.upgrade_fields is not None else None

    def begin(self):
        if self.upgrade_fields is None:
            return super().begin()
        settings = self.connection.initiate_upgrade_connection()
        lines = [b"GET / HTTP/1.1"] if not self.upgrade_fields or self.upgrade_fields[0][0] != ":line" else \
            [self.upgrade_fields.pop(0)[1].encode()]
        lines += [b"Host: " + self.authority.encode()]
        lines += [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: " + settings]
        lines += [f"{name}: {value}".encode("latin-1") for name, value in self.upgrade_fields]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
        self.answers[1] = Answer()

    def data_received(self, octets):
        if self.upgraded and not self.upgraded.done():
            self.head += octets
            head, separator, rest = self.head.partition(b"\r\n\r\n")
            if separator:
                self.upgraded.set_result(head.decode("latin-1"))
                if head.startswith(b"HTTP/1.1 101"):
                    self.flush()
                    if rest:
                        super().data_received(rest)
            return
        super().data_received(octets)

    def received(self, event):
        answer = self.answers.get(getattr(event, "stream_id", None))
        if answer is None:
            return
        if isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(as_fields(event.headers))
        elif isinstance(event, h2.events.ResponseReceived):
            headers = as_fields(event.headers)
            answer.status = int(headers[0][1])
            answer.fields = headers[1:]
        elif isinstance(event, h2.events.DataReceived):
            answer.body += event.data
            if not self.acknowledges:
                answer.unacknowledged += event.flow_controlled_length
            self.acknowledge(event)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = as_fields(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            answer.is_ended = True
        elif isinstance(event, h2.events.StreamReset):
            answer.reset = int(event.error_code)

    def lost(self, error):
        if self.upgraded and not self.upgraded.done():
            self.upgraded.set_result("")

    async def open(self, command):
        stream = self.connection.get_next_available_stream_id()
        self.answers[stream] = Answer()
        self.connection.send_headers(stream, as_headers(command["fields"]), end_stream=command["end"])
        if command.get("code") is not None:  # In the same segment.
            self.connection.reset_stream(stream, command["code"])
        self.flush()
        return {"stream": stream}

    async def data(self, command):
        try:
            await self.send_body(command["stream"], base64.b64decode(command["body"]), command.get("end", False))
        except h2.exceptions.StreamClosedError:
            pass  # The answer came before the body: what it is will be seen.

    async def trailers(self, command):
        self.connection.send_headers(command["stream"], as_headers(command["fields"]), end_stream=True)
        self.flush()

    async def rst(self, command):
        self.connection.reset_stream(command["stream"], command["code"])
        self.flush()

    async def grant(self, command):
        """Gives back the window of what has come, and of everything from here on."""
        self.acknowledges = True
        for stream, answer in self.answers.items():
            if answer.unacknowledged:
                self.connection.acknowledge_received_data(answer.unacknowledged, stream)
                answer.unacknowledged = 0
        self.flush()

    async def open_window(self, command):
        self.connection.increment_flow_control_window(command["count"], command.get("stream"))
        self.flush()

    def is_over(self, answer):
        return answer.is_ended or answer.reset is not None or not self.is_open

    async def head_received(self, command):
        answer = self.answers[command["stream"]]
        await self.until(lambda: answer.status is not None or self.is_over(answer))
        return answer.report(self)

    async def interim_received(self, command):
        answer = self.answers[command["stream"]]
        await self.until(lambda: answer.interim or answer.status is not None or self.is_over(answer))
        return answer.report(self)

    async def body_received(self, command):
        answer = self.answers[command["stream"]]
        await self.until(lambda: len(answer.body) >= command["count"] or self.is_over(answer))
        return answer.report(self)

    async def ended(self, command):
        answer = self.answers[command["stream"]]
        await self.until(lambda: self.is_over(answer))
        return answer.report(self)


async def make_client(peer, command):
    context = client_context(command["tls"]) if command.get("tls") else None
    name = (command["tls"].get("name") or "service.test") if context else None
    loop = asyncio.get_running_loop()
    factory = lambda: ClientSession(peer, command)  # noqa: E731
    if command.get("path"):
        transport, session = await loop.create_unix_connection(factory, command["path"], ssl=context, server_hostname=name)
    else:
        transport, session = await loop.create_connection(
            factory, "127.0.0.1", command["port"], ssl=context, server_hostname=name)
    result = {"handle": peer.handle(session), "agreement": agreement(transport)}
    if session.upgraded:
        result["head"] = await session.upgraded
    return result


# Relay: octets from one side to the other, TLS on either.


class RelayEnd(asyncio.Protocol):
    def __init__(self, relay):
        self.relay, self.other, self.waiting = relay, None, bytearray()
        self.transport, self.is_ended = None, False

    def connection_made(self, transport):
        self.transport = transport
        if self.waiting:
            transport.write(bytes(self.waiting))

    def send(self, octets):
        if self.transport:
            self.transport.write(octets)
        else:
            self.waiting += octets

    def data_received(self, octets):
        self.other.send(octets)

    def pause_writing(self):
        if self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self):
        if self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, error):
        if self.is_ended:
            return
        self.is_ended = True
        other = self.other
        if other.transport is None or other.is_ended:
            return
        other.is_ended = True
        if isinstance(error, ConnectionResetError):
            reset(other.transport)
        elif self.relay.truncates and other is other.pair_front:
            truncate(other.transport)
        else:
            other.transport.close()


class Relay:
    """Accepts (with TLS when `listen` is given), connects (with TLS when `connect` is given), and passes octets on."""

    def __init__(self, peer, command):
        self.peer, self.command = peer, command
        self.listening = server_context(command["listen"]) if command.get("listen") else None
        self.connecting = client_context(command["connect"]) if command.get("connect") else None
        self.truncates, self.greeting = command.get("truncates", False), base64.b64decode(command.get("greeting", ""))
        self.silent, self.tasks, self.count = command.get("silent", False), [], 0

    async def open(self):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(256)
        self.socket.setblocking(False)
        self.tasks.append(asyncio.get_running_loop().create_task(self.accept()))
        return {"port": self.socket.getsockname()[1]}

    async def accept(self):
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self.socket)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.tasks.append(loop.create_task(self.serve(connection)))

    async def serve(self, connection):
        loop = asyncio.get_running_loop()
        self.count += 1
        number = self.count
        self.peer.tell(event="accepted", handle=self.handle, connection=number)
        if self.greeting:
            await loop.sock_sendall(connection, self.greeting)
        if self.silent:
            self.silent_connection = connection
            return
        front, back = RelayEnd(self), RelayEnd(self)
        front.other, back.other = back, front
        front.pair_front = back.pair_front = front
        try:
            transport, _ = await loop.connect_accepted_socket(lambda: front, connection, ssl=self.listening)
        except (OSError, ssl.SSLError) as error:
            self.peer.tell(event="failed", handle=self.handle, connection=number, error=str(error))
            return
        if self.listening:
            self.peer.tell(event="connection", handle=self.handle, connection=number, agreement=agreement(transport))
        try:
            name = (self.command["connect"].get("name") or "service.test") if self.connecting else None
            if self.command.get("path"):
                transport, _ = await loop.create_unix_connection(
                    lambda: back, self.command["path"], ssl=self.connecting, server_hostname=name)
            else:
                transport, _ = await loop.create_connection(
                    lambda: back, "127.0.0.1", self.command["port"], ssl=self.connecting, server_hostname=name)
            plain = transport.get_extra_info("socket")
            if plain.family != socket.AF_UNIX:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except (OSError, ssl.SSLError) as error:
            self.peer.tell(event="failed", handle=self.handle, connection=number, error=str(error))
            front.is_ended = True
            front.transport.close()
            return
        if self.connecting:
            self.peer.tell(event="connection", handle=self.handle, connection=number, agreement=agreement(transport))
        if front.is_ended:
            transport.close()

    async def refuse(self, _):
        self.tasks[0].cancel()
        self.socket.close()


async def make_relay(peer, command):
    relay = Relay(peer, command)
    return {"handle": peer.handle(relay)} | await relay.open()


async def main():
    reader, writer = await asyncio.open_unix_connection(sys.argv[1], limit=1 << 30)
    await Peer(reader, writer).run()


asyncio.run(main())
