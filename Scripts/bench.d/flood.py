"""Who is connected, while others begin TLS handshakes faster than the proxy can make them (checks.md, C3)."""

import collections
import multiprocessing
import socket
import ssl
import statistics
import time

import protocols

RATE = 10_000  # ClientHellos a second.
OPEN_MAX = 64  # Connections of the flood at once; the oldest leaves for the next.
CLIENTS, REQUESTS_A_CLIENT = 4, 200  # Connected clients, and what each asks a second.
P99_LIMIT = 2.0  # Relative to the same requests without the flood.


def client_hello():
    """As a client of TLS 1.3 sends it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    out = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="bench").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def flood(port, hello, begun, over):
    """Connects, sends the hello, never reads: ten each millisecond, or as many as the backlog takes."""
    connections, start, count = collections.deque(), time.monotonic(), 0
    while not over.is_set():
        ahead = start + count / RATE - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        elif ahead < -1:
            start, count = time.monotonic(), 0  # What was missed is not made up for.
        for _ in range(RATE // 1000):
            count += 1
            connection = socket.socket()
            connection.settimeout(0.2)
            try:
                connection.connect(("127.0.0.1", port))
                connection.send(hello)
            except OSError:
                connection.close()
                continue
            connections.append(connection)
            with begun.get_lock():
                begun.value += 1
            if len(connections) > OPEN_MAX:
                connections.popleft().close()


class Flood:
    def __init__(self, process):
        self.begun, self.over = multiprocessing.Value("L", 0), multiprocessing.Event()
        arguments = (process.ports["tls"], client_hello(), self.begun, self.over)
        self.child = multiprocessing.Process(target=flood, args=arguments, daemon=True)

    def __enter__(self):
        self.child.start()
        self.started = time.monotonic()
        time.sleep(0.5)
        return self

    def rate(self):
        return self.begun.value / (time.monotonic() - self.started)

    def __exit__(self, *_):
        self.over.set()
        self.child.join(10)
        self.child.kill()


def requests(bench, process, protocol, seconds):
    """At a rate far below what the proxy can do, so that the times are its own and not a queue's."""
    url = protocols.base_url(process, protocol) + "/"
    return bench.h2load.collect([["--h1", "-m", "1", "-c", str(CLIENTS), f"--rps={REQUESTS_A_CLIENT}",
                                  "-D", f"{seconds:g}", url]], seconds)


def measure(bench):
    proxy, peer = bench.start_proxy(), bench.start_peer()
    print(f"\n{CLIENTS * REQUESTS_A_CLIENT} requests a second on {CLIENTS} connections, beside up to {RATE} ClientHellos a second"
          f"\n{'':>20} │ {'quiet p50':>9} {'p99 ms':>7} │ {'flood p50':>9} {'p99 ms':>7} │ {'ratio of p99':>12} │ {'hellos/s':>8} {'cores':>5} {'errors':>6}")
    rows = []
    for protocol in ("http1", "tls"):
        for process in (proxy, peer):
            runs = []
            for _ in range(bench.options.repeat):
                quiet = requests(bench, process, protocol, bench.options.seconds)
                with Flood(process) as running:
                    cpu, began = process.cpu_seconds(), time.monotonic()
                    flooded = requests(bench, process, protocol, bench.options.seconds)
                    cores, rate = (process.cpu_seconds() - cpu) / (time.monotonic() - began), running.rate()
                runs.append((quiet, flooded, rate, cores))
            rows.append(row(process, protocol, runs, is_ours=process is proxy))
    return {"flood": rows}, [found for found in rows if found["missed"]]


def row(process, protocol, runs, is_ours):
    def middle(index, key):
        return statistics.median(run[index][key] for run in runs)
    errors = sum(run[index]["errors"] for run in runs for index in (0, 1))
    ratio = middle(1, "p99_us") / max(middle(0, "p99_us"), 1)
    missed = is_ours and (ratio > P99_LIMIT or errors > 0)
    verdict = f"  {'MISSES' if missed else 'reaches'} ≤ {P99_LIMIT:g}" if is_ours else ""
    name = f"{process.name}, {'TLS 1.3' if protocol == 'tls' else 'in the clear'}"
    print(f"{name:>20} │ {middle(0, 'p50_us') / 1000:>9.2f} {middle(0, 'p99_us') / 1000:>7.2f} │ {middle(1, 'p50_us') / 1000:>9.2f} "
          f"{middle(1, 'p99_us') / 1000:>7.2f} │ {ratio:>12.2f} │ {statistics.median(run[2] for run in runs):>8.0f} {statistics.median(run[3] for run in runs):>5.2f} {errors:>6}{verdict}",
          flush=True)
    return {"proxy": process.name, "protocol": protocol, "p99_ratio": ratio, "errors": errors, "missed": missed,
            "quiet_p99_us": middle(0, "p99_us"), "flooded_p99_us": middle(1, "p99_us")}
