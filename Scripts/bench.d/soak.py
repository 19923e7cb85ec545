"""Whether anything grows: a million requests over HTTP/2, then a hundred thousand TLS handshakes, good ones and broken-off ones."""

import contextlib
import os
import re
import socket
import ssl

import protocols
from harness import Failure, poll
from memory import settle

# Octets in use between the first fifth of the load, which fills pools and caches, and all of it: of a million requests,
# 2.6 octets for each of the last eight hundred thousand. Connections to the service, of which some more are opened, count.
IN_USE_LIMIT = 2 * 1024 * 1024
# Octets of resident memory that the second half of the load may reach above the first half's peak. One reading says
# little: what the allocator keeps for reuse moves by three or four MiB between two readings. A leak shows in use.
RESIDENT_LIMIT = 8 * 1024 * 1024
MIB = 1024 * 1024
DESCRIPTORS_SECONDS = 60


def descriptors(process):
    return len(os.listdir(f"/proc/{process.child.pid}/fd"))


class Watch:
    """Readings of one part of the load; what it fills first is not growth."""

    def __init__(self, process, what, total):
        self.process, self.what, self.total = process, what, total
        self.readings = []
        print(f"\n{what}: {total}\n{'done':>10} │ {'resident MiB':>12} │ {'in use MiB':>10} │ descriptors", flush=True)
        self.read(0)

    def read(self, done):
        resident, count, used = settle(self.process), descriptors(self.process), allocated(self.process)
        self.readings.append((done, resident, count, used))
        print(f"{done:>10} │ {resident / MIB:>12.2f} │ {used / MIB:>10.2f} │ {count:>11}", flush=True)

    def verdict(self):
        first, last = self.readings[0], self.readings[-1]
        warm = next(reading for reading in self.readings if reading[0] >= self.total / 5)
        in_use = last[3] - warm[3]
        half = [reading[1] for reading in self.readings if reading[0] <= self.total / 2]
        resident = max(reading[1] for reading in self.readings) - max(half)
        with contextlib.suppress(Failure):
            # Idle connections to the service are closed after a while.
            poll(lambda: descriptors(self.process) <= first[2], DESCRIPTORS_SECONDS, "descriptors")
        left = descriptors(self.process) - first[2]
        ok = in_use <= IN_USE_LIMIT and resident <= RESIDENT_LIMIT and left <= 4
        print(f"{'':>10} │ {in_use / MIB:.2f} MiB more in use than after the first fifth, peak of resident memory {resident / MIB:.2f} MiB "
              f"above the first half's, {max(left, 0)} descriptors more than before  {'reaches' if ok else 'MISSES'} "
              f"≤ {IN_USE_LIMIT // MIB}, {RESIDENT_LIMIT // MIB} MiB, 4 descriptors")
        return {"what": self.what, "readings": self.readings, "in_use": in_use, "resident": resident,
                "descriptors": left, "missed": not ok}


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


def metrics(process):
    with socket.socket(socket.AF_UNIX) as admin:
        admin.connect(process.admin)
        admin.sendall(b"GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: admin.recv(65536), b"")).decode()


def replays_told(process):
    """What the proxy's own metric says."""
    found = re.findall(
        r'^oncegate_idempotency_requests_total\{[^}]*outcome="replayed"[^}]*\} (\S+)$', metrics(process), re.M)
    return int(sum(float(value) for value in found))


def allocated(process):
    """What the proxy's allocator has given out."""
    return int(float(re.search(r"^oncegate_heap_allocated_bytes (\S+)$", metrics(process), re.M).group(1)))


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
