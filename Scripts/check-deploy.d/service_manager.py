"""Does what systemd does for oncegate.service and oncegate.socket, and checks the answers: a listening socket handed over
(LISTEN_FDS), READY=1 when it serves, WATCHDOG=1 in time, STOPPING=1 and status 0 after SIGTERM.

Arguments: the executable, and a folder to work in."""

import http.client
import os
import pathlib
import signal
import socket
import subprocess
import sys

BINARY, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])
WATCHDOG_SECONDS = 2


def spawn(listener, notify):
    """The executable as systemd starts it: the listener is descriptor 3, and LISTEN_PID its own process id."""
    configuration = FOLDER / "proxy.conf"
    host, port = listener.getsockname()
    configuration.write_text(
        f'listen {host}:{port};\nadmin unix:{FOLDER}/admin.sock;\naccess_log off;\ndrain_delay 0s;\n'
        f'store embedded {{ path {FOLDER}/store; }}\nupstream u {{ server http://127.0.0.1:1; }}\n'
        'route / { upstream u; }\n')
    environment = {**os.environ, "NOTIFY_SOCKET": notify, "LISTEN_FDS": "1", "LISTEN_FDNAMES": "oncegate.socket",
                   "WATCHDOG_USEC": str(WATCHDOG_SECONDS * 1_000_000)}
    script = 'exec 3<&"$1"; export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$2" run -c "$3"'
    return subprocess.Popen(
        ["bash", "-c", script, "bash", str(listener.fileno()), BINARY, str(configuration)], env=environment,
        pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL, stderr=open(FOLDER / "log", "w"))


def wait_for(notifications, word, seconds, process):
    notifications.settimeout(seconds)
    try:
        while word not in (text := notifications.recv(4096).decode()):
            pass
    except TimeoutError:
        fail(f"no {word} within {seconds} s", process)
    return text


def fail(message, process):
    process.kill()
    process.wait()
    sys.exit(f"check-deploy: {message}\n{(FOLDER / 'log').read_text()[-2000:]}")


def main():
    FOLDER.mkdir(parents=True)
    notify = str(FOLDER / "notify")
    notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notifications.bind(notify)
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    port = listener.getsockname()[1]
    # A connection that waits in the kernel before the service is there: it must be served.
    early = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    early.request("GET", "/")
    process = spawn(listener, notify)
    wait_for(notifications, "READY=1", 30, process)
    try:
        status = early.getresponse().status
    except OSError as error:
        fail(f"the handed-over socket is not served: {error}", process)
    if status not in (502, 503):
        fail(f"GET / before an unreachable service gave {status}", process)
    wait_for(notifications, "WATCHDOG=1", WATCHDOG_SECONDS, process)
    process.send_signal(signal.SIGTERM)
    wait_for(notifications, "STOPPING=1", 10, process)
    try:
        code = process.wait(40)
    except subprocess.TimeoutExpired:
        fail("SIGTERM did not end it in 40 s", process)
    if code != 0:
        fail(f"SIGTERM ended it with status {code}", process)
    print("check-deploy: serves a handed-over socket, tells READY, WATCHDOG and STOPPING, and ends with 0", file=sys.stderr)


main()
