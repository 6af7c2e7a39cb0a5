"""Tasks that a client of 2025-11-25 keeps for what a server asks it: declared to
servers of that revision, asked for and about, and nobody else hears of them."""
import itertools
import json
import os
import queue
import subprocess
import threading

from fake import http, response, sse
from fakes.asks_tasks import FORM, TOOLS, TTL, play
from harness import META, MODERN, check, free_port, same, wait_for
from m07_heard import Asker
from s01_streams import Stream, get, head_of
from servers import everything_http, everything_stdio, http_server, stdio_server

LIMIT_S = 120
TASKS = {"list": {}, "cancel": {}, "requests": {
    "sampling": {"createMessage": {}}, "elicitation": {"create": {}}}}
ASKABLE = {"sampling": {}, "elicitation": {"form": {}}}
CAPABLE = {**ASKABLE, "tasks": TASKS}
STATUS = "notifications/tasks/status"
WHEN = "2026-08-01T00:00:00Z"


class Keen(Asker):
    """Asks on the stream of the call, or on that of the session."""

    def __init__(self):
        super().__init__([*TOOLS, "whoami"])
        self.declared, self.told = {}, queue.Queue()
        self.numbers = itertools.count(1)

    def serve(self, c, verb, body):
        m = json.loads(body or b"{}")
        if m.get("method") == STATUS:
            self.told.put((c.headers.get("mcp-session-id"), m))
        return super().serve(c, verb, body)

    def asked(self, session, method, params, say):
        number = next(self.numbers)
        self.answers[f"{session}/{number}"] = queue.Queue()
        check(say({"jsonrpc": "2.0", "id": f"{session}/{number}",
                   "method": method, "params": params}), "nobody hears")
        return self.answer_to(session, number)

    def ask_between(self, session, method, params):
        return self.asked(session, method, params,
                          lambda m: self.say(session, m))

    def answer(self, c, m, name):
        params = m.get("params") or {}
        if name == "initialize":
            super().answer(c, m, name)
            self.declared[f"s{self.n}"] = params["capabilities"]
            return True
        if name != "tools/call" or params["name"] not in TOOLS:
            return super().answer(c, m, name)
        session = c.headers["mcp-session-id"]

        def say(message):
            c.send(sse(message))
            return True

        c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        text = json.dumps(play(params["name"], lambda method, p: self.asked(
            session, method, p, say)))
        say(response(m, {"content": [{"type": "text", "text": text}]}))
        return False


class Person:
    """Answers what a client is asked; a task is done when it was asked for
    the second time."""

    def __init__(self, c, has_tasks=True):
        self.c, self.has_tasks = c, has_tasks
        self.tasks, self.got = {}, []

    def state(self, name, status):
        return {"taskId": name, "status": status, "ttl": 60000,
                "pollInterval": 10, "createdAt": WHEN, "lastUpdatedAt": WHEN}

    def answer(self, method, params):
        name = params.get("taskId")
        if method in ("elicitation/create", "sampling/createMessage"):
            result = {"action": "accept", "content": {"name": "Ann"}} \
                if method == "elicitation/create" else \
                {"role": "assistant", "model": "m",
                 "content": {"type": "text", "text": "said"}}
            if not self.has_tasks or "task" not in params:
                return result
            same(params["task"], TTL, "task")
            name = f"mine-{len(self.tasks)}"
            self.tasks[name] = [result, 0]
            return {"task": self.state(name, "working"), "_meta": {"x": 1}}
        if method == "tasks/get":
            self.tasks[name][1] += 1
            return self.state(name, "completed" if self.tasks[name][1] > 1
                              else "working")
        if method == "tasks/result":
            return {**self.tasks[name][0],
                    "_meta": {META + "related-task": {"taskId": name}}}
        if method == "tasks/list":
            return {"tasks": [self.state(n, "working") for n in self.tasks]}
        same(method, "tasks/cancel", "question")
        return self.state(name, "cancelled")

    def reply(self, question):
        self.got.append((question["method"], question.get("params")))
        body = json.dumps({"jsonrpc": "2.0", "id": question["id"],
                           "result": self.answer(question["method"],
                                                 question.get("params") or {})})
        same(self.c.send(body.encode(), self.c.headers()).status, 202, "status")

    def call(self, tool):
        """The text of the tool, as JSON."""
        c = self.c
        c.id += 1
        body = json.dumps(c.message("tools/call", {
            "name": tool, "arguments": {}}, c.id)).encode()
        with Stream(c.port, head_of(c, "POST", c.headers(), body=body)) as s:
            while "method" in (m := s.next(20)):
                self.reply(m)
        check("result" in m, m)
        return json.loads(m["result"]["content"][0]["text"])


