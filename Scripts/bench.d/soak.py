"""Whether anything grows: a million requests over HTTP/2, then a hundred thousand TLS handshakes, good ones and broken-off ones."""

import contextlib
import os
import re
import socket
import ssl

import protocols
from harness import Failure, poll
from memory import settle

# Octets of resident memory between the first fifth of the load, which fills pools and caches, and all of it: of a
# million requests, five octets for each of the last eight hundred thousand.
GROWTH_LIMIT = 4 * 1024 * 1024
MIB = 1024 * 1024
DESCRIPTORS_SECONDS = 60


def descriptors(process):
    return len(os.listdir(f"/proc/{process.child.pid}/fd"))


class Watch:
    """Readings of one part of the load; what it fills first is not growth."""

    def __init__(self, process, what, total):
        self.process, self.what, self.total = process, what, total
        self.readings = []
        print(f"\n{what}: {total}\n{'done':>10} │ {'resident MiB':>12} │ descriptors", flush=True)
        self.read(0)

    def read(self, done):
        resident, count = settle(self.process), descriptors(self.process)
        self.readings.append((done, resident, count))
        print(f"{done:>10} │ {resident / MIB:>12.2f} │ {count:>11}", flush=True)

    def verdict(self):
        first, last = self.readings[0], self.readings[-1]
        warm = next(reading for reading in self.readings if reading[0] >= self.total / 5)
        growth = last[1] - warm[1]
        with contextlib.suppress(Failure):
            # Idle connections to the service are closed after a while.
            poll(lambda: descriptors(self.process) <= first[2], DESCRIPTORS_SECONDS, "descriptors")
        left = descriptors(self.process) - first[2]
        ok = growth <= GROWTH_LIMIT and left <= 4
        print(f"{'':>10} │ grew by {growth / MIB:.2f} MiB after the first fifth, {max(left, 0)} descriptors more than before  "
              f"{'reaches' if ok else 'MISSES'} ≤ {GROWTH_LIMIT // MIB} MiB, 4 descriptors")
        return {"what": self.what, "readings": self.readings, "growth": growth, "descriptors": left, "missed": not ok}


def requests(bench, process, total):
    """In tenths: GETs and replays by turns, over TLS and in the clear, on new connections each time.

    The records are the 64 that the replays ask for, made before the first reading."""
    prefix, done, replayed = bench.fresh_prefix(), 0, 0
    for protocol in ("h2", "h2c"):
        bench.prime(process, prefix, 64, protocol)
    watch, replays_before = Watch(process, "requests over HTTP/2", total), replays_told(process)
    steps = [(protocol, kind) for kind in ("get", "replay") for protocol in ("h2", "h2c")]
    each, turn, next_reading = max(total // 40, 1000), 0, total / 10
    while done < total:
        protocol, kind = steps[turn % len(steps)]
        turn += 1
        url = protocols.base_url(process, protocol)
        target = [url + "/"] if kind == "get" else [
            *bench.h2load.posting(), "-i", bench.h2load.paths(url, prefix, 64)]
        executed = bench.upstream_requests()
        result = bench.h2load.collect([["-c", "8", "-n", str(each), *target]], 60)
        executed = bench.upstream_requests() - executed
        # `requests` counts answers with 2xx only.
        if result["errors"] or result["requests"] != each or executed != (each if kind == "get" else 0):
            raise Failure(f"{kind} over {protocol} after {done} requests: {executed} executed, {result}")
        done += each
        replayed += each if kind == "replay" else 0
        if done >= next_reading:
            watch.read(done)
            next_reading += total / 10
    told = replays_told(process) - replays_before
    if told != replayed:
        raise Failure(f"{replayed} replays were answered, and the proxy counts {told}")
    return watch.verdict()


def replays_told(process):
    """What the proxy's own metric says."""
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(process.admin)
        admin.sendall(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: admin.recv(65536), b"")).decode()
    found = re.findall(r'^oncegate_idempotency_requests_total\{[^}]*outcome="replayed"[^}]*\} (\S+)$', text, re.M)
    return int(sum(float(value) for value in found))


def broken_handshakes(port, count):
    """A ClientHello cut off, garbage, nothing at all."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    hello_input, hello = ssl.MemoryBIO(), ssl.MemoryBIO()
    with_hello = context.wrap_bio(hello_input, hello, server_hostname="bench")
    try:
        with_hello.do_handshake()
    except ssl.SSLWantReadError:
        pass
    whole = hello.read()
    for number in range(count):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall((whole[:len(whole) // 2], b"GET / HTTP/1.1\r\n\r\n", b"", whole)[number % 4])


def handshakes(bench, process, total):
    watch, done, next_reading, turn = Watch(process, "TLS handshakes", total), 0, total / 10, 0
    port = process.ports["tls"]
    while done < total:
        version, resumed = (("-tls1_3", False), ("-tls1_2", False), ("-tls1_2", True))[turn % 3]
        turn += 1
        made = protocols.handshakes(port, 2, 2, resumed, version)
        if not made:
            raise Failure("no handshake came to its end")
        broken_handshakes(port, 200)
        done += made
        if done >= next_reading:
            watch.read(done)
            while next_reading <= done:
                next_reading += total / 10
    return watch.verdict()


def measure(bench):
    process = bench.start_proxy("oncegate-soak")
    results = [requests(bench, process, bench.options.requests), handshakes(bench, process, bench.options.handshakes)]
    bench.stop(process)
    return {"soak": results}, [result for result in results if result["missed"]]
