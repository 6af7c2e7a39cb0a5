"""Tasks of clients of 2025-11-25 at servers of 2026-07-28 with the tasks
extension: the server decides what becomes one, the client knows nothing of
that."""
import json
import os
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

from fake import Fake, http, response
from harness import (META, MODERN, Skip, check, free_port, same, wait_for,
                     works)
from m08_tasks import (EXTENSION, NOT_FOUND, Setting as Tasks, Tasked, create,
                       head_of)
from s01_streams import Stream
from servers import http_server, stdio_server

LIMIT_S = 120
SERVERS = ("jobs", "local")     # HTTP and stdio
WHOLE = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
TASK = {"taskId", "status", "createdAt", "lastUpdatedAt", "ttl"}
ASKS = {"elicitation": {"form": {}}}


class Instant(Fake):
    """Has the extension and answers at once; each tool in another way."""

    def __init__(self):
        super().__init__(["fine", "bad", "large", "broken"])

    def answer(self, c, m, name):
        more = {"ttlMs": 0, "cacheScope": "private"}
        error, status = None, 200
        if name == "server/discover":
            result = {"supportedVersions": [MODERN], **more,
                      "capabilities": {"tools": {}, **EXTENSION},
                      "serverInfo": {"name": "instant", "version": "1"}}
        elif name == "tools/list":
            result = {"tools": self.tools, **more}
        elif name == "tools/call" and m["params"]["name"] != "broken":
            tool = m["params"]["name"]
            result = {"content": [{"type": "text", "text": tool * (
                400000 if tool == "large" else 1)}], "isError": tool == "bad",
                "_meta": {"x": [1]}}
        elif name == "tools/call":
            result, error = None, {"code": -32077, "message": "it broke"}
        else:
            result, error, status = None, {
                "code": -32601, "message": "Method not found"}, 404
        if result:
            result["resultType"] = "complete"
        c.send(http(response(m, result, error), status))
        return True


class Setting(Tasks):
    def __init__(self, env):
        self.env = env
        self.port, self.instant = free_port(), Instant()
        server = os.path.join(env.fakes, "tasks_server.py")
        env.helper(["/usr/bin/python3", server, str(self.port)], self.port)
        self.real = self.real_servers(env)
        self.g = env.gateway({
            "mcps": [*self.real, http_server("jobs", f"http://127.0.0.1:{self.port}/mcp"),
                     stdio_server("local", "/usr/bin/python3", server,
                                  "--stdio"),
                     http_server("instant", self.instant.url)],
            "users": [
                {"email": f"{who}@example.com", "role": "power_user",
                 "allowed_mcps": "*", "rate_limit": {"requests_per_hour": 0}}
                for who in ("ann", "bob", "cid")]})
        c = self.client("ann")
        want = {"jobs__job", "local__job", "instant__fine",
                *(f"{s['name']}__research" for s in self.real)}
        wait_for(lambda: want <= set(c.names()), 80, "servers")

    @staticmethod
    def real_servers(env):
        """FastMCP's own extension; it speaks both eras."""
        if subprocess.run([env.python, "-c", "import fastmcp_tasks"],
                          stderr=subprocess.DEVNULL, check=False).returncode:
            return []
        server = os.path.join(env.fakes, "fastmcp_tasks_server.py")
        port = free_port()
        env.helper([env.python, server, str(port)], port)
        return [http_server("fh", f"http://127.0.0.1:{port}/mcp"),
                stdio_server("fs", env.python, server, "stdio")]


def setup(env):
    return Setting(env)


def poll(c, task, until):
    return wait_for(lambda: (lambda r: r if r["status"] == until else None)(
        Tasked(c)("tasks/get", task).result), 10, until)


def is_task(t, task, *states):
    check(TASK <= set(t) and t["taskId"] == task and t["status"] in states, t)
    check(not {"resultType", "ttlMs", "pollIntervalMs", "result", "error",
               "inputRequests"} & set(t), t)


def result_request(c, task):
    c.id += 1
    params = {"taskId": task}
    body = json.dumps(c.message("tasks/result", params, c.id)).encode()
    return head_of(c, "POST", c.headers("tasks/result", params), None, body)


def polled(it, server):
    """The gateway has begun to wait; only one of the servers tells."""
    if server == "jobs":
        seen = len(it.seen())
        wait_for(lambda: len(it.seen()) > seen + 1, 10, "polls")


def test_offered(_env, it):
    for path in ("/mcp", "/servers/jobs/mcp", "/servers/local/mcp"):
        c = it.client("ann", path=path)
        same(c.info["capabilities"]["tasks"], WHOLE, path)
        for t in c.request("tools/list").result["tools"]:
            same(t["execution"], {"taskSupport": "optional"}, t["name"])
    for version in ("2025-06-18", MODERN):
        c = it.client("ann", version=version)
        same(c.info["capabilities"].get("tasks"), None, version)
        check(all("execution" not in t for t in
                  c.request("tools/list").result["tools"]), version)


