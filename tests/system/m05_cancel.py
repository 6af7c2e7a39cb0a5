"""Cancellation and deadlines reach the server behind."""
import json
import socket
import threading
import time

from fake import Fake
from harness import MODERN, check, in_parallel, same, wait_for
from servers import http_server, misbehaving_stdio


class Setting:
    def __init__(self, env):
        self.log = env.make_dir("stdio-log", mode=0o755) + "/requests"
        self.fake = Fake(["ok", "hang", "slow"])
        self.g = env.gateway({"mcps": [
            http_server("web", self.fake.url, timeout_seconds=3),
            misbehaving_stdio(env, "pipe", self.log, timeout_seconds=3)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        wait_for(lambda: {"web__ok", "pipe__hang"} <= set(self.open().names()),
                 15, "discovery")

    def open(self, **kw):
        return self.g.client("ann@example.com", **kw).initialize()

    def stdio_cancelled(self):
        with open(self.log, encoding="utf-8") as f:
            return sum('"notifications/cancelled"' in line for line in f)


def setup(env):
    return Setting(env)


def cancel_from_another_connection(it, tool):
    """(answer of the cancelled call, seconds until it came)"""
    c = it.open()
    other = it.g.client("ann@example.com")
    other.session = c.session
    got = []
    job = threading.Thread(target=lambda: got.append(c.call(tool)))
    started = it.fake.count("hang")
    job.start()
    if tool.startswith("web"):
        wait_for(lambda: it.fake.count("hang") > started, 5, "call in flight")
    else:
        wait_for(lambda: '"hang"' in open(it.log, encoding="utf-8").read(), 5,
                 "call in flight")
    start = time.monotonic()
    same(other.notify("notifications/cancelled", {
        "requestId": c.id, "reason": "not wanted"}).status, 202, "cancel")
    job.join(10)
    return got, time.monotonic() - start


def test_legacy_cancel_over_http(_env, it):
    before = len(it.fake.cancelled)
    _, took = cancel_from_another_connection(it, "web__hang")
    check(took < 2, f"the call ended after {took:.1f} s only")
    wait_for(lambda: len(it.fake.cancelled) > before or
             it.fake.count("gone"), 3, "cancel at the server")


def test_legacy_cancel_over_stdio(_env, it):
    before = it.stdio_cancelled()
    _, took = cancel_from_another_connection(it, "pipe__hang")
    check(took < 2, f"the call ended after {took:.1f} s only")
    wait_for(lambda: it.stdio_cancelled() > before, 3, "cancel at the server")


def test_cancelling_somebody_elses_call_does_nothing(_env, it):
    it.g.user("eve@example.com", "power_user", "--allow-all")
    c = it.open()
    eve = it.g.client("eve@example.com").initialize()
    got = []
    job = threading.Thread(target=lambda: got.append(
        c.call("web__slow", {"ms": 1200})))
    job.start()
    wait_for(lambda: it.fake.count("slow"), 5, "call in flight")
    for i in range(c.id + 2):
        eve.notify("notifications/cancelled", {"requestId": i})
    job.join()
    check(got[0].is_ok, got)


def post(it, body, headers):
    s = socket.create_connection(("127.0.0.1", it.g.port), timeout=10)
    head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{it.g.port}\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in headers.items())
    s.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    return s


def test_modern_close_cancels(_env, it):
    c = it.g.client("ann@example.com", version=MODERN)
    params = {"name": "web__hang", "arguments": {}}
    started, gone = it.fake.count("hang"), it.fake.count("gone")
    s = post(it, json.dumps(c.message("tools/call", params, 1)).encode(),
             c.headers("tools/call", params))
    wait_for(lambda: it.fake.count("hang") > started, 5, "call in flight")
    before = len(it.fake.cancelled)
    s.close()
    wait_for(lambda: it.fake.count("gone") > gone or
             len(it.fake.cancelled) > before, 2, "cancel at the server")


def test_deadline(_env, it):
    """A server that does not answer: 504 within its timeout, and it is told."""
    for tool in ("web__hang", "pipe__hang"):
        before = len(it.fake.cancelled) + it.fake.count("gone"), \
            it.stdio_cancelled()
        start = time.monotonic()
        r = it.open().call(tool)
        took = time.monotonic() - start
        same(r.error["code"], -32054, f"{tool}: {r}")
        check(2.5 < took < 4.0, f"{tool} took {took:.1f} s")
        if tool.startswith("web"):
            wait_for(lambda b=before: len(it.fake.cancelled) + it.fake.count(
                "gone") > b[0], 3, "the server is told")
        else:
            wait_for(lambda b=before: it.stdio_cancelled() > b[1], 3,
                     "the server is told")


def test_answers_never_cross(_env, it):
    """64 clients use the same ids at the same time; each gets its own nonce."""
    def job(n):
        c = it.open()
        for i in range(15):
            nonce = f"n{n}-{i}"
            r = c.call("pipe__echo", {"message": nonce})
            same(r.text, nonce, "answer")
        return True

    got = in_parallel([lambda n=n: job(n) for n in range(24)])
    same([r for r in got if r is not True], [], "wrong answers")
