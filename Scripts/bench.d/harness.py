"""What the measurements stand on: servers as child processes, wrk runs, and readings from /proc. Standard library only."""

import contextlib
import http.client
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

import protocols

HERE = os.path.dirname(os.path.abspath(__file__))
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
BODY = ("x" * 199) + "\n"  # What the upstream answers: 200 octets.


class Failure(Exception):
    """Something that makes a measurement meaningless; the message is for a person."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def poll(condition, seconds, what, interval=0.01):
    """Asks `condition` until it gives a true value, which is returned."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {seconds:g} s for {what}")
        time.sleep(interval)


def answer(port, method="GET", path="/", headers=None, body=None, timeout=30):
    """One request on a connection of its own: (status, headers in lower case, body)."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def answers(port):
    try:
        return answer(port)[0] < 500
    except (OSError, http.client.HTTPException):
        return False


def is_on_tmpfs(path):
    best, kind = "", ""
    with open("/proc/self/mounts") as mounts:
        for line in mounts:
            _, point, filesystem = line.split()[:3]
            inside = os.path.realpath(path).startswith(point.rstrip("/") + "/")
            if inside and len(point) >= len(best):
                best, kind = point, filesystem
    return kind in ("tmpfs", "ramfs")


def flush_microseconds(directory, rounds=200):
    """The median price of one 4 KiB append made durable, which bounds what first attempts can reach."""
    path = os.path.join(directory, "flush-probe")
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    times = []
    try:
        for _ in range(rounds):
            started = time.perf_counter()
            os.write(descriptor, b"\0" * 4096)
            os.fdatasync(descriptor)
            times.append(time.perf_counter() - started)
    finally:
        os.close(descriptor)
        os.unlink(path)
    return sorted(times)[rounds // 2] * 1e6


class Process:
    """A server in the foreground of its own session, with everything it starts."""

    def __init__(self, name, command, port, log, environment=None, cpu=None, cwd=None):
        self.name, self.port, self.log_path = name, port, log
        self.ports = {"http1": port}  # By protocol, see protocols.py.
        self.log = open(log, "ab")
        prepare = (lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None
        self.child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, start_new_session=True,
            env={**os.environ, **(environment or {})}, preexec_fn=prepare, cwd=cwd)

    def wait_ready(self, seconds=30):
        def ready():
            if self.child.poll() is not None:
                raise Failure(f"{self.name} ended with status {self.child.returncode}:\n{self.log_tail()}")
            return answers(self.port)
        try:
            poll(ready, seconds, f"{self.name} on port {self.port}", 0.005)
        except Failure as failure:
            raise Failure(f"{failure}\n{self.log_tail()}") from None

    def log_tail(self):
        with open(self.log_path, errors="replace") as log:
            return "".join(log.readlines()[-15:])

    def pids(self):
        """The process and all its descendants."""
        found, pending = [], [self.child.pid]
        while pending:
            pid = pending.pop()
            found.append(pid)
            with contextlib.suppress(OSError):
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        pending += [int(child) for child in children.read().split()]
        return found

    def cpu_seconds(self):
        """User and system time of all threads, ended ones included."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / CLOCK_TICKS

    def resident_bytes(self):
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError), open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += int(re.search(r"^Rss:\s+(\d+) kB", rollup.read(), re.M).group(1)) * 1024
        return total

    def stop(self, how=signal.SIGTERM):
        if self.child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.child.send_signal(how)
            try:
                self.child.wait(40)
            except subprocess.TimeoutExpired:
                print(f"{self.name} did not stop in 40 s and was killed", file=sys.stderr)
                for pid in self.pids():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.child.wait()
        self.log.close()


NGINX = """\
{user}daemon off;
worker_processes 1;
worker_rlimit_nofile {files};
pid {directory}/nginx.pid;
error_log {directory}/error.log warn;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
{http}
}}
"""

UPSTREAM = """\
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        default_type text/plain;
        location = /-/count {{ stub_status; }}
        location / {{
            if ($request_method = POST) {{ return 201 "{body}"; }}
            return 200 "{body}";
        }}
    }}"""

PEER = """\
    upstream service {{
        server 127.0.0.1:{upstream};
        keepalive 512;
        keepalive_requests 1000000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        listen 127.0.0.1:{h2c_port} http2 backlog=4096;
        listen 127.0.0.1:{tls_port} ssl http2 backlog=4096;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        http2_max_concurrent_streams 128;
        location / {{
            proxy_pass http://service;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
        }}
    }}"""

ONCEGATE = """\
{workers}
listen 127.0.0.1:{port};
{listeners}
admin unix:{directory}/admin.sock;
access_log off;
max_connections 16000;
{directives}
store embedded {{ path "{store}"; {store_directives} }}
upstream service {{
    server http://127.0.0.1:{upstream};
    keepalive 512;
}}
route /once {{
    upstream service;
    idempotency {{
        key header Idempotency-Key;
        on_missing_key reject;
        durability {durability};
    }}
}}
route /once2 {{
    upstream service;
    idempotency {{
        key query id;
        on_missing_key reject;
        durability {durability};
    }}
}}
route / {{ upstream service; }}
"""

LISTENERS = """\
listen 127.0.0.1:{h2c_port} {{ http2 on; }}
listen 127.0.0.1:{tls_port} {{ tls {{ certificate {certificate}; key {key}; }} }}
"""


