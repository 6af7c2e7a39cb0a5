"""A question of a legacy server that names no call is not lost with a call that
ends: it is asked over one that goes on."""
import contextlib
import itertools
import json
import os
import queue
import signal
import socket
import threading
import time

from fake import http, ok, sse
from harness import MODERN, check, free_port, same, wait_for
from m07_heard import Asker
from s01_streams import Stream, head_of
from servers import http_server, stdio_server

LIMIT_S = 90
ELICITATION = {"elicitation": {"form": {}}}


class Waiting(Asker):
    """Its ask_later waits until the test has asked on the session's stream."""

    def __init__(self):
        super().__init__(["ask_later", "hang"])
        self.waiting, self.asked = queue.Queue(), queue.Queue()

    def answer(self, c, m, name):
        if name != "tools/call":
            return super().answer(c, m, name)
        if m["params"]["name"] == "hang":
            with self.lock:
                self.counts["hang"] = self.counts.get("hang", 0) + 1
            return self.hang(c)
        self.waiting.put(c.headers["mcp-session-id"])
        a = self.answer_to(*self.asked.get(timeout=20))
        c.send(http(ok(m, json.dumps(a.get("result", a.get("error"))))))
        return True

    def hang(self, c):
        """Says so much that the worker has no time to look at its client."""
        c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while not self.ended:
            c.send(sse({"jsonrpc": "2.0", "method": "notifications/message",
                        "params": {"level": "debug", "data": "busy"}}))
            time.sleep(0.002)

    def now(self):
        session = self.waiting.get(timeout=10)
        self.answers[f"{session}/1"] = queue.Queue()
        check(self.say(session, {
            "jsonrpc": "2.0", "method": "elicitation/create",
            "id": f"{session}/1", "params": {
                "message": "who?", "requestedSchema": {
                    "type": "object", "properties": {}}}}), "nobody hears")
        self.asked.put((session, 1))


def asking_args(env, log):
    return ["/usr/bin/python3", os.path.join(env.fakes, "asking_stdio.py"), log]


class Setting:
    def __init__(self, env):
        self.dir = env.make_dir("asking", mode=0o755)
        self.numbers = itertools.count(1)
        self.http = Waiting()
        port = free_port()
        env.helper([env.python, os.path.join(env.fakes, "sse_bridge.py"),
                    str(port), *asking_args(env, self.log("sse"))], port)
        command, *args = asking_args(env, self.log("stdio"))
        self.g = env.gateway({
            "mcps": [
                stdio_server("stdio", command, *args,
                             sandbox={"writable": [self.dir]}),
                {"name": "sse", "protocol": "sse",
                 "url": f"http://127.0.0.1:{port}/sse"},
                http_server("http", self.http.url)],
            "users": [{"email": "ann@example.com", "role": "power_user",
                       "allowed_mcps": "*",
                       "rate_limit": {"requests_per_hour": 0}}]})
        self.g.key("ann@example.com")
        for name in ("stdio", "sse", "http"):
            wait_for(lambda n=name: "hang" in self.open(n).names(), 20, name)

    def log(self, name):
        return os.path.join(self.dir, name)

    def open(self, name, version=MODERN):
        return self.g.client("ann@example.com", f"/servers/{name}/mcp",
                             version=version,
                             capabilities=ELICITATION).initialize()

    def calls(self, name, tool):
        """How many have come to the server."""
        if name == "http":
            return self.http.count(tool) if tool == "hang" else \
                self.http.waiting.qsize()
        if not os.path.exists(self.log(name)):
            return 0
        with open(self.log(name), encoding="utf-8") as f:
            return sum(f'"{tool}"' in line and '"tools/call"' in line
                       for line in f)

    def begin(self, name, tool, start):
        """What start() returned, when its call is at the server."""
        n = self.calls(name, tool)
        started = start()
        wait_for(lambda: self.calls(name, tool) > n, 10, f"{tool} at {name}")
        return started

    @contextlib.contextmanager
    def stopped_workers(self):
        pids = self.g.pids("worker")
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    def mail(self):
        """Connections to workers that nobody has taken yet, or not ended."""
        with open("/proc/net/unix", encoding="utf-8") as f:
            rows = [line.split() for line in f]
        return sum(len(r) > 7 and r[3] != "00010000" and
                   r[7].startswith(os.path.join(self.g.run_dir, "ask."))
                   for r in rows)

    def ask_at_http(self):
        self.http.now()
        wait_for(self.mail, 1.5, "mail for a worker")

    def ask_later(self, name, c):
        """A function that makes the server ask, and waits until the question
        has left it."""
        if name == "http":
            return self.ask_at_http
        path = os.path.join(self.dir, f"now{next(self.numbers)}")
        c.call("now", {"path": path})

        def ask():
            with open(path, "w", encoding="utf-8"):
                pass
            wait_for(lambda: os.path.exists(path + ".done"), 10, "question")
        return ask


