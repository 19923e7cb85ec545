"""Measures oncegate and nginx's proxy_pass in the same run. Scripts/bench installs, builds and starts this."""

import argparse
import contextlib
import itertools
import json
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys

import flood
import memory
import protocols
import soak
from harness import Bench, Failure, answer, flush_microseconds, is_on_tmpfs
from protocols import PROTOCOLS

KINDS = {
    "get": "pass-through GET",
    "first": "first attempt (a new token each; store durability {durability})",
    "replay": "replay (64 tokens)",
}
# The CPU of one request relative to nginx's proxy_pass over the same protocol must not be more than this, at so many
# connections.
LIMITS = {"get": 1.1, "first": 2.0, "replay": 0.8}
JUDGED_AT = {"http1": 128, "tls": 128, "h2c": 4, "h2": 4}
# TLS handshakes per CPU second relative to nginx's with the same certificate must not be less.
HANDSHAKE_LIMIT = 0.9
HEADROOM = "upstream and load generator share the machine: compare CPU per request and ratios, not requests/s alone"


def median(values):
    return statistics.median(values)


def measure(bench, process, protocol, kind, connections, seconds, prefix):
    if protocols.is_http2(protocol) and kind == "first":
        bench.load(process, protocol, kind, connections, 1, bench.fresh_prefix())  # Finds the rate.
    executed, cpu = bench.upstream_requests(), process.cpu_seconds()
    result = bench.load(process, protocol, kind, connections, seconds, prefix)
    result["cpu_us"] = (process.cpu_seconds() - cpu) * 1e6 / max(result["requests"], 1)
    result["rps"] = result["requests"] / result["seconds"]
    result["executed"] = bench.upstream_requests() - executed
    return result


def remarks(protocol, kind, runs, connections, is_standin):
    """What makes a cell untrustworthy; an empty list for a good one."""
    found = []
    open_requests = connections * (protocols.STREAMS if protocols.is_http2(protocol) else 1)
    errors = sum(run["errors"] for run in runs)
    if errors:
        kinds = [key for key in ("connect_errors", "read_errors", "write_errors", "timeouts", "status_errors")
                 if any(run[key] for run in runs)]
        found.append(f"{errors} errors ({', '.join(kinds)})")
    for run in runs:
        extra = run["executed"] - run["requests"]
        if is_standin:
            continue
        if kind == "replay" and run["executed"] > 0:
            found.append(f"the upstream executed {run['executed']} of the replays")
        # What was in flight when the load stopped has been executed and is not counted.
        if kind != "replay" and not 0 <= extra <= 2 * open_requests + 16:
            found.append(f"{run['requests']} requests, but {run['executed']} executions")
    return found


def summarise(runs):
    return {key: median([run[key] for run in runs]) for key in ("rps", "p50_us", "p99_us", "cpu_us")} | {
        "requests": sum(run["requests"] for run in runs), "errors": sum(run["errors"] for run in runs),
        "cpu_us_runs": [round(run["cpu_us"], 2) for run in runs], "rps_runs": [round(run["rps"]) for run in runs]}


def run_cell(bench, proxy, peer, protocol, kind, connections):
    """A B A B, so that a noisy spell of the machine meets both."""
    options, ours, theirs = bench.options, [], []
    prefix = bench.fresh_prefix()
    if kind == "replay":
        bench.prime(proxy, prefix, 64, protocol)
    for _ in range(options.repeat):
        use = prefix if kind == "replay" else bench.fresh_prefix()
        ours.append(measure(bench, proxy, protocol, kind, connections, options.seconds, use))
        theirs.append(measure(bench, peer, protocol, kind, connections, options.seconds, use))
    cell = {"protocol": protocol, "kind": kind, "connections": connections, "oncegate": summarise(ours),
            "nginx": summarise(theirs)}
    cell["cpu_ratio"] = cell["oncegate"]["cpu_us"] / max(cell["nginx"]["cpu_us"], 1e-9)
    cell["remarks"] = remarks(protocol, kind, ours, connections, bool(options.proxy_command))
    cell["remarks"] += [f"nginx: {text}" for text in remarks(protocol, "get", theirs, connections, False)]
    return cell


def milliseconds(value):
    return f"{value / 1000:.2f}"


COLUMNS = f"{'conns':>6} │{'req/s':>8} {'nginx':>8} │{'p50 ms':>7} {'nginx':>7} │{'p99 ms':>7} {'nginx':>7} │" \
          f"{'CPU µs/req':>11} {'nginx':>7} {'ratio':>6} │ {'errors':>6}"


