"""Thousands of connections, a thousand calls at once."""
import contextlib
import json
import os
import re
import resource
import selectors
import socket
import subprocess
import time

from harness import Skip, check, memory_of, same, wait_for
from servers import http_server

CALLS, DELAY_S, LATEST_S = 1000, 2.0, 3.0
IDLE, P99_MS = 8000, 20.0


def raise_limit(files):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < files:
        raise Skip(f"needs {files} open files, the limit is {hard}")
    if soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def request_of(g, c, arguments):
    body = json.dumps(c.message("tools/call", {
        "name": "perf__echo", "arguments": arguments}, 1)).encode()
    head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{g.port}\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in c.headers().items())
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body


def open_many(port, n):
    out = []
    for _ in range(n):
        s = socket.socket()
        s.connect(("127.0.0.1", port))
        s.setblocking(False)
        out.append(s)
    return out


def prepare(env, config):
    up = env.c_upstream()
    g = env.gateway(dict(config, mcps=[http_server(
        "perf", up.url, timeout_seconds=30)]))
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "perf__echo" in c.names(), 10, "discovery")
    return up, g, c


def collect(sockets, answer_of):
    """(status, seconds) of each socket's answer, in the order they came."""
    selector = selectors.DefaultSelector()
    for s in sockets:
        selector.register(s, selectors.EVENT_READ, bytearray())
    start, done = time.monotonic(), []
    while selector.get_map() and time.monotonic() - start < 30:
        for key, _ in selector.select(1):
            try:
                part = key.fileobj.recv(65536)
            except ConnectionError:
                part = b""
            key.data.extend(part)
            if not part or answer_of(key.data):
                done.append((bytes(key.data[9:12]), time.monotonic() - start))
                selector.unregister(key.fileobj)
    return done


def test_a_thousand_calls_of_two_seconds(env):
    raise_limit(8192)
    up, g, c = prepare(env, {})
    data = request_of(g, c, {"delay_ms": int(DELAY_S * 1000)})
    sockets = open_many(g.port, CALLS)
    for s in sockets:
        s.send(data)
    done = collect(sockets, lambda b: b"structuredContent" in b or
                   not b.startswith(b"HTTP/1.1 200"))
    used = memory_of([g.pid, *g.children()])
    same(len(done), CALLS, "answers")
    same({status for status, _ in done}, {b"200"}, "statuses")
    latest = max(t for _, t in done)
    print(f"   | latest {latest:.2f} s after the last was sent, "
          f"{used >> 20} MiB, {len(g.children())} processes, at most "
          f"{up.count()['most']} calls at once at the server")
    check(latest <= LATEST_S, f"the latest came after {latest:.2f} s")
    check(used <= 1 << 30, f"{used >> 20} MiB")
    for s in sockets:
        s.close()
    g.wait_rows(CALLS, "method = 'tools/call'", 30)


def test_idle_connections_do_not_slow_others(env):
    raise_limit(IDLE + 2000)
    _, g, c = prepare(env, {
        "server": {"connections": IDLE + 1000},
        "limits": {"idle_timeout": "10m"}})
    base = memory_of([g.pid, *g.children()])
    sockets = open_many(g.port, IDLE)
    hello = (f"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:{g.port}\r\n\r\n"
             .encode())
    for s in sockets:
        s.send(hello)
    done = collect(sockets, lambda b: b"\r\n\r\n" in b)
    same((len(done), {status for status, _ in done}), (IDLE, {b"200"}),
         "answers to the idle ones")
    used = memory_of([g.pid, *g.children()]) - base
    p99 = wrk_p99(env, g, c)
    print(f"   | p99 {p99} ms, {used // IDLE} bytes for each idle connection")
    check(p99 <= P99_MS, f"p99 {p99} ms")
    alive = 0
    for s in sockets:
        s.send(hello)
    done = collect(sockets, lambda b: b"\r\n\r\n" in b)
    alive = sum(status == b"200" for status, _ in done)
    same(alive, IDLE, "idle connections that still work")
    for s in sockets:
        with contextlib.suppress(OSError):
            s.close()


def wrk_p99(env, g, c):
    """The 99th percentile of 16 clients, in milliseconds."""
    script = os.path.join(env.dir, "call.lua")
    headers = "".join(f'wrk.headers["{k}"]="{v}"\n'
                      for k, v in c.headers().items())
    body = json.dumps(c.message("tools/call", {
        "name": "perf__echo", "arguments": {"message": "hello"}}, 1))
    with open(script, "w", encoding="ascii") as f:
        f.write(f'wrk.method="POST"\nwrk.body=[[{body}]]\n{headers}')
    done = subprocess.run(
        ["wrk", "-t", "1", "-c", "16", "-d", "5s", "--latency", "-s", script,
         f"http://127.0.0.1:{g.port}/mcp"], capture_output=True, text=True,
        check=True)
    check("Non-2xx" not in done.stdout, done.stdout)
    found = re.search(r"99%\s+([0-9.]+)(us|ms|s)", done.stdout)
    return float(found[1]) * {"us": 1e-3, "ms": 1.0, "s": 1e3}[found[2]]