def test_flow(_env, it):
    for server in SERVERS:
        c = it.client("ann")
        on = Tasked(c)
        t = create(c, f"{server}__job")
        task = t["taskId"]
        is_task(t, task, "working")
        same((t["ttl"], t["pollInterval"]), (60000, 10), "times")
        is_task(on("tasks/get", task).result, task, "working", "completed")
        want = {"content": [{"type": "text", "text": "done"}],
                "taskId": "not one of ours", "isError": False,
                "_meta": {META + "related-task": {"taskId": task}}}
        same(on("tasks/result", task).result, want, "tasks/result waits")
        is_task(on("tasks/get", task).result, task, "completed")
        same(on("tasks/result", task).result, want, "again")
        e = on("tasks/cancel", task).error
        same(e["code"], NOT_FOUND, "cancel of one that has ended")
        failing = create(c, f"{server}__job", fail=True)["taskId"]
        same(on("tasks/result", failing).error,
             {"code": -32077, "message": "it went wrong"}, "failed")
        same(on("tasks/get", failing).result["status"], "failed", "status")


def test_cancel(_env, it):
    for server in SERVERS:
        c = it.client("ann")
        on = Tasked(c)
        task = create(c, f"{server}__job", forever=True)["taskId"]
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(Tasked(it.client("ann")), "tasks/result",
                                  task)
            polled(it, server)
            is_task(on("tasks/cancel", task).result, task, "cancelled")
            is_task(on("tasks/get", task).result, task, "cancelled")
            e = waiting.result(20).error
        same((e["code"], e["message"]), (NOT_FOUND, "the task was cancelled"),
             "tasks/result")


def test_asked_on_the_result(_env, it):
    for server in SERVERS:
        c = it.client("ann", capabilities=ASKS)
        task = create(c, f"{server}__job", ask=True)["taskId"]
        is_task(Tasked(c)("tasks/get", task).result, task, "input_required")
        s = Stream(c.port, result_request(c, task))
        own = c.id
        q = s.next(what="question")
        same((q["method"], q["params"]["message"], q["params"]["_meta"]),
             ("elicitation/create", "who?",
              {META + "related-task": {"taskId": task}}), "the question")
        same(c.send(json.dumps({"jsonrpc": "2.0", "id": q["id"], "result": {
            "action": "accept", "content": {"name": "Luca"}}}).encode(),
            c.headers()).status, 202, "the answer is taken")
        m = s.next(what="result")
        same((m["id"], m["result"]["content"][0]["text"]),
             (own, "done for Luca"), "result")
        s.close()


def test_who_gives_up_waiting_cancels_nothing(_env, it):
    c = it.client("ann")
    task = create(c, "jobs__job", forever=True)["taskId"]
    s = socket.create_connection(("127.0.0.1", it.g.port), timeout=30)
    s.sendall(result_request(c, task))
    polled(it, "jobs")
    same(c.notify("notifications/cancelled", {"requestId": c.id}).status, 202,
         "notifications/cancelled")
    s.recv(65536)                   # it has ended
    s.close()
    same(Tasked(c)("tasks/get", task).result["status"], "working", "status")
    check(not any(m == "tasks/cancel" and t == task for m, t, _ in it.seen()),
          "tasks/cancel")
    Tasked(c)("tasks/cancel", task)


def test_answered_at_once(_env, it):
    """The server made no task; the client gets one all the same."""
    c = it.client("ann")
    on = Tasked(c)
    calls = it.instant.calls
    tasks = {n: create(c, f"instant__{n}")["taskId"]
             for n in ("fine", "bad", "large")}
    states = {"fine": "completed", "bad": "failed", "large": "completed"}
    for n, task in tasks.items():
        is_task(on("tasks/get", task).result, task, states[n])
        r = on("tasks/result", task).result
        same((r["content"][0]["text"], r["isError"]),
             (n * (400000 if n == "large" else 1), n == "bad"), n)
        same(r["_meta"], {"x": [1], META + "related-task": {"taskId": task}},
             n)
        same(on("tasks/cancel", task).error["code"], NOT_FOUND, n)
    same(c.request("tools/call", {"name": "instant__broken", "task": {}}
                   ).error, {"code": -32077, "message": "it broke"}, "error")
    same(it.instant.calls, calls + 4, "calls")
    for who in ("bob", "cid"):
        same(Tasked(it.client(who))("tasks/result", tasks["fine"]).error[
            "message"], "Task not found", who)
    # any worker has it, also one that was started anew
    for pid in it.g.pids("worker"):
        os.kill(pid, 9)
    ann = wait_for(lambda: works(lambda: it.client("ann")), 20, "new workers")
    same(Tasked(ann)("tasks/result", tasks["fine"]).result[
        "content"][0]["text"], "fine", "after the workers' end")