def print_cell(cell):
    a, b = cell["oncegate"], cell["nginx"]
    verdict = ""
    if cell["connections"] == JUDGED_AT[cell["protocol"]]:
        limit = LIMITS[cell["kind"]]
        verdict = f"  {'reaches' if cell['cpu_ratio'] <= limit else 'MISSES'} ≤ {limit}"
    print(f"{cell['connections']:>6} │{a['rps']:>8.0f} {b['rps']:>8.0f} │{milliseconds(a['p50_us']):>7} "
          f"{milliseconds(b['p50_us']):>7} │{milliseconds(a['p99_us']):>7} {milliseconds(b['p99_us']):>7} │"
          f"{a['cpu_us']:>11.1f} {b['cpu_us']:>7.1f} {cell['cpu_ratio']:>6.2f} │ {a['errors']:>6}{verdict}", flush=True)
    for text in cell["remarks"]:
        print(f"       ! {text}")


def check_answers(bench, proxy):
    """One request of each kind, looked at, before any is counted."""
    status, _, body = answer(proxy.port)
    if status != 200 or len(body) != 200:
        raise Failure(f"GET / through the proxy gave {status} with {len(body)} octets, not 200 with 200")
    headers = {"Idempotency-Key": bench.fresh_prefix(), "Content-Type": "application/json"}
    outcomes = [answer(proxy.port, "POST", "/once", headers, "{}") for _ in range(2)]
    if [status for status, _, _ in outcomes] != [201, 201] or outcomes[0][2] != outcomes[1][2]:
        raise Failure(f"POST /once gave {outcomes}")
    replayed = [fields.get("idempotent-replayed") for _, fields, _ in outcomes]
    if not bench.options.proxy_command and replayed != [None, "true"]:
        raise Failure(f"Idempotent-Replayed of an attempt and its repeat are {replayed}")


def syscalls(bench, process, kind, connections, prefix):
    """Calls per request, the most frequent ones named. Slows the process, so it runs apart."""
    report = os.path.join(bench.directory, "strace")
    command = ["strace", "-c", "-f", "-U", "calls,name", "-o", report]
    tracer = subprocess.Popen(command + [part for pid in process.pids() for part in ("-p", str(pid))],
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        for line in tracer.stderr:  # "strace: Process N attached"
            if "attached" in line:
                break
            if "ptrace" in line or "ermitted" in line:
                raise Failure(f"strace may not trace: {line.strip()}")
        requests = bench.wrk(process, kind, connections, 2, prefix)["requests"]
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=30)
    calls = {}
    with open(report) as file:
        for line in file:
            match = re.match(r"\s*(\d+)\s+(\w+)\s*$", line)
            if match and match.group(2) != "total":
                calls[match.group(2)] = int(match.group(1)) / max(requests, 1)
    top = sorted(calls.items(), key=lambda item: -item[1])
    return {"per_request": sum(calls.values()), "calls": {name: round(n, 3) for name, n in top if n >= 0.005}}


def build_malloc_counter(bench):
    compiler = next((name for name in ("cc", "gcc", "clang") if shutil.which(name)), None)
    if compiler is None:
        return None
    library = os.path.join(bench.directory, "malloc_counter.so")
    source = os.path.join(os.path.dirname(os.path.abspath(__file__)), "malloc_counter.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def allocations(bench, kind, connections):
    """Allocations per request in steady state, of a proxy of its own."""
    library = build_malloc_counter(bench)
    if library is None:
        return None
    counters = os.path.join(bench.directory, f"malloc-{kind}-{connections}")
    process = bench.start_proxy(f"oncegate-malloc-{kind}-{connections}", environment={
        "LD_PRELOAD": library, "MALLOC_COUNTER_FILE": counters})
    prefix = bench.fresh_prefix()
    if kind == "replay":
        bench.prime(process, prefix, 64)
    bench.wrk(process, kind, connections, 1, prefix if kind == "replay" else bench.fresh_prefix())

    def read():
        with open(counters, "rb") as file:
            raw = file.read(16)
        return int.from_bytes(raw[:8], "little"), int.from_bytes(raw[8:16], "little")
    before = read()
    requests = bench.wrk(process, kind, connections, 2, prefix)["requests"]
    after = read()
    bench.stop(process)
    return {"per_request": (after[0] - before[0]) / max(requests, 1),
            "octets_per_request": (after[1] - before[1]) / max(requests, 1)}


def print_details(details):
    print("\nper request                 │ syscalls    nginx │ allocations  octets │ most frequent calls")
    for row in details:
        malloc = row["allocations"] or {"per_request": float("nan"), "octets_per_request": float("nan")}
        frequent = ", ".join(f"{name} {count:.2f}" for name, count in list(row["syscalls"]["calls"].items())[:6])
        print(f"{row['kind']:>8} at {row['connections']:>4} connections │{row['syscalls']['per_request']:>9.2f} "
              f"{row['nginx_syscalls']['per_request']:>8.2f} │{malloc['per_request']:>12.2f} "
              f"{malloc['octets_per_request']:>7.0f} │ {frequent}")


def measure_details(bench, proxy, peer, kinds, connections):
    details = []
    for kind in kinds:
        for count in connections:
            prefix = bench.fresh_prefix()
            if kind == "replay":
                bench.prime(proxy, prefix, 64)
            details.append({
                "kind": kind, "connections": count, "syscalls": syscalls(bench, proxy, kind, count, prefix),
                "nginx_syscalls": syscalls(bench, peer, kind, count, prefix),
                "allocations": allocations(bench, kind, count)})
    print_details(details)
    return details


def about_machine(options):
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "?")
    nginx = subprocess.run([shutil.which("nginx") or "/usr/sbin/nginx", "-v"], capture_output=True, text=True).stderr
    about = {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
             "nginx": nginx.strip().rpartition("/")[2], "load": os.getloadavg()[0],
             "flush_us": round(flush_microseconds(options.store_dir)), "tmpfs": is_on_tmpfs(options.store_dir)}
    print(f"{about['cores']} cores ({cpu}), Linux {about['kernel']}, nginx {about['nginx']}, load {about['load']:.1f}, "
          f"4 KiB made durable in {about['flush_us']} µs")
    if about["tmpfs"]:
        print("! the store directory is in memory (tmpfs): first attempts are not durable there, choose --store-dir")
    if about["load"] > 0.5:
        print("! the machine is busy with something else: figures will be noisy")
    print(HEADROOM)
    return about