class Setting:
    def __init__(self, env):
        self.env = env
        self.keen, self.other = Keen(), Keen()
        self.dir = env.make_dir("tasks", mode=0o755)
        args = ["/usr/bin/python3", os.path.join(env.fakes, "asks_tasks.py")]
        port = free_port()
        env.helper([env.python, os.path.join(env.fakes, "sse_bridge.py"),
                    str(port), *args, self.log("sse")], port)
        self.g = env.gateway({"mcps": [
            http_server("keen", self.keen.url),
            http_server("other", self.other.url),
            stdio_server("pipe", *args, self.log("pipe"),
                         sandbox={"writable": [self.dir]}),
            {"name": "sse", "protocol": "sse",
             "url": f"http://127.0.0.1:{port}/sse"},
            everything_stdio(env), everything_http(env)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        wait_for(lambda: {"keen__form", "other__form", "pipe__form",
                          "sse__form"} <= set(self.open().names()), 20,
                 "discovery")

    def log(self, name):
        return os.path.join(self.dir, name)

    def logged(self, name):
        with open(self.log(name), encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def open(self, capabilities=None, **kw):
        return self.g.client("ann@example.com",
                             capabilities=capabilities or {},
                             **kw).initialize()

    def sdk(self, server, tool):
        done = subprocess.run(
            [self.env.node, os.path.join(self.env.fakes, "task_client.mjs"),
             f"http://127.0.0.1:{self.g.port}/servers/{server}/mcp", tool],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=60, check=False, env=self.env.clean_environment(
                NODE_MODULES_DIR=self.env.npm,
                KEY=self.g.key("ann@example.com")))
        check(done.stdout.strip(), done.stderr[-800:])
        return json.loads(done.stdout.strip().splitlines()[-1])


def setup(env):
    return Setting(env)


def during_a_call(it, name):
    p = Person(it.open(CAPABLE))
    got = p.call(f"{name}__form")
    same(got, {"created": p.state("mine-0", "working"),
               "seen": ["working", "completed"],
               "result": {"action": "accept", "content": {"name": "Ann"},
                          "_meta": {META + "related-task": {
                              "taskId": "mine-0"}}}}, "what the server got")
    same([m for m, _ in p.got], ["elicitation/create", "tasks/get",
                                 "tasks/get", "tasks/result"], "questions")
    same(p.got[0][1], {**FORM, "task": TTL}, "the question")
    same(p.call(f"{name}__talk")["result"]["content"]["text"], "said",
         "sampling")
    got = p.call(f"{name}__cancelled")
    same([t["taskId"] for t in got["listed"]["tasks"]],
         ["mine-0", "mine-1", "mine-2"], "tasks")
    same(got["ended"], p.state("mine-2", "cancelled"), "cancelled")


def test_during_a_call_http(_env, it):
    during_a_call(it, "keen")


def test_during_a_call_stdio(_env, it):
    during_a_call(it, "pipe")


def test_during_a_call_sse(_env, it):
    during_a_call(it, "sse")


def undeclared(it, name):
    """Asked without a task, and not about tasks."""
    p = Person(it.open(ASKABLE), has_tasks=False)
    got = p.call(f"{name}__rude")
    same(got.pop("plain")["content"], {"name": "Ann"}, "answer")
    same(got, {f"tasks/{m}": -32601 for m in (
        "get", "result", "list", "cancel")}, "errors")
    same(p.got, [("elicitation/create", {**FORM, "_meta": {"a": 1}})],
         "questions")


def test_undeclared_http(_env, it):
    undeclared(it, "keen")


def test_undeclared_stdio(_env, it):
    undeclared(it, "pipe")


def declared(it, capabilities, **kw):
    c = it.open(capabilities, **kw)
    before = set(it.keen.declared)
    c.call("keen__whoami")
    (session,) = set(it.keen.declared) - before
    return it.keen.declared[session]


def test_declared(_env, it):
    """What the client said, as far as it is of its revision."""
    same(declared(it, CAPABLE), CAPABLE, "all")
    part = {"requests": {"elicitation": {"create": {}}}}
    same(declared(it, {**ASKABLE, "tasks": part}),
         {**ASKABLE, "tasks": part}, "some")
    same(declared(it, ASKABLE), ASKABLE, "none")
    same(declared(it, CAPABLE, version="2025-06-18"), ASKABLE, "old")
    same(declared(it, CAPABLE, version=MODERN), ASKABLE, "modern")


def test_some(_env, it):
    """Of elicitation only, and neither list nor cancel."""
    p = Person(it.open({**ASKABLE, "tasks": {
        "requests": {"elicitation": {"create": {}}}}}))
    same(p.call("keen__form")["seen"], ["working", "completed"], "form")
    same(p.call("keen__talk")["plain"]["model"], "m", "talk")
    got = p.call("keen__cancelled")
    same((got["listed"]["code"], got["ended"]["code"]), (-32601, -32601),
         "errors")


def later(job):
    got = queue.Queue()
    threading.Thread(target=lambda: got.put(job()), daemon=True).start()
    return got


def test_between_calls(_env, it):
    """On the client's own stream; its news go to the one server."""
    c = it.open(CAPABLE)
    p = Person(c)
    with get(c) as s:
        session = c.call("keen__whoami").result["content"][0]["text"]
        c.call("other__whoami")
        wait_for(lambda: session in it.keen.streams, 10, "the stream")

        def asked(method, params):
            got = later(lambda: it.keen.ask_between(session, method, params))
            p.reply(s.next(what="question"))
            return got.get(timeout=10)["result"]

        task = asked("elicitation/create", {**FORM, "task": TTL})["task"]
        same(task, p.state("mine-0", "working"), "task")
        for name, status in (("nobody's", "working"), ("mine-0", "working"),
                             ("mine-0", "completed"), ("mine-0", "working")):
            same(c.notify(STATUS, p.state(name, status)).status, 202, "status")
        for status in ("working", "completed"):     # and then no more
            same(it.keen.told.get(timeout=10), (session, {
                "jsonrpc": "2.0", "method": STATUS,
                "params": p.state("mine-0", status)}), "news")
        asked("tasks/get", {"taskId": task["taskId"]})
        same(asked("tasks/get", {"taskId": task["taskId"]})["status"],
             "completed", "status")
        same(asked("tasks/result", {"taskId": task["taskId"]})["content"],
             {"name": "Ann"}, "result")
    check(it.keen.told.empty() and it.other.told.empty(), "more news")


def test_news(_env, it):
    """Of a task made during a call; not of another session's."""
    p, q = Person(it.open(CAPABLE)), Person(it.open(CAPABLE))
    p.call("keen__form")
    for name in ("pipe", "sse"):
        q.call(f"{name}__form")
    q.c.notify(STATUS, q.state("mine-1", "cancelled"))
    q.c.notify(STATUS, q.state("mine-0", "cancelled"))
    for name, task in (("pipe", "mine-0"), ("sse", "mine-1")):
        wait_for(lambda n=name, t=task: [
            m["params"] for m in it.logged(n) if m.get("method") == STATUS] ==
            [q.state(t, "cancelled")], 10, f"news at {name}")
    p.c.notify(STATUS, p.state("mine-0", "failed"))
    same(it.keen.told.get(timeout=10)[1]["params"],
         p.state("mine-0", "failed"), "news")
    check(it.keen.told.empty() and it.other.told.empty(), "more news")


def test_modern_client(_env, it):
    """It knows no such tasks: asked as ever, and never about any."""
    c = it.g.client("ann@example.com", version=MODERN, capabilities=CAPABLE)
    r = c.call("keen__rude").result
    same(r["resultType"], "input_required", "result")
    (key, q), = r["inputRequests"].items()
    same(q["method"], "elicitation/create", "question")
    done = c.request("tools/call", {
        "name": "keen__rude", "arguments": {},
        "requestState": r["requestState"],
        "inputResponses": {key: {"action": "decline"}}})
    got = json.loads(done.result["content"][0]["text"])
    same(got.pop("plain"), {"action": "decline"}, "answer")
    same(set(got.values()), {-32601}, "errors")


def sdk(it, name):
    """Both ends are of the official SDK 1.x."""
    out = it.sdk(name, "trigger-elicitation-request-async")
    text = json.dumps(out.get("result"))
    check("[COMPLETED]" in text and "Name: Ann" in text and
          out["task"] in text, lambda: str(out)[:1500])
    out = it.sdk(name, "trigger-sampling-request-async")
    text = json.dumps(out.get("result"))
    check("said" in text and out["task"] in text, lambda: str(out)[:1500])


def test_sdk_stdio(_env, it):
    sdk(it, "everything")


def test_sdk_http(_env, it):
    sdk(it, "everything_http")
