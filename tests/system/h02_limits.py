"""Slow clients, full queues, busy workers: health and metrics still answer."""
import contextlib
import http.client
import os
import socket
import subprocess
import threading
import time

from harness import (check, http_get, in_parallel, raw_status, same, wait_for,
                     works)
from servers import http_server


def setup(env):
    up = env.c_upstream()
    g = env.gateway({
        "mcps": [http_server("perf", up.url, timeout_seconds=60)],
        "server": {"workers": {"requests": 1, "min_spare": 1, "max_spare": 2,
                               "max": 4},
                   "queue": 16, "connections": 512},
        "limits": {"header_timeout": "1s", "body_timeout": "1s",
                   "body_rate": 1000, "idle_timeout": "2s",
                   "write_timeout": "2s"}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    g.up = up
    wait_for(lambda: "perf__echo" in g.client("ann@example.com").initialize()
             .names(), 10, "discovery")
    return g


def read_all(s, seconds):
    s.settimeout(seconds)
    got = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        while part := s.recv(65536):
            got += part
        return got, True
    return got, False


def test_slow_head_is_cut(_env, g):
    with socket.create_connection(("127.0.0.1", g.port)) as s:
        s.sendall(b"GET /health/live HTTP/1.1\r\nHost: ")
        start = time.monotonic()
        got, closed = read_all(s, 5)
    check(closed and raw_status(got) in (0, 408), got)
    check(time.monotonic() - start < 4, "header_timeout")


def test_dripping_head_is_cut(_env, g):
    """A byte now and then does not extend the time for the whole head."""
    with socket.create_connection(("127.0.0.1", g.port)) as s:
        start = time.monotonic()
        s.settimeout(0.1)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - start < 6:
                s.sendall(b"X")
                try:
                    if not s.recv(4096):
                        break
                except TimeoutError:
                    continue
                break
        check(time.monotonic() - start < 4, "still open")


def test_slow_body_is_cut(_env, g):
    head = (f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{g.port}\r\n"
            f"Authorization: Bearer {g.keys['ann@example.com']}\r\n"
            "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    with socket.create_connection(("127.0.0.1", g.port)) as s:
        s.sendall(head.encode() + b'{"a":')
        start = time.monotonic()
        got, closed = read_all(s, 8)
    check(closed and raw_status(got) in (0, 408), got)
    check(time.monotonic() - start < 6, "body_timeout")


def test_idle_connection_is_closed(_env, g):
    with socket.create_connection(("127.0.0.1", g.port)) as s:
        s.sendall(f"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:{g.port}\r\n\r\n"
                  .encode())
        check(s.recv(4096).startswith(b"HTTP/1.1 200"), "answer")
        start = time.monotonic()
        _, closed = read_all(s, 8)
    check(closed, "not closed")
    check(1.0 < time.monotonic() - start < 6, "idle_timeout")


class Busy:
    """Calls that hold all workers."""

    def __init__(self, g, n, ms=8000):
        self.g, self.results = g, []
        clients = [g.client("ann@example.com", timeout=30).initialize()
                   for _ in range(n)]
        self.threads = [threading.Thread(target=self.run, args=(c, ms),
                                         daemon=True) for c in clients]
        before = g.up.count()["calls"]
        for t in self.threads:
            t.start()
        wait_for(lambda: g.up.count()["calls"] - before >= min(n, 4), 10,
                 "all workers busy")

    def run(self, client, ms):
        try:
            self.results.append(client.call("perf__echo", {"delay_ms": ms}))
        except OSError as e:
            self.results.append(e)

    def wait(self):
        for t in self.threads:
            t.join()
        return self.results


def test_control_lane_while_all_workers_are_busy(env, g):
    busy = Busy(g, 4, 3000)
    for path in ("/health/live", "/health/ready", "/health", "/metrics"):
        start = time.monotonic()
        status = http_get(g.port, path, timeout=5)[0]
        took = time.monotonic() - start
        same(status, 200, path)
        check(took < 0.5, f"{path} took {took:.2f} s")
    check(all(r.is_ok for r in busy.wait()), "the busy ones")


def test_bodies_do_not_hold_up_the_control_lane(_env, g):
    """Nobody needs a key there, and few processes serve it."""
    key = g.keys["ann@example.com"]
    head = f"HTTP/1.1\r\nHost: 127.0.0.1:{g.port}\r\n"
    call = ('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":'
            '"perf__echo","arguments":{"delay_ms":3000}}}')
    for what in (f"POST /health {head}Content-Length: 1000\r\n\r\n",
                 f"GET /health {head}Transfer-Encoding: chunked\r\n\r\n",
                 f"GET /health {head}\r\nPOST /mcp {head}Authorization: "
                 f"Bearer {key}\r\nContent-Type: application/json\r\n"
                 f"Content-Length: {len(call)}\r\n\r\n{call}"):
        with contextlib.ExitStack() as stack:
            for _ in range(4):
                s = socket.create_connection(("127.0.0.1", g.port))
                stack.enter_context(s).sendall(what.encode())
            time.sleep(0.1)
            start = time.monotonic()
            same(http_get(g.port, "/health/live", timeout=5)[0], 200, what)
            took = time.monotonic() - start
            check(took < 0.5, f"took {took:.2f} s beside {what[:40]}")


def test_full_queue_is_refused(_env, g):
    """More than `queue` waiting requests: 503 with Retry-After, at once."""
    busy = Busy(g, 4, 4000)
    clients = [g.port] * 40
    key = g.keys["ann@example.com"]

    def post(port):
        c = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        c.request("POST", "/mcp", '{"jsonrpc":"2.0","id":1,"method":"ping"}', {
            "Content-Type": "application/json", "Authorization": f"Bearer {key}",
            "Accept": "application/json, text/event-stream"})
        r = c.getresponse()
        r.read()
        return r.status, r.getheader("Retry-After")

    got = in_parallel([lambda p=p: post(p) for p in clients])
    refused = [r for r in got if r[0] == 503]
    check(len(refused) >= 20, f"refused: {got}")
    check(all(r[1] for r in refused), f"Retry-After: {refused[:3]}")
    check(all(r.is_ok for r in busy.wait()), "the busy ones")
    check(g.client("ann@example.com").initialize().call("perf__echo").is_ok,
          "afterwards")
    check(g.metric("omni2_queue_full_total") >= 20, "metric")


def test_promtool(_env, g):
    body = http_get(g.port, "/metrics")[2]
    done = subprocess.run(["promtool", "check", "metrics"], input=body,
                          capture_output=True, check=False)
    same(done.returncode, 0, f"promtool: {done.stdout}{done.stderr}")
    for name in (b"omni2_http_requests_total", b"omni2_mcp_requests_total",
                 b"omni2_decisions_total", b"omni2_audit_records_total",
                 b"omni2_bugs_total"):
        check(name in body, f"{name} is missing")


def ticks(pid):
    """Processor time of a process, in seconds."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_descriptors_left(env):
    """Idle connections make room; else the keeper waits and does not spin."""
    g = env.gateway(start=False)
    g.start(prefix=("prlimit", "--nofile=200:200"))
    (keeper,) = g.pids("keeper")
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(socket.create_connection(
            ("127.0.0.1", g.port))) for _ in range(250)]
        same(g.health("/health/live"), 200, "beside idle connections")
        for s in many:
            with contextlib.suppress(OSError):
                s.sendall(b"G")
        many += [stack.enter_context(socket.create_connection(
            ("127.0.0.1", g.port))) for _ in range(250)]
        for s in many[-250:]:
            with contextlib.suppress(OSError):
                s.sendall(b"G")
        g.wait_log("accept: Too many open files")
        before = ticks(keeper)
        time.sleep(2)
        used = ticks(keeper) - before
    check(used < 0.3, f"{used} s of 2")
    same(wait_for(lambda: g.health("/health/live"), 5, "service"), 200,
         "service afterwards")


def test_connection_limit(env):
    """At the limit the longest idle connection makes room."""
    g = env.gateway({"server": {"connections": 64}})
    hello = (f"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:{g.port}\r\n\r\n"
             .encode())

    def connect():
        return socket.create_connection(("127.0.0.1", g.port), timeout=5)

    def asks(s):
        s.sendall(hello)
        return raw_status(s.recv(4096))

    idle = [connect() for _ in range(32)]
    same({asks(s) for s in idle}, {200}, "first 32")
    silent = [connect() for _ in range(32)]
    try:
        wait_for(lambda: g.metric("omni2_connections_accepted_total") >= 64, 5,
                 "64 connections")
        late = connect()
        same(asks(late), 200, "one more")
        check(not works(lambda: idle[0].recv(1)), "the longest idle one")
        same(asks(idle[-1]), 200, "the last idle one")
        more = [connect() for _ in range(70)]
        same(asks(more[-1]), 200, "one of many more")
        for s in [*silent, *more]:
            s.close()
        same(wait_for(lambda: g.health("/health/live"), 5, "service"), 200,
             "service afterwards")
    finally:
        for s in [*idle, *silent]:
            s.close()
