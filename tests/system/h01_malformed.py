"""Bad HTTP gets the right answer, and the next request is served."""
import re
import socket

from harness import check, raw_exchange, raw_status, same, wait_for
from servers import http_server

HOST = b"Host: 127.0.0.1:%d\r\n"

# name: (bytes, status codes that are right). {H}: a good Host line, {K}: the
# Authorization line, {B}: a good body with its Content-Length and blank line.
CASES = {
    "no HTTP": (b"GARBAGE\r\n\r\n", (400,)),
    "two words": (b"GET /health/live\r\n\r\n", (400,)),
    "binary": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,)),
    "bare LF": (b"GET /health/live HTTP/1.1\nHost: x\n\n", (400,)),
    "bare CR": (b"GET /health/live HTTP/1.1\r\n{H}X: a\rb\r\n\r\n", (400,)),
    "HTTP/2.0": (b"GET /health/live HTTP/2.0\r\n{H}\r\n", (505, 400)),
    "HTTP/1.10": (b"GET /health/live HTTP/1.10\r\n{H}\r\n", (505, 400)),
    "lower case": (b"GET /health/live http/1.1\r\n{H}\r\n", (400,)),
    "no Host": (b"GET /health/live HTTP/1.1\r\n\r\n", (400,)),
    "two Hosts": (b"GET /health/live HTTP/1.1\r\n{H}{H}\r\n", (400,)),
    "foreign Host": (b"POST /mcp HTTP/1.1\r\nHost: evil.example.com\r\n{K}{B}",
                     (403, 400, 421)),
    "space before colon": (b"GET /health/live HTTP/1.1\r\n{H}X : y\r\n\r\n",
                           (400,)),
    "folded line": (b"GET /health/live HTTP/1.1\r\n{H}X: y\r\n z\r\n\r\n",
                    (400,)),
    "no colon": (b"GET /health/live HTTP/1.1\r\n{H}nonsense\r\n\r\n", (400,)),
    "empty name": (b"GET /health/live HTTP/1.1\r\n{H}: y\r\n\r\n", (400,)),
    "NUL": (b"GET /health/live HTTP/1.1\r\n{H}X: a\0b\r\n\r\n", (400,)),
    "space in target": (b"GET /health /live HTTP/1.1\r\n{H}\r\n", (400,)),
    "fragment": (b"GET /health/live#x HTTP/1.1\r\n{H}\r\n", (400, 404)),
    "dots": (b"GET /mcp/../health/live HTTP/1.1\r\n{H}\r\n", (400, 404)),
    "escaped slash": (b"POST /servers%2fperf/mcp HTTP/1.1\r\n{H}{K}{B}",
                      (400, 404)),
    "escaped NUL": (b"GET /health/live%00 HTTP/1.1\r\n{H}\r\n", (400, 404)),
    "length and chunked": (b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Length: 3\r\n"
                           b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                           (400,)),
    "two lengths": (b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Length: 3\r\n"
                    b"Content-Length: 4\r\n\r\nabcd", (400,)),
    "length list": (b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Length: 3, 3\r\n\r\n"
                    b"abc", (400,)),
    "length sign": (b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Length: +3\r\n\r\nabc",
                    (400,)),
    "negative length": (b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Length: -3\r\n\r\n",
                        (400,)),
    "hex length": (b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Length: 0x3\r\n\r\nabc",
                   (400,)),
    "huge length": (b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Length: "
                    b"99999999999999999999999\r\n\r\n", (400, 413)),
    "empty length": (b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Length: \r\n\r\n",
                     (400,)),
    "gzip, chunked": (b"POST /mcp HTTP/1.1\r\n{H}{K}Transfer-Encoding: gzip, "
                      b"chunked\r\n\r\n0\r\n\r\n", (501, 400)),
    "xchunked": (b"POST /mcp HTTP/1.1\r\n{H}{K}Transfer-Encoding: xchunked\r\n"
                 b"\r\n0\r\n\r\n", (501, 400)),
    "chunked twice": (b"POST /mcp HTTP/1.1\r\n{H}{K}Transfer-Encoding: chunked"
                      b"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                      (400, 501)),
    "chunked in 1.0": (b"POST /mcp HTTP/1.0\r\n{H}{K}Transfer-Encoding: chunked"
                       b"\r\n\r\n0\r\n\r\n", (400,)),
    "chunk size": (b"POST /mcp HTTP/1.1\r\n{H}{K}{J}Transfer-Encoding: chunked"
                   b"\r\n\r\nzz\r\n", (400,)),
    "chunk size sign": (b"POST /mcp HTTP/1.1\r\n{H}{K}{J}Transfer-Encoding: "
                        b"chunked\r\n\r\n-1\r\n\r\n", (400,)),
    "huge chunk": (b"POST /mcp HTTP/1.1\r\n{H}{K}{J}Transfer-Encoding: chunked"
                   b"\r\n\r\nffffffffffffffffff\r\n", (400, 413)),
    "chunk without end": (b"POST /mcp HTTP/1.1\r\n{H}{K}{J}Transfer-Encoding: "
                          b"chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n", (400,)),
    "big head": (b"GET /health/live HTTP/1.1\r\n{H}X: " + b"a" * 40000 +
                 b"\r\n\r\n", (431, 400)),
    "many headers": (b"GET /health/live HTTP/1.1\r\n{H}" + b"X: y\r\n" * 400 +
                     b"\r\n", (431, 400)),
    "long target": (b"GET /" + b"a" * 40000 + b" HTTP/1.1\r\n{H}\r\n",
                    (414, 431, 400)),
    "body too large": (b"POST /mcp HTTP/1.1\r\n{H}{K}{J}Content-Length: 5000000"
                       b"\r\n\r\n", (413,)),
    "unknown method": (b"BREW /mcp HTTP/1.1\r\n{H}{K}\r\n", (405, 501)),
    "PUT": (b"PUT /mcp HTTP/1.1\r\n{H}{K}{B}", (405,)),
    "unknown path": (b"POST /nosuch HTTP/1.1\r\n{H}{K}{B}", (404,)),
    "CONNECT": (b"CONNECT example.com:443 HTTP/1.1\r\n{H}\r\n", (400, 405, 501)),
    "foreign absolute target": (b"GET http://evil.example.com/health/live "
                                b"HTTP/1.1\r\n{H}\r\n", (400, 403, 421)),
    "no media type": (b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Length: 2\r\n\r\n{}",
                      (415,)),
    "text/plain": (b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Type: text/plain\r\n"
                   b"Content-Length: 2\r\n\r\n{}", (415,)),
    "Accept": (b"POST /mcp HTTP/1.1\r\n{H}{K}Accept: text/html\r\n{B}", (406,)),
    "foreign Origin": (b"POST /mcp HTTP/1.1\r\n{H}{K}Origin: "
                       b"http://evil.example.com\r\n{B}", (403,)),
    "null Origin": (b"POST /mcp HTTP/1.1\r\n{H}{K}Origin: null\r\n{B}", (403,)),
    "two keys": (b"POST /mcp HTTP/1.1\r\n{H}{K}{K}{B}", (400,)),
    "unknown expectation": (b"POST /mcp HTTP/1.1\r\n{H}{K}Expect: miracle\r\n"
                            b"{B}", (417, 400)),
}