def measure_handshakes(bench, proxy, peer):
    """Full handshakes over TLS 1.3 and 1.2, and resumed ones, by how many a second of CPU makes: of few clients, for whom
    the proxy wakes up each time, and of many."""
    rows = []
    print(f"\nTLS handshakes, ECDSA P-256\n{'':>15} {'clients':>7} │{'per CPU s':>10} {'nginx':>8} {'ratio':>6} │{'per s':>8} {'nginx':>8}")
    for clients, (name, resumed, version) in itertools.product(bench.options.handshake_clients, (
            ("TLS 1.3", False, "-tls1_3"), ("TLS 1.2", False, "-tls1_2"), ("TLS 1.2 resumed", True, "-tls1_2"))):
        runs = {"oncegate": [], "nginx": []}
        for _ in range(bench.options.repeat):
            for process in (proxy, peer):
                cpu = process.cpu_seconds()
                count = protocols.handshakes(process.ports["tls"], bench.options.seconds, clients, resumed, version)
                used = process.cpu_seconds() - cpu
                key = "nginx" if process is peer else "oncegate"
                runs[key].append({"per_cpu_second": count / max(used, 0.01), "rate": count / round(bench.options.seconds)})
        row = {"name": name, "clients": clients} | {
            key: {figure: median([run[figure] for run in values]) for figure in ("per_cpu_second", "rate")}
            for key, values in runs.items()}
        a, b = row["oncegate"], row["nginx"]
        row["ratio"] = a["per_cpu_second"] / max(b["per_cpu_second"], 1e-9)
        row["missed"] = not resumed and row["ratio"] < HANDSHAKE_LIMIT
        verdict = "" if resumed else f"  {'MISSES' if row['missed'] else 'reaches'} ≥ {HANDSHAKE_LIMIT}"
        print(f"{name:>15} {clients:>7} │{a['per_cpu_second']:>10.0f} {b['per_cpu_second']:>8.0f} {row['ratio']:>6.2f} │{a['rate']:>8.0f} "
              f"{b['rate']:>8.0f}{verdict}", flush=True)
        rows.append(row)
    return rows


def measure_speed(bench):
    options = bench.options
    proxy, peer = bench.start_proxy(), bench.start_peer()
    check_answers(bench, proxy)
    for process in (proxy, peer):
        bench.wrk(process, "get", 16, 1)
    cells = []
    for protocol in options.protocols:
        print(f"\n{PROTOCOLS[protocol]}")
        for kind in options.kinds:
            print(f"\n{KINDS[kind].format(durability=options.durability)}\n{COLUMNS}")
            for connections in options.connections_of[protocol]:
                cells.append(run_cell(bench, proxy, peer, protocol, kind, connections))
                print_cell(cells[-1])
    secure = bool(set(options.protocols) & {"tls", "h2"})
    shakes = measure_handshakes(bench, proxy, peer) if secure else []
    details = [] if options.no_details or "http1" not in options.protocols else measure_details(
        bench, proxy, peer, options.kinds, options.detail_connections)
    missed = [cell for cell in cells if cell["connections"] == JUDGED_AT[cell["protocol"]]
              and cell["cpu_ratio"] > LIMITS[cell["kind"]]] + [row for row in shakes if row["missed"]]
    return {"cells": cells, "handshakes": shakes, "details": details}, missed or [cell for cell in cells if cell["remarks"]]


