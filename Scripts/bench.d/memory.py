"""Memory of idle connections and of stored records, and how long a start with those records takes."""

import contextlib
import os
import resource
import selectors
import signal
import socket
import time

from harness import Failure, answer, poll

CONNECTION_LIMIT = 12 * 1024  # Octets of memory per idle keep-alive connection.
RECORD_LIMIT = 64  # Octets of memory per stored record.
START_LIMIT = 2.0  # Seconds of a start with one million records.
JUDGED_FROM = 500_000
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"


def raise_descriptor_limit(needed):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= needed:
        return
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, max(hard, needed)))
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < needed:
        raise Failure(f"{needed} descriptors are needed and {hard} are allowed: raise `ulimit -Hn` or lower --idle")


def open_idle(port, count, window=200):
    """Opens connections, has one GET answered on each, and gives them back open."""
    idle, selector, started = [], selectors.EpollSelector(), 0
    deadline = time.monotonic() + 60 + count / 200
    while len(idle) < count:
        while started < count and started - len(idle) < window:
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connection.sendall(REQUEST)
            selector.register(connection, selectors.EVENT_READ, bytearray())
            started += 1
        for key, _ in selector.select(1):
            octets = key.fileobj.recv(65536)
            if not octets:
                raise Failure(f"connection {len(idle) + 1} of {count} was closed by the proxy")
            key.data.extend(octets)
            if is_complete(key.data):
                selector.unregister(key.fileobj)
                idle.append(key.fileobj)
        if time.monotonic() > deadline:
            raise Failure(f"only {len(idle)} of {count} connections were answered in time")
    return idle


def is_complete(answer_octets):
    head, separator, body = bytes(answer_octets).partition(b"\r\n\r\n")
    if not separator:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise Failure(f"an idle connection was answered {head[:60]!r}")
    lower = head.lower()
    if b"transfer-encoding: chunked" in lower:
        return body.endswith(b"0\r\n\r\n")
    return len(body) >= int(lower.split(b"content-length:")[1].split(b"\r\n")[0])


def per_idle_connection(process, count):
    with_none = process.resident_bytes()
    idle = open_idle(process.port, count)
    with_all = process.resident_bytes()
    for connection in idle:
        connection.close()
    return {"connections": count, "resident_before": with_none, "resident_after": with_all,
            "bytes_per_connection": (with_all - with_none) / count}


def load_records(bench, process, count, prefix, rate=20_000):
    """First attempts until `count` were answered, `rate` being the guess to begin with; gives the number and the seconds."""
    made, started = 0, time.monotonic()
    while made < count:
        if made:
            rate = made / (time.monotonic() - started)
        seconds = min(max((count - made) / rate, 1), 30)
        result = bench.wrk(process, "first", 128, round(seconds), f"{prefix}{made:09d}-")
        if result["errors"]:
            raise Failure(f"{result['errors']} errors while loading records: {result}")
        made += result["requests"]
    return made, time.monotonic() - started


def store_bytes(path):
    return sum(os.path.getsize(os.path.join(folder, name)) for folder, _, names in os.walk(path) for name in names)


def settle(process):
    """Resident memory once it has stopped moving: three readings a quarter of a second apart that agree within 1 %."""
    readings = []

    def steady():
        readings.append(process.resident_bytes())
        last = readings[-3:]
        return len(last) == 3 and max(last) - min(last) <= max(last) / 100
    with contextlib.suppress(Failure):
        poll(steady, 10, "memory to settle", 0.25)
    return readings[-1]


def drop_page_cache():
    with contextlib.suppress(OSError):
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w") as file:
            file.write("3")
        return True
    return False


def start_and_time(bench, name, store, token):
    """A start on `store`: the process, and the seconds from its launch to the first replay."""
    headers = {"Idempotency-Key": token, "Content-Type": "application/json"}
    started = time.perf_counter()
    process = bench.start_proxy(name, store=store, wait=False)

    def replays():
        if process.child.poll() is not None:
            raise Failure(f"oncegate ended with status {process.child.returncode}:\n{process.log_tail()}")
        try:
            status, fields, _ = answer(process.port, "POST", "/once", headers, "{}", timeout=60)
        except OSError:
            return False
        if status == 503:
            return False
        if not bench.options.proxy_command and fields.get("idempotent-replayed") != "true":
            raise Failure(f"after the start a recorded token was answered {status} {fields}, not replayed")
        return True
    poll(replays, 120, "a replay after the start", 0.002)
    return process, time.perf_counter() - started