class Setting:
    def __init__(self, env):
        self.up = env.c_upstream()
        self.g = env.gateway({"mcps": [http_server("perf", self.up.url)]})
        self.key = self.g.user("ann@example.com", "power_user", "--allow-all",
                               "--limit", "0")
        self.client = self.g.client("ann@example.com").initialize()
        wait_for(lambda: "perf__echo" in self.client.names(), 10, "discovery")

    def fill(self, data):
        body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
        js = b"Content-Type: application/json\r\n"
        if b"Accept:" not in data:
            js += b"Accept: application/json, text/event-stream\r\n"
        return (data.replace(b"{H}", HOST % self.g.port)
                .replace(b"{K}", b"Authorization: Bearer " +
                         self.key.encode() + b"\r\n")
                .replace(b"{J}", js)
                .replace(b"{B}", js + b"Content-Length: %d\r\n\r\n" %
                         len(body) + body))

    def healthy(self, after):
        check(self.client.call("perf__echo", {"n": 1}).is_ok, f"after {after}")


def setup(env):
    return Setting(env)


def test_malformed(_env, it):
    wrong = []
    for name, (data, allowed) in CASES.items():
        got = raw_exchange(it.g.port, it.fill(data), timeout=3, half_close=True)
        status = raw_status(got)
        if status not in allowed:
            wrong.append(f"{name}: {status} {got[:120]!r}, want {allowed}")
        head, _, body = got.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        if length and int(length[1]) != len(body):
            wrong.append(f"{name}: {len(body)} bytes after {head!r}")
        it.healthy(name)
    check(not wrong, "\n".join(wrong))