def parse():
    numbers = lambda text: [int(part) for part in text.split(",")]  # noqa: E731
    parser = argparse.ArgumentParser(
        prog="Scripts/bench", formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measures oncegate beside nginx's proxy_pass, with nginx as the upstream and wrk as the load, all on loopback.",
        epilog="`speed` (the default) runs oncegate and nginx in turn and prints medians. `memory` prints the memory of idle\n"
               "connections and of stored records, and the time a start takes with them. `soak` looks for growth over a\n"
               "million requests over HTTP/2 and a hundred thousand TLS handshakes. `flood` prints the times of connected\n"
               "clients while others begin more handshakes than the proxy can make.")
    parser.add_argument("what", nargs="?", choices=("speed", "memory", "soak", "flood"), default="speed")
    parser.add_argument("--seconds", type=float, default=4, metavar="N", help="of each run (default 4)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="runs of each proxy per cell (default 3)")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(KINDS), help="of get,first,replay")
    parser.add_argument("--protocols", type=lambda text: text.split(","), default=None,
                        help=f"of {','.join(PROTOCOLS)}; default all")
    parser.add_argument("--connections", type=numbers, default=None, help="of HTTP/1.1; default 1,16,128, over TLS 128")
    parser.add_argument("--h2-connections", type=numbers, default=[1, 4], metavar="LIST",
                        help=f"of HTTP/2, with {protocols.STREAMS} streams each; default 1,4")
    parser.add_argument("--handshake-clients", type=numbers, default=[2, 16], metavar="LIST",
                        help="of TLS handshakes, each one after another; default 2,16")
    parser.add_argument("--detail-connections", type=numbers, default=[1, 128], metavar="LIST",
                        help="where syscalls and allocations are counted (default 1,128)")
    parser.add_argument("--no-details", action="store_true", help="don't count syscalls and allocations")
    parser.add_argument("--store-dir", default=".build-bench", help="on a real disk; default .build-bench")
    parser.add_argument("--durability", choices=("power", "process"), default="power")
    parser.add_argument("--directive", action="append", default=[], metavar="TEXT", help="added to the top level")
    parser.add_argument("--store-directive", action="append", default=[], metavar="TEXT", help="added to the store block")
    parser.add_argument("--pin", action="store_true", help="proxies on the first core, the rest on the last")
    parser.add_argument("--binary", default=os.environ.get("ONCEGATE_BINARY"), help="the executable; default: built")
    parser.add_argument("--proxy-command", metavar="COMMAND", help="a stand-in for oncegate: {port}, {upstream}, "
                        "{directory} and {store} are filled in; idempotency is then not checked")
    parser.add_argument("--json", metavar="FILE", help="write all figures there too")
    parser.add_argument("--enforce", action="store_true", help="exit 1 when a limit is missed or a cell has errors")
    parser.add_argument("--idle", type=int, default=10_000, metavar="N", help="memory: idle connections")
    parser.add_argument("--records", type=int, default=1_000_000, metavar="N", help="memory: records to store")
    parser.add_argument("--requests", type=int, default=1_000_000, metavar="N", help="soak: requests over HTTP/2")
    parser.add_argument("--handshakes", type=int, default=100_000, metavar="N", help="soak: TLS handshakes")
    options = parser.parse_args()
    if not options.binary and not options.proxy_command:
        parser.error("no executable: give --binary, or run Scripts/bench, which builds it")
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"unknown kinds: {', '.join(unknown)}")
    if options.protocols is None:
        options.protocols = ["http1"] if options.proxy_command or options.what == "memory" else list(PROTOCOLS)
    if unknown := set(options.protocols) - set(PROTOCOLS):
        parser.error(f"unknown protocols: {', '.join(unknown)}")
    options.connections_of = {
        "http1": options.connections or [1, 16, 128], "tls": options.connections or [128],
        "h2c": options.h2_connections, "h2": options.h2_connections}
    if options.binary:
        options.binary = os.path.abspath(options.binary)
    return options


def main():
    options = parse()
    os.makedirs(options.store_dir, exist_ok=True)
    sys.stdout.reconfigure(line_buffering=True)
    with contextlib.suppress(Failure):
        memory.raise_descriptor_limit(65536)
    try:
        with Bench(options) as bench:
            results = {"machine": about_machine(options)}
            bench.start_upstream()
            figures, missed = {"speed": measure_speed, "memory": memory.measure, "soak": soak.measure, "flood": flood.measure}[options.what](bench)
            results |= figures
    except (Failure, protocols.Unusable) as failure:
        sys.exit(f"bench: {failure}")
    except KeyboardInterrupt:
        sys.exit("bench: stopped")
    if options.json:
        with open(options.json, "w") as file:
            json.dump(results, file, indent=2)
    if options.enforce and missed:
        sys.exit("bench: limits missed or errors seen, see above")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))
    main()