class Bench:
    """Owns the work directory and every process started; leaving the `with` block ends them all by their ids."""

    def __init__(self, options):
        self.options = options
        self.processes = []
        base = os.path.abspath(options.store_dir)
        os.makedirs(base, exist_ok=True)
        self.directory = os.path.join(base, f"run-{os.getpid()}")
        os.makedirs(self.directory)
        self.tokens_used = 0
        self.h2load = protocols.H2Load(self)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        for process in reversed(self.processes):
            process.stop()
        if kind is None or kind is KeyboardInterrupt:
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            print(f"configurations and logs are left in {self.directory}", file=sys.stderr)

    def folder(self, name):
        path = os.path.join(self.directory, name)
        os.makedirs(path, exist_ok=True)
        return path

    def fresh_prefix(self):
        self.tokens_used += 1
        return f"{os.urandom(8).hex()}-{self.tokens_used:04d}-"

    def cpu(self, role):
        if not self.options.pin:
            return None
        cores = sorted(os.sched_getaffinity(0))
        return cores[0] if role == "proxy" else cores[-1]

    def start(self, process, seconds=30):
        self.processes.append(process)
        process.wait_ready(seconds)
        return process

    def stop(self, process, how=signal.SIGTERM):
        process.stop(how)
        self.processes.remove(process)

    def nginx(self, name, http, port, role, connections=16000):
        directory = self.folder(name)
        path = os.path.join(directory, "nginx.conf")
        with open(path, "w") as file:
            file.write(NGINX.format(
                user="user root;\n" if os.getuid() == 0 else "", directory=directory, http=http,
                connections=connections, files=connections + 1000))
        command = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", directory, "-c", path,
                   "-e", os.path.join(directory, "error.log")]
        return self.start(Process(name, command, port, os.path.join(directory, "log"), cpu=self.cpu(role)))

    def start_upstream(self):
        self.upstream_port = free_port()
        return self.nginx("upstream", UPSTREAM.format(port=self.upstream_port, body=BODY[:-1] + "\\n"),
                          self.upstream_port, "upstream")

    def start_peer(self):
        port, values = free_port(), self.secure_values()
        peer = self.nginx("nginx", PEER.format(port=port, upstream=self.upstream_port, **values), port, "proxy")
        return self.with_ports(peer, values)

    def secure_values(self):
        certificate, key = protocols.make_certificate(self.directory)
        return {"certificate": certificate, "key": key, "h2c_port": free_port(), "tls_port": free_port()}

    def with_ports(self, process, values):
        process.ports |= {"h2c": values["h2c_port"], "tls": values["tls_port"], "h2": values["tls_port"]}
        return process

    def start_proxy(self, name="oncegate", store=None, environment=None, seconds=60, wait=True):
        port, directory = free_port(), self.folder(name)
        store = store or os.path.join(directory, "store")
        path = os.path.join(directory, "proxy.conf")
        # Beside nginx, which has one too. What grows is looked for with the defaults.
        workers = "" if self.options.what == "soak" else "workers 1;"
        values = dict(port=port, upstream=self.upstream_port, directory=directory, store=store) | self.secure_values()
        needs_more = any(protocol != "http1" for protocol in self.options.protocols) or self.options.what == "soak"
        with open(path, "w") as file:
            file.write(ONCEGATE.format(
                **values, workers=workers, listeners=LISTENERS.format(**values) if needs_more else "",
                durability=self.options.durability, directives="\n".join(self.options.directive),
                store_directives=" ".join(self.options.store_directive)))
        if self.options.proxy_command:
            command = [part.format(**values) for part in shlex.split(self.options.proxy_command)]
        else:
            command = [self.options.binary, "run", "-c", path]
        process = Process("oncegate", command, port, os.path.join(directory, "log"), environment, self.cpu("proxy"))
        process.admin = os.path.join(directory, "admin.sock")
        self.with_ports(process, values)
        self.processes.append(process)
        if wait:
            process.wait_ready(seconds)
        return process

    def upstream_requests(self):
        """How many requests the upstream has executed, less the ones that asked for this number."""
        _, _, text = answer(self.upstream_port, path="/-/count")
        self.counts_asked = getattr(self, "counts_asked", 0) + 1
        return int(text.split()[9]) - self.counts_asked

    def load(self, process, protocol, kind, connections, seconds, prefix="-"):
        """One run, whatever the protocol; the figures have the same names."""
        if protocols.is_http2(protocol):
            return self.h2load.run(process, protocol, kind, connections, seconds, prefix)
        return self.wrk(process, kind, connections, seconds, prefix, protocol=protocol)

    def wrk(self, process, kind, connections, seconds, prefix="-", tokens=64, protocol="http1"):
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "10s",
                   "-s", os.path.join(HERE, "load.lua"), protocols.base_url(process, protocol),
                   "--", kind, prefix, str(tokens)]
        core = self.cpu("load")
        run = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 60,
            preexec_fn=(lambda: os.sched_setaffinity(0, {core})) if core is not None else None)
        for line in run.stdout.splitlines():
            if line.startswith("wrk-result "):
                result = json.loads(line[len("wrk-result "):])
                result["errors"] = sum(value for key, value in result.items()
                                       if key.endswith("_errors") or key == "timeouts")
                return result
        raise Failure(f"wrk gave no result against {process.name}:\n{run.stdout}{run.stderr}")

    def prime(self, process, prefix, tokens, protocol="http1"):
        """Makes the records that a replay run asks for, with the same octets that it sends."""
        if protocols.is_http2(protocol):
            return self.h2load.prime(process, protocol, prefix, tokens)
        self.wrk(process, "replay", min(tokens, 16), 1, prefix, tokens)