def test_refusal_is_heard_by_whoever_still_sends(_env, it):
    """It must not be overtaken by the reset of what nobody reads."""
    for data in (b"GET / HTTP/1.1\n\n", b"GET / HTTP/1.1\r\nX: " +
                 b"a" * 70000):
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", it.g.port),
                                          timeout=10) as s:
                s.sendall(data + b"x" * 400000)
                got = b""
                while part := s.recv(4096):
                    got += part
            check(raw_status(got) in (400, 431) and got.endswith(b"\n"), got)


def test_smuggled_request_is_not_served(_env, it):
    """After a refusal nothing of the same connection is taken for a request."""
    tail = it.fill(b"GET /health/live HTTP/1.1\r\n{H}\r\n")
    for name in ("length and chunked", "two lengths", "chunk size", "bare LF",
                 "body too large", "chunked in 1.0"):
        got = raw_exchange(it.g.port, it.fill(CASES[name][0]) + tail, timeout=3)
        same(len(re.findall(rb"HTTP/1\.1 \d", got)), 1,
             f"{name}: answers in {got[:300]!r}")
        it.healthy(name)


def test_405_names_what_is_allowed(_env, it):
    got = raw_exchange(it.g.port, it.fill(CASES["PUT"][0]), half_close=True)
    check(b"allow:" in got.lower() and b"POST" in got, got)


def test_odd_spellings_reach_their_lane(_env, it):
    """The whole URL as target, a long method: answered, not passed to and fro."""
    for line, want in ((b"GET http://%s/api/v1/users", 401),
                       (b"get HTTPS://%s/api/v1/users", 401),
                       (b"GET http://%s/health/live", 200),
                       (b"PROPFINDANDMUCHMORE /api/v1/users", (401, 405, 501))):
        host = b"127.0.0.1:%d" % it.g.port
        got = raw_exchange(it.g.port, it.fill(
            (line % host if b"%" in line else line) +
            b" HTTP/1.1\r\n{H}Connection: close\r\n\r\n"), timeout=5)
        check(raw_status(got) in (want if isinstance(want, tuple) else (want,)),
              f"{line}: {got[:200]}")


def test_no_answer_to_head_has_a_body(_env, it):
    for target in (b"/mcp", b"/servers/perf/mcp", b"/health/live", b"//",
                   b"/nothing", b"/api/v1/users"):
        got = raw_exchange(it.g.port, it.fill(
            b"HEAD " + target + b" HTTP/1.1\r\n{H}{K}\r\n"), timeout=3,
            half_close=True)
        check(raw_status(got) > 0 and got.endswith(b"\r\n\r\n"), got)