def records(bench, count):
    # Caches and pools fill first: what is measured is the growth after that.
    warm = max(count // 5, 1000)
    store = os.path.join(bench.directory, "records")
    process = bench.start_proxy("oncegate-records", store=store)
    empty = settle(process)
    token = bench.fresh_prefix()
    answer(process.port, "POST", "/once", {"Idempotency-Key": token, "Content-Type": "application/json"}, "{}")
    warm_made, warm_seconds = load_records(bench, process, warm, bench.fresh_prefix())
    warmed = settle(process)
    made, seconds = load_records(bench, process, max(count - warm_made, 1), bench.fresh_prefix(), warm_made / warm_seconds)
    full = settle(process)
    bench.stop(process, signal.SIGTERM)
    size = store_bytes(store)
    process, warm_start = start_and_time(bench, "oncegate-restart", store, token)
    restarted = settle(process)
    bench.stop(process)
    cold_start = None
    if drop_page_cache():
        process, cold_start = start_and_time(bench, "oncegate-cold", store, token)
        bench.stop(process)
    total = warm_made + made + 1
    return {"records": total, "loaded_per_second": made / seconds, "store_bytes_per_record": size / total,
            "resident_empty": empty, "resident_full": full, "resident_restarted": restarted,
            "bytes_per_record": (full - warmed) / made, "bytes_per_record_restarted": (restarted - empty) / total,
            "start_seconds": warm_start, "start_seconds_cold": cold_start}


def verdict(value, limit):
    return f"{'reaches' if value <= limit else 'MISSES'} ≤ {limit}"


def record_verdict(found, value, limit):
    """Caches weigh more than records, and a start more than its scan, when there are few records."""
    return verdict(value, limit) if found["records"] >= JUDGED_FROM else f"(judged from {JUDGED_FROM} records on)"


def print_records(found):
    mib = 1024 * 1024
    million = found["start_seconds"] * 1e6 / found["records"]
    print(f"\n{found['records']} records, made at {found['loaded_per_second']:.0f} a second, "
          f"{found['store_bytes_per_record']:.0f} octets each on disk")
    print(f"  memory per record, while running    {found['bytes_per_record']:>8.1f} octets  "
          f"{record_verdict(found, found['bytes_per_record'], RECORD_LIMIT)}")
    print(f"  memory per record, after a restart  {found['bytes_per_record_restarted']:>8.1f} octets "
          f"(all growth over an empty start, caches included)")
    print(f"  resident: empty {found['resident_empty'] / mib:.1f} MiB, full {found['resident_full'] / mib:.1f} MiB, "
          f"restarted {found['resident_restarted'] / mib:.1f} MiB")
    print(f"  start to first replay               {found['start_seconds']:>8.2f} s       {record_verdict(found, million, START_LIMIT)} "
          f"s per million")
    if found["start_seconds_cold"] is not None:
        print(f"  the same with a cold page cache     {found['start_seconds_cold']:>8.2f} s")


def measure(bench):
    options, results, missed = bench.options, {}, []
    if options.idle:
        raise_descriptor_limit(options.idle + 1000)
        proxy, peer = bench.start_proxy(), bench.start_peer()
        print(f"\nidle keep-alive connections: {options.idle}")
        for name, process in (("oncegate", proxy), ("nginx", peer)):
            found = results.setdefault("idle", {})[name] = per_idle_connection(process, options.idle)
            each = found["bytes_per_connection"]
            mark = verdict(each, CONNECTION_LIMIT) if name == "oncegate" else ""
            print(f"  {name:<9} {each:>8.0f} octets each  ({found['resident_before'] / 1048576:.1f} → "
                  f"{found['resident_after'] / 1048576:.1f} MiB)  {mark}", flush=True)
        if results["idle"]["oncegate"]["bytes_per_connection"] > CONNECTION_LIMIT:
            missed.append("idle")
        bench.stop(proxy)
        bench.stop(peer)
    if options.records:
        found = results["records"] = records(bench, options.records)
        print_records(found)
        million = found["start_seconds"] * 1e6 / found["records"]
        if found["records"] >= JUDGED_FROM and (found["bytes_per_record"] > RECORD_LIMIT or million > START_LIMIT):
            missed.append("records")
    return results, missed