def test_list(_env, it):
    c = it.client("cid")
    same(c.names("tasks/list", "tasks", "taskId"), [], "none")
    mine = [create(c, f"{s}__{t}")["taskId"] for s, t in (
        ("jobs", "job"), ("local", "job"), ("instant", "fine"),
        ("jobs", "plain"))]
    bobs = create(it.client("bob"), "jobs__job")["taskId"]
    found = c.names("tasks/list", "tasks", "taskId")
    same(sorted(found), sorted(mine), "the list")
    check(bobs not in found, "somebody else's")
    same(sorted(it.client("cid", path="/servers/jobs/mcp").names(
        "tasks/list", "tasks", "taskId")), sorted([mine[0], mine[3]]),
        "one server's")
    # more than a page
    more = [create(c, "jobs__job")["taskId"] for _ in range(40)]
    page = c.request("tasks/list").result
    check("nextCursor" in page and len(page["tasks"]) <= 33, len(page["tasks"]))
    for t in page["tasks"]:
        is_task(t, t["taskId"], "working", "completed")
    same(sorted(c.names("tasks/list", "tasks", "taskId")),
         sorted(mine + more), "all pages")


def test_another_principal(_env, it):
    task = create(it.client("ann"), "jobs__job", forever=True)["taskId"]
    for method in ("tasks/get", "tasks/result", "tasks/cancel"):
        same(Tasked(it.client("bob"))(method, task).error["message"],
             "Task not found", method)
    same(Tasked(it.client("ann"))("tasks/cancel", task).result["status"],
         "cancelled", "its owner")


def test_the_same_task_in_both_eras(_env, it):
    c = it.client("ann", version=MODERN, capabilities=EXTENSION)
    task = c.call("jobs__job").result["taskId"]
    same(Tasked(it.client("ann"))("tasks/result", task).result["content"][0][
        "text"], "done", "a modern client's task")


def test_official_sdk(_env, it):
    """callToolStream() of the TypeScript SDK 1.x."""
    for path, prefix in (("/mcp", "jobs__"), ("/servers/local/mcp", "")):
        out = it.sdk(path, prefix + "job", {"ask": True})
        kinds = [e["type"] for e in out["events"]]
        same((kinds[0], kinds[-1]), ("taskCreated", "result"), out["events"])
        r = out["events"][-1]["result"]
        task = out["events"][0]["task"]["taskId"]
        same((r["content"][0]["text"], r["_meta"][META + "related-task"]),
             ("done for historical", {"taskId": task}), path)
        same([q["_meta"][META + "related-task"] for q in out["questions"]],
             [{"taskId": task}], "the question's task")
        check(task in out["listed"], out["listed"])
        same(out["got"]["status"], "completed", "status")
        out = it.sdk(path, prefix + "plain", {})
        same((out["events"][0]["type"], out["events"][-1]["result"]["content"
              ][0]["text"]), ("taskCreated", "plain"), "answered at once")


def test_fastmcp(_env, it):
    """A server that others wrote, with the official SDK and by hand."""
    if not it.real:
        raise Skip("fastmcp-tasks is not installed")
    for server in ("fh", "fs"):
        out = it.sdk(f"/servers/{server}/mcp", "research",
                     {"topic": "rivers", "ask": True})
        kinds = [e["type"] for e in out["events"]]
        same((kinds[0], kinds[-1]), ("taskCreated", "result"), out["events"])
        r = out["events"][-1]["result"]
        task = out["events"][0]["task"]["taskId"]
        same((r["content"][0]["text"], r["_meta"][META + "related-task"]),
             ("rivers: historical", {"taskId": task}), server)
        same([q["message"] for q in out["questions"]], ["which one?"], server)
        check(task in out["listed"], out["listed"])
        same(out["got"]["status"], "completed", "status")
        c = it.client("ann", capabilities=ASKS)
        on = Tasked(c)
        failing = create(c, f"{server}__research", topic="x", fail=True
                         )["taskId"]
        same(on("tasks/result", failing).result["isError"], True, "isError")
        same(on("tasks/get", failing).result["status"], "failed", "status")
        long = create(c, f"{server}__research", topic="x", seconds=60
                      )["taskId"]
        is_task(on("tasks/cancel", long).result, long, "cancelled")
        plain = create(c, f"{server}__plain")["taskId"]
        same(on("tasks/result", plain).result["content"][0]["text"], "plain",
             "answered at once")
        same(c.call(f"{server}__research", {"topic": "y"}).text, "y: any",
             "no task")