def test_accept_in_two_lines(_env, it):
    """One list, whichever comes first."""
    body = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
    for first, second in ((b"text/event-stream", b"application/json"),
                          (b"application/json", b"text/event-stream")):
        got = raw_exchange(it.g.port, it.fill(
            b"POST /mcp HTTP/1.1\r\n{H}{K}Content-Type: application/json\r\n"
            b"Accept: " + first + b"\r\naccept: " + second +
            b"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" %
            len(body)) + body, timeout=5)
        same(raw_status(got), 200, got)
        check(b"Content-Type: " + first in got, got)


def test_pipelined_requests(_env, it):
    one = it.fill(b"GET /health/live HTTP/1.1\r\n{H}\r\n")
    got = raw_exchange(it.g.port, one * 20, timeout=3, half_close=True)
    same(got.count(b"HTTP/1.1 200"), 20, "answers")


def test_one_byte_at_a_time(_env, it):
    data = it.fill(b"GET /health/live HTTP/1.1\r\n{H}Connection: close\r\n\r\n")
    with socket.create_connection(("127.0.0.1", it.g.port), timeout=10) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(len(data)):
            s.sendall(data[i:i + 1])
        got = b""
        while part := s.recv(4096):
            got += part
    same(raw_status(got), 200, got)


def test_chunked_request_body(_env, it):
    body = (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":'
            b'"perf__echo","arguments":{"message":"' + b"x" * 5000 + b'"}}}')
    chunks = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(body[i:i + 700]),
                                             body[i:i + 700])
                      for i in range(0, len(body), 700)) + b"0\r\nT: x\r\n\r\n"
    head = it.fill(b"POST /mcp HTTP/1.1\r\n{H}{K}{J}Transfer-Encoding: chunked"
                   b"\r\nConnection: close\r\nMcp-Session-Id: " +
                   it.client.session.encode() +
                   b"\r\nMCP-Protocol-Version: 2025-11-25\r\n\r\n")
    got = raw_exchange(it.g.port, head + chunks, timeout=5)
    same(raw_status(got), 200, got[:300])
    check(b"x" * 5000 in got, got[:300])


def test_expect_continue(_env, it):
    body = b'{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
    head = it.fill(b"POST /mcp HTTP/1.1\r\n{H}{K}{J}Expect: 100-continue\r\n"
                   b"Connection: close\r\nContent-Length: %d\r\n"
                   b"Mcp-Session-Id: %s\r\nMCP-Protocol-Version: 2025-11-25\r\n"
                   b"\r\n" % (len(body), it.client.session.encode()))
    with socket.create_connection(("127.0.0.1", it.g.port), timeout=5) as s:
        s.sendall(head)
        first = s.recv(4096)
        check(first.startswith(b"HTTP/1.1 100"), first)
        s.sendall(body)
        got = b""
        while part := s.recv(65536):
            got += part
    same(raw_status(got), 200, got[:300])


def test_own_origin_is_welcome(_env, it):
    r = it.client.request("tools/list", {}, Origin=f"http://127.0.0.1:{it.g.port}")
    same(r.status, 200, r)
    check(r.headers.get("access-control-allow-origin") != "*", r.headers)


def test_last_forwarded_address_counts(env):
    """What the client says of itself stands before the line of its proxy."""
    g = env.gateway({"server": {"trusted_proxies": ["127.0.0.1"],
                                "metrics_clients": ["127.0.0.1", "192.0.2.7"]}})
    for ours, theirs, want in (("192.0.2.7", "203.0.113.9", 403),
                               ("203.0.113.9", "192.0.2.7", 200)):
        got = raw_exchange(g.port, (
            f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{g.port}\r\n"
            f"X-Forwarded-For: {ours}\r\nx-forwarded-for: 10.0.0.1, {theirs}"
            "\r\nConnection: close\r\n\r\n").encode())
        same(raw_status(got), want, f"{ours}, then {theirs}")


def test_http_1_0(_env, it):
    got = raw_exchange(it.g.port, it.fill(b"GET /health/live HTTP/1.0\r\n{H}\r\n"),
                       timeout=3)
    same(raw_status(got), 200, got)