def setup(env):
    return Setting(env)


def later(job):
    got = queue.Queue()
    threading.Thread(target=lambda: got.put(job()), daemon=True).start()
    return got


def client_gone(it, name, is_newer):
    """The clients of newer or older calls have gone, which their workers learn
    together with the question: the one that is still there is asked."""
    asker, other = it.open(name), it.open(name)
    gone = [socket.create_connection(("127.0.0.1", it.g.port), timeout=10)
            for _ in range(6)]

    def hang():
        for s in gone:
            it.begin(name, "hang", lambda s=s: s.sendall(sent(other, "hang")))

    def ask_later():
        return it.begin(name, "ask_later", lambda: later(
            lambda: asker.call("ask_later")))

    if is_newer:
        reply = ask_later()
        hang()
    else:
        hang()
        reply = ask_later()
    ask = it.ask_later(name, other)
    with it.stopped_workers():
        for s in gone:
            s.close()
        ask()
    r = reply.get(timeout=12).result
    same(r["resultType"], "input_required", "result")
    (key, question), = r["inputRequests"].items()
    same(question["method"], "elicitation/create", "question")
    r = asker.request("tools/call", {
        "name": "ask_later", "arguments": {},
        "requestState": r["requestState"],
        "inputResponses": {key: {"action": "accept",
                                 "content": {"name": name}}}}).result
    same(json.loads(r["content"][0]["text"]),
         {"action": "accept", "content": {"name": name}}, "answer")


def test_newer_gone_stdio(_env, it):
    client_gone(it, "stdio", True)


def test_newer_gone_sse(_env, it):
    client_gone(it, "sse", True)


def test_newer_gone_http(_env, it):
    client_gone(it, "http", True)


def test_older_gone_stdio(_env, it):
    client_gone(it, "stdio", False)


def test_older_gone_sse(_env, it):
    client_gone(it, "sse", False)


def test_older_gone_http(_env, it):
    client_gone(it, "http", False)


def cancelled(it, name):
    """The client was asked over its newest call and cancels that: it is asked
    again over the other one."""
    c, other, third = (it.open(name, "2025-11-25") for _ in range(3))
    for n, x in enumerate((other, third)):
        x.session, x.id = c.session, 100 * (n + 1)
    asker = it.begin(name, "ask_later", lambda: later(
        lambda: Stream(c.port, sent(c, "ask_later"))))
    hangs = it.begin(name, "hang", lambda: later(
        lambda: Stream(c.port, sent(other, "hang"))))
    it.ask_later(name, third)()
    with hangs.get(timeout=10) as s:
        same(s.next()["method"], "elicitation/create", "asked first")
        third.notify("notifications/cancelled", {"requestId": other.id})
        with asker.get(timeout=10) as s2:
            question = s2.next()
            same(question["method"], "elicitation/create", "asked then")
            body = json.dumps({"jsonrpc": "2.0", "id": question["id"],
                               "result": {"action": "decline"}}).encode()
            same(third.send(body, third.headers()).status, 202, "answer")
            same(json.loads(s2.next()["result"]["content"][0]["text"]),
                 {"action": "decline"}, "what the server got")


def sent(c, tool):
    """A request for a tool, as bytes."""
    params = {"name": tool, "arguments": {}}
    c.id += 1
    return head_of(c, "POST", c.headers("tools/call", params), body=json.dumps(
        c.message("tools/call", params, c.id)).encode())


def test_cancelled_stdio(_env, it):
    cancelled(it, "stdio")


def test_cancelled_sse(_env, it):
    cancelled(it, "sse")


def test_all_clean(_env, it):
    """Nothing is left under way."""
    wait_for(lambda: not it.mail(), 10, "the end of all conversations")
