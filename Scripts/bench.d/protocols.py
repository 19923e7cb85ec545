"""Load over HTTP/2 and TLS: h2load, `openssl s_time`, and the certificate that both proxies show."""

import os
import re
import subprocess
import time
from concurrent import futures

STREAMS = 100  # A connection, over HTTP/2.
# What wrk or h2load speaks, and on which of a process's ports.
PROTOCOLS = {
    "http1": "HTTP/1.1 in the clear", "tls": "HTTP/1.1 over TLS 1.3, keep-alive",
    "h2c": f"HTTP/2 in the clear, {STREAMS} streams a connection", "h2": f"HTTP/2 over TLS 1.3, {STREAMS} streams a connection",
}
BODY = '{"item":"book","quantity":1,"customer":"4711","address":"1 High Street, Springfield","note":"please ring twice"}'


class Unusable(Exception):
    """A tool gave no figures."""


def make_certificate(directory):
    """A self-signed ECDSA P-256 certificate: (certificate, key)."""
    certificate, key = os.path.join(directory, "server.pem"), os.path.join(directory, "server.key")
    if not os.path.exists(certificate):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
             "-keyout", key, "-out", certificate, "-subj", "/CN=bench", "-addext", "subjectAltName=DNS:bench,DNS:localhost"],
            check=True, capture_output=True)
        os.chmod(key, 0o600)
    return certificate, key


def is_http2(protocol):
    return protocol in ("h2c", "h2")


def base_url(process, protocol):
    return f"{'https' if protocol in ('tls', 'h2') else 'http'}://127.0.0.1:{process.ports[protocol]}"


class H2Load:
    """h2load's requests differ by their paths alone, so the token of a POST is in the query (`key query id`), and runs
    of first attempts have a process and a list of paths for each connection. Such a run is a number of requests; the
    time it should take is made good by the rate of the run before."""

    def __init__(self, bench):
        self.bench, self.rates, self.runs = bench, {}, 0
        self.body = os.path.join(bench.directory, "body.json")
        with open(self.body, "w") as file:
            file.write(BODY)

    def run(self, process, protocol, kind, connections, seconds, prefix, tokens=64):
        url = base_url(process, protocol)
        if kind == "first":
            return self.first_attempts(process, protocol, url, connections, seconds, prefix)
        if kind == "get":
            return self.collect([["-c", str(connections), "-D", f"{seconds:g}", url + "/"]], seconds)
        paths = self.paths(url, prefix, tokens)
        return self.collect([["-c", str(connections), "-D", f"{seconds:g}", *self.posting(), "-i", paths]], seconds)

    def prime(self, process, protocol, prefix, tokens):
        paths = self.paths(base_url(process, protocol), prefix, tokens)
        self.collect([["-c", "1", "-n", str(tokens), *self.posting(), "-i", paths]], 30)

    def first_attempts(self, process, protocol, url, connections, seconds, prefix):
        name = (process.name, protocol, connections)
        for planned in (0.5, seconds) if name not in self.rates else (seconds,):
            each = max(int(self.rates.get(name, 4000) * planned / connections), STREAMS)
            lists = [self.paths(url, f"{prefix}{self.runs}-{number}-", each) for number in range(connections)]
            result = self.collect([["-c", "1", "-n", str(each), *self.posting(), "-i", path] for path in lists], planned)
            self.rates[name] = result["requests"] / result["seconds"]
        return result

    def posting(self):
        return ["-d", self.body, "-H", "content-type: application/json"]

    def paths(self, url, prefix, count):
        self.runs += 1
        path = os.path.join(self.bench.directory, f"paths-{self.runs}")
        with open(path, "w") as file:
            file.writelines(f"{url}/once2?id={prefix}{number:08d}\n" for number in range(count))
        return path

    def collect(self, runs, seconds):
        core = self.bench.cpu("load")
        prepare = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
        logs = [os.path.join(self.bench.directory, f"h2load-{number}") for number in range(len(runs))]
        for log in logs:
            if os.path.exists(log):
                os.unlink(log)
        started = time.monotonic()
        children = [
            subprocess.Popen(["h2load", "-m", str(STREAMS), f"--log-file={log}", *run], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=prepare)
            for run, log in zip(runs, logs)]
        try:
            outputs = [child.communicate(timeout=seconds * 20 + 60)[0] for child in children]
        finally:
            for child in children:
                child.kill()
        elapsed = time.monotonic() - started
        result = {key: 0 for key in ("requests", "connect_errors", "read_errors", "write_errors", "timeouts", "status_errors")}
        result["seconds"] = 0
        for output in outputs:
            self.add(result, output)
        # Processes that ran side by side: the whole time counts.
        result["seconds"] = elapsed if len(runs) > 1 else result["seconds"]
        times = sorted(int(line.split("\t")[2]) for log in logs if os.path.exists(log) for line in open(log))
        result["p50_us"] = times[len(times) // 2] if times else 0
        result["p99_us"] = times[len(times) * 99 // 100] if times else 0
        result["max_us"] = times[-1] if times else 0
        result["errors"] = sum(value for key, value in result.items() if key.endswith("_errors") or key == "timeouts")
        return result

    def add(self, result, output):
        finished = re.search(r"finished in ([\d.]+)(us|ms|s|m)", output)
        requests = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
        statuses = re.search(r"(\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", output)
        if not (finished and requests and statuses):
            raise Unusable(f"h2load gave no result:\n{output[-2000:]}")
        unit = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}[finished.group(2)]
        result["seconds"] = max(result["seconds"], float(finished.group(1)) * unit)
        result["requests"] += int(statuses.group(1))
        result["status_errors"] += int(statuses.group(3)) + int(statuses.group(4))
        result["read_errors"] += int(requests.group(3))
        result["timeouts"] += int(requests.group(4))


def handshakes(port, seconds, clients=16, resumed=False, version="-tls1_3"):
    """Handshakes by `openssl s_time`, one after another in each of the clients; gives how many."""
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{port}", "-reuse" if resumed else "-new", version,
               "-time", str(max(round(seconds), 1))]

    def one(_):
        run = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
        found = re.findall(r"(\d+) connections in [\d.]+ real seconds", run.stdout) or \
            re.findall(r"(\d+) connections in \d+ real", run.stdout)
        if not found:
            raise Unusable(f"openssl s_time gave no result:\n{run.stdout[-500:]}{run.stderr[-500:]}")
        return int(found[-1])
    with futures.ThreadPoolExecutor(clients) as pool:
        return sum(pool.map(one, range(clients)))
