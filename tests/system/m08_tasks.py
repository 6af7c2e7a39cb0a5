"""Tasks: of revision 2025-11-25 with a real server and the official SDK, and
the extension of 2026-07-28; their ids belong to one principal."""
import json
import os
import socket
import subprocess

from harness import META, MODERN, check, free_port, http_get, same, wait_for
from fake import Fake, http, response, tool
from s01_streams import Stream, acknowledged, head_of, listen
from servers import (everything_http, everything_stdio, fastmcp, http_server,
                     stdio_server)

LIMIT_S = 180
TOOL = "simulate-research-query"
EXTENSION = {"extensions": {META + "tasks": {}}}
NOT_FOUND = -32602


class Old(Fake):
    """A server of 2025-11-25 whose tasks end at once, each in another way."""

    ends = {"fine": "completed", "bad": "failed", "broken": "failed",
            "asks": "input_required", "lost": "completed"}

    def __init__(self):
        super().__init__([tool(n, execution={"taskSupport": "required"})
                          for n in self.ends])
        self.got = []

    def task(self, name):
        return {"taskId": f"t-{name}", "status": self.ends[name],
                "statusMessage": "so far", "ttl": 5000, "pollInterval": 10,
                "createdAt": "2026-08-01T00:00:00Z",
                "lastUpdatedAt": "2026-08-01T00:00:00Z"}

    def answer(self, c, m, name):
        params = m.get("params") or {}
        own = params.get("taskId", "t-")[2:]
        if name.startswith("tasks/") or name == "tools/call":
            self.got.append((name, params))
        error = None
        if name == "initialize":
            result = {"protocolVersion": m["params"]["protocolVersion"],
                      "capabilities": {"tools": {}, "tasks": {
                          "requests": {"tools": {"call": {}}}}},
                      "serverInfo": {"name": "old", "version": "1"}}
        elif name == "tools/call":
            result = {"task": {**self.task(params["name"]),
                               "status": "working"}}
        elif name == "tasks/get":
            result = self.task(own)
        elif name == "tasks/result" and own in ("fine", "bad"):
            result = {"content": [{"type": "text", "text": own}],
                      "isError": own == "bad", "_meta": {
                          META + "related-task": {"taskId": "t-" + own}}}
        elif name == "tasks/result":
            result, error = None, {"code": -32077, "message": own, "data": [1]}
        else:
            return super().answer(c, m, name)
        c.send(http(response(m, result, error)))
        return True


class Tasked:
    """The methods of a client, which must send the id as Mcp-Name."""

    def __init__(self, client):
        self.client = client

    def __call__(self, method, task_id, **params):
        headers = {"Mcp-Name": task_id} if self.client.is_modern else {}
        return self.client.request(method, {"taskId": task_id, **params},
                                   **headers)


class Setting:
    def __init__(self, env):
        self.env = env
        self.port, self.old = free_port(), Old()
        env.helper(["/usr/bin/python3",
                    os.path.join(env.fakes, "tasks_server.py"),
                    str(self.port)], self.port)
        self.g = env.gateway({
            "mcps": [everything_stdio(env, "es"), everything_http(env, "eh"),
                     fastmcp(env, "weather"),
                     http_server("jobs", f"http://127.0.0.1:{self.port}/mcp"),
                     stdio_server("local", "/usr/bin/python3", os.path.join(
                         env.fakes, "tasks_server.py"), "--stdio"),
                     http_server("old", self.old.url)],
            "users": [
                {"email": "ann@example.com", "role": "power_user",
                 "allowed_mcps": "*", "rate_limit": {"requests_per_hour": 0}},
                {"email": "bob@example.com", "role": "power_user",
                 "allowed_mcps": "*", "rate_limit": {"requests_per_hour": 0}},
                {"email": "lim@example.com", "role": "power_user",
                 "allowed_mcps": "*", "rate_limit": {"requests_per_hour": 3}},
                {"email": "eve@example.com", "role": "power_user",
                 "allowed_mcps": ["weather"]}]})
        c = self.client("ann")
        want = {f"es__{TOOL}", f"eh__{TOOL}", "weather__forecast", "jobs__job",
                "local__job", "old__fine"}
        wait_for(lambda: want <= set(c.names()), 40, "servers")

    def client(self, who, **kw):
        return self.g.client(f"{who}@example.com", **kw).initialize()

    def seen(self):
        return json.loads(http_get(self.port, "/log")[2])

    def sdk(self, path, tool, arguments):
        done = subprocess.run(
            [self.env.node, os.path.join(self.env.fakes, "tasks.mjs"),
             f"http://127.0.0.1:{self.g.port}{path}"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=90, check=False, env=self.env.clean_environment(
                NODE_MODULES_DIR=self.env.npm,
                KEY=self.g.key("ann@example.com"), TOOL=tool,
                ARGUMENTS=json.dumps(arguments)))
        check(done.stdout.strip(), done.stderr[-800:])
        out = json.loads(done.stdout.strip().splitlines()[-1])
        check("error" not in out, lambda: str(out)[:1500])
        return out


def setup(env):
    return Setting(env)


def create(c, tool, ttl=60000, **arguments):
    r = c.request("tools/call", {"name": tool, "arguments": arguments,
                                 "task": {"ttl": ttl}})
    return r.result["task"]


# 2025-11-25

def test_offered_where_a_server_has_it(_env, it):
    whole = {"list": {}, "cancel": {}, "requests": {"tools": {"call": {}}}}
    for path, want in (("/mcp", whole), ("/servers/es/mcp", whole),
                       ("/servers/weather/mcp", None),
                       ("/servers/jobs/mcp", whole)):
        c = it.client("ann", path=path)
        same(c.info["capabilities"].get("tasks"), want, path)
    # the principal's servers count, and only this revision has it
    same(it.client("eve").info["capabilities"].get("tasks"), None, "eve")
    same(it.client("ann", version="2025-06-18").info["capabilities"].get(
        "tasks"), None, "2025-06-18")
    for path, want in (("/mcp", {META + "tasks": {}}),
                       ("/servers/jobs/mcp", {META + "tasks": {}}),
                       ("/servers/es/mcp", {META + "tasks": {}}),
                       ("/servers/weather/mcp", None)):
        c = it.client("ann", path=path, version=MODERN)
        same(c.info["capabilities"].get("extensions"), want, path)


def sdk_flow(it, path, prefix):
    out = it.sdk(path, prefix + TOOL, {"topic": "rivers", "ambiguous": True})
    kinds = [e["type"] for e in out["events"]]
    same(kinds[0], "taskCreated", f"{path}: {kinds}")
    same(kinds[-1], "result", f"{path}: {out['events'][-1]}")
    text = out["events"][-1]["result"]["content"][0]["text"]
    check("rivers (historical)" in text, text[:300])
    task = out["events"][0]["task"]["taskId"]
    statuses = {e["task"]["status"] for e in out["events"]
                if e["type"] == "taskStatus"}
    check("input_required" in statuses, statuses)
    same({e["task"]["taskId"] for e in out["events"] if "task" in e}, {task},
         "one id all along")
    same(len(out["questions"]), 1, "questions")
    same(out["questions"][0]["_meta"][META + "related-task"], {"taskId": task},
         "the question's task")
    same(out["events"][-1]["result"]["_meta"][META + "related-task"],
         {"taskId": task}, "the result's task")
    check(task in out["listed"], out["listed"])
    same(out["got"]["status"], "completed", "status")


def test_sdk_through_the_aggregate_stdio(_env, it):
    sdk_flow(it, "/mcp", "es__")


def test_sdk_through_the_aggregate_http(_env, it):
    sdk_flow(it, "/mcp", "eh__")


def test_sdk_through_one_server(_env, it):
    sdk_flow(it, "/servers/es/mcp", "")


def test_raw_flow(_env, it):
    c = it.client("ann")
    task = create(c, f"es__{TOOL}", topic="seas")
    check(task["status"] == "working" and "ttl" in task, task)
    on = Tasked(c)
    same(on("tasks/get", task["taskId"]).result["taskId"], task["taskId"],
         "tasks/get")
    other = create(c, f"eh__{TOOL}", topic="lakes")
    done = on("tasks/cancel", other["taskId"]).result
    same((done["taskId"], done["status"]), (other["taskId"], "cancelled"),
         "tasks/cancel")
    got = on("tasks/result", task["taskId"]).result
    check("seas" in got["content"][0]["text"], got)
    # two servers, two pages at least; what each says is put together
    found = c.names("tasks/list", "tasks", "taskId")
    check({task["taskId"], other["taskId"]} <= set(found), found)
    same(len(found), len(set(found)), "no task twice")
    listed = it.client("ann", path="/servers/eh/mcp").names(
        "tasks/list", "tasks", "taskId")
    check(other["taskId"] in listed and task["taskId"] not in listed, listed)
    same(c.request("tasks/list", {"cursor": "bm9uZQ"}).error["code"],
         NOT_FOUND, "a cursor of nobody")


def test_another_principal(_env, it):
    ann, bob, eve = it.client("ann"), it.client("bob"), it.client("eve")
    task = create(ann, f"es__{TOOL}", topic="secrets")["taskId"]
    mine = create(bob, f"es__{TOOL}", topic="nothing")["taskId"]
    for who in (bob, eve):
        for method in ("tasks/get", "tasks/result", "tasks/cancel"):
            if who is eve:
                same(Tasked(who)(method, task).error["code"], -32601,
                     "eve has no server with tasks")
                continue
            e = Tasked(who)(method, task).error
            same((e["code"], e["message"]), (NOT_FOUND, "Task not found"),
                 method)
    check(task not in bob.names("tasks/list", "tasks", "taskId"), "bob's list")
    check(mine in bob.names("tasks/list", "tasks", "taskId"), "bob's list")
    check(mine not in ann.names("tasks/list", "tasks", "taskId"), "ann's list")
    # nor the server's own id, nor a changed one, nor at another server
    for odd in ("x", task[:-2] + ("AA" if task[-2:] != "AA" else "BB"),
                "B" + task[1:], task[:20] + "zz" + task[22:],
                task + "AAAA"):
        same(Tasked(ann)("tasks/get", odd).error["code"], NOT_FOUND, odd)
    there = it.client("ann", path="/servers/eh/mcp")
    same(Tasked(there)("tasks/get", task).error["code"], NOT_FOUND,
         "at another server")
    here = it.client("ann", path="/servers/es/mcp")
    same(Tasked(here)("tasks/get", task).result["taskId"], task,
         "at its own server")
    same(Tasked(ann)("tasks/cancel", task).result["status"], "cancelled",
         "its owner")


def test_limit_counts_calls_not_polls(_env, it):
    c = it.client("lim")
    tasks = [create(c, f"es__{TOOL}", topic="x")["taskId"] for _ in range(3)]
    for _ in range(5):
        same(Tasked(c)("tasks/get", tasks[0]).status, 200, "a poll")
    same(c.request("tools/call", {"name": f"es__{TOOL}", "arguments": {
        "topic": "y"}, "task": {}}).status, 429, "the fourth call")
    for t in tasks:
        Tasked(c)("tasks/cancel", t)


def test_not_for_who_does_not_know_it(_env, it):
    old = it.client("ann", version="2025-06-18")
    same(old.request("tasks/list").error["code"], -32601, "2025-06-18")
    # the member is not passed on: the server says what it says to everybody
    r = old.request("tools/call", {"name": f"es__{TOOL}", "arguments": {
        "topic": "x"}, "task": {"ttl": 1000}})
    check("task" not in r.message.get("result", {}), r)
    one = it.client("ann", path="/servers/weather/mcp")
    same(one.request("tasks/list").error["code"], -32601, "weather")
    r = one.request("tools/call", {"name": "forecast", "arguments": {
        "city": "Bern"}, "task": {"ttl": 1000}})
    check("sunny" in r.text, r)


def test_survives_a_restart_of_the_gateway(_env, it):
    """The id; whether the server still has the task is the server's affair."""
    c = it.client("ann", version=MODERN, capabilities=EXTENSION)
    task = c.call("jobs__job").result["taskId"]
    it.g.stop()
    it.g.start()
    for name in (f"es__{TOOL}", f"eh__{TOOL}", "jobs__job", "local__job"):
        wait_for(lambda n=name: n in c.names(), 40, name)
    same(Tasked(c)("tasks/get", task).result["taskId"], task, "the same id")


# 2026-07-28

def poll(c, task_id, until):
    return wait_for(lambda: (lambda r: r if r["status"] == until else None)(
        Tasked(c)("tasks/get", task_id).result), 10, until)


def extension_flow(it, path, tool):
    c = it.client("ann", path=path, version=MODERN, capabilities=EXTENSION)
    t = c.request("tools/call", {"name": tool, "arguments": {"ask": True}}
                  ).result
    same((t["resultType"], t["status"]), ("task", "input_required"), path)
    check("task/" not in t["taskId"], "the server's own id")
    r = Tasked(c)("tasks/get", t["taskId"]).result
    same(list(r["inputRequests"]), ["who"], "inputRequests")
    same(Tasked(c)("tasks/update", t["taskId"], inputResponses={
        "who": {"action": "accept", "content": {"name": "Luca"}}}).result[
            "resultType"], "complete", "tasks/update")
    r = poll(c, t["taskId"], "completed")
    same((r["taskId"], r["resultType"]), (t["taskId"], "complete"), "the task")
    same(r["result"], {"content": [{"type": "text", "text": "done for Luca"}],
                       "taskId": "not one of ours", "isError": False},
         "the result, as the server sent it")
    t = c.request("tools/call", {"name": tool}).result
    Tasked(c)("tasks/cancel", t["taskId"])
    same(Tasked(c)("tasks/get", t["taskId"]).result["status"], "cancelled",
         "tasks/cancel")
    bob = it.client("bob", path=path, version=MODERN, capabilities=EXTENSION)
    for method in ("tasks/get", "tasks/cancel"):
        same(Tasked(bob)(method, t["taskId"]).error["message"],
             "Task not found", method)
    same(c.request("tasks/get", {"taskId": t["taskId"]}).error["code"],
         -32020, "no Mcp-Name")
    for method in ("tasks/list", "tasks/result"):
        same(Tasked(c)(method, t["taskId"]).error["code"], -32601, method)


def test_extension_through_the_aggregate(_env, it):
    before = len(it.seen())
    extension_flow(it, "/mcp", "jobs__job")
    for method, task, name in it.seen()[before:]:
        if method.startswith("tasks/"):
            check(task.startswith("task/") and name == task,
                  f"{method} {task} {name}")


def test_extension_through_one_server(_env, it):
    extension_flow(it, "/servers/jobs/mcp", "job")


def test_extension_only_for_who_declared_it(_env, it):
    c = it.client("ann", version=MODERN)
    r = c.call("jobs__job")
    same((r.status, r.error["code"]), (400, -32021), "without the capability")
    same(c.call("jobs__plain").text, "plain", "no task")


# a modern client at a server of 2025-11-25

def bridged_flow(it, server):
    c = modern(it)
    t = c.call(f"{server}__{TOOL}", {"topic": "seas"}).result
    same((t["resultType"], t["status"]), ("task", "working"), server)
    check({"ttlMs", "pollIntervalMs", "createdAt", "lastUpdatedAt"} <= set(t)
          and not {"ttl", "pollInterval", "task"} & set(t), t)
    on = Tasked(c)
    r = on("tasks/get", t["taskId"]).result
    same((r["resultType"], r["taskId"], r["status"]),
         ("complete", t["taskId"], "working"), "tasks/get")
    same(on("tasks/update", t["taskId"], inputResponses={"x": {}}).result,
         {"resultType": "complete"}, "tasks/update")
    r = wait_for(lambda: (lambda r: r if r["status"] == "completed" else None)(
        on("tasks/get", t["taskId"]).result), 30, "the end")
    check("seas" in r["result"]["content"][0]["text"], r)
    same((r["taskId"], r["result"]["_meta"][META + "related-task"]),
         (t["taskId"], {"taskId": t["taskId"]}), "the id")
    other = c.call(f"{server}__{TOOL}", {"topic": "x"}).result["taskId"]
    same(on("tasks/cancel", other).result, {"resultType": "complete"}, "cancel")
    same(on("tasks/get", other).result["status"], "cancelled", "status")
    # the same task in the other era, and nobody else's
    legacy = it.client("ann")
    same(Tasked(legacy)("tasks/get", other).result["status"], "cancelled",
         "of a legacy client of the same principal")
    check(other in legacy.names("tasks/list", "tasks", "taskId"), "its list")
    for method in ("tasks/get", "tasks/cancel", "tasks/update"):
        same(Tasked(modern(it, "bob"))(method, other).error["message"],
             "Task not found", method)


def test_modern_client_legacy_server_stdio(_env, it):
    bridged_flow(it, "es")


def test_modern_client_legacy_server_http(_env, it):
    bridged_flow(it, "eh")


def asked_in_a_task(it, path, tool, answer):
    """A client that can be asked; what it is asked is shown until answered."""
    c = it.client("ann", path=path, version=MODERN,
                  capabilities={"elicitation": {"form": {}}, **EXTENSION})
    t = c.call(tool, {"topic": "rivers", "ambiguous": True}).result
    same((t["resultType"], t["status"]), ("task", "working"), tool)
    on, task = Tasked(c), t["taskId"]
    r = poll(c, task, "input_required")
    same((r["resultType"], r["taskId"]), ("complete", task), "tasks/get")
    (key, question), = r["inputRequests"].items()
    same(question["method"], "elicitation/create", "question")
    again = [on("tasks/get", task).result for _ in range(3)]
    same([a["inputRequests"] for a in again], [r["inputRequests"]] * 3,
         "shown again")
    # what nobody asked is ignored, and nobody else may answer
    bob = it.client("bob", path=path, version=MODERN,
                    capabilities=c.capabilities)
    good = {"action": "accept", "content": answer}
    same(Tasked(bob)("tasks/update", task, inputResponses={key: good}).error[
        "message"], "Task not found", "bob")
    same(on("tasks/update", task, inputResponses={"x": good, "0-0": good}
            ).result, {"resultType": "complete"}, "unknown keys")
    same(on("tasks/get", task).result["inputRequests"], r["inputRequests"],
         "still asked")
    same(on("tasks/update", task, inputResponses={key: good}).result,
         {"resultType": "complete"}, "tasks/update")
    return c, task, key


def test_asked_in_a_legacy_task(_env, it):
    for path, tool in (("/mcp", f"es__{TOOL}"), ("/servers/eh/mcp", TOOL)):
        c, task, _ = asked_in_a_task(it, path, tool,
                                     {"interpretation": "historical"})
        r = wait_for(lambda c=c, task=task: (lambda r: r if r["status"] ==
                     "completed" else None)(
                         Tasked(c)("tasks/get", task).result), 30, "the end")
        check("rivers (historical)" in r["result"]["content"][0]["text"], r)
        same(r["result"]["_meta"][META + "related-task"], {"taskId": task},
             "the id")


def test_how_a_legacy_task_ends(_env, it):
    c = modern(it)
    tasks = {n: c.call("old__" + n).result["taskId"] for n in Old.ends}
    got = {n: Tasked(c)("tasks/get", t).result for n, t in tasks.items()}
    same({n: r["status"] for n, r in got.items()}, {
        "fine": "completed", "bad": "completed", "broken": "failed",
        "asks": "working", "lost": "failed"}, "status")
    for n in ("fine", "bad"):
        same(got[n]["result"], {
            "content": [{"type": "text", "text": n}], "isError": n == "bad",
            "_meta": {META + "related-task": {"taskId": tasks[n]}}}, n)
    for n in ("broken", "lost"):
        same(got[n]["error"], {"code": -32077, "message": n, "data": [1]}, n)
    check(all(r["resultType"] == "complete" and r["statusMessage"] == "so far"
              and r["ttlMs"] == 5000 for r in got.values()), got)
    # a server that cannot cancel is asked whether the task is there
    before = len(it.old.got)
    same(Tasked(c)("tasks/cancel", tasks["asks"]).result,
         {"resultType": "complete"}, "tasks/cancel")
    same([(n, p["taskId"]) for n, p in it.old.got[before:]],
         [("tasks/get", "t-asks")], "what the server got")
    same(it.old.got[0][0], "tools/call", "first")
    same(it.old.got[0][1]["task"], {}, "as a task")


# a legacy client at a server of 2026-07-28

def call_on_stream(c, name, arguments):
    """A call that the server may ask on; its answer is not awaited."""
    c.id += 1
    params = {"name": name, "arguments": arguments}
    body = json.dumps(c.message("tools/call", params, c.id)).encode()
    return Stream(c.port, head_of(c, "POST", c.headers("tools/call", params),
                                  None, body))


def test_legacy_client_modern_server(_env, it):
    for version in ("2024-11-05", "2025-06-18", "2025-11-25"):
        for server in ("jobs", "local"):
            c = it.client("ann", version=version)
            same(c.call(f"{server}__job").text, "done", f"{version} {server}")
            same(c.call(f"{server}__job", {"fail": True}).error,
                 {"code": -32077, "message": "it went wrong"}, "failed")
    # what needs no task is no task
    same(c.call("jobs__plain").text, "plain", "plain")


def test_legacy_client_is_asked_for_a_modern_task(_env, it):
    for server in ("jobs", "local"):
        c = it.client("ann", capabilities={"elicitation": {}})
        s = call_on_stream(c, f"{server}__job", {"ask": True})
        q = s.next(what="question")
        same((q["method"], q["params"]["message"]),
             ("elicitation/create", "who?"), "the question")
        same(c.send(json.dumps({"jsonrpc": "2.0", "id": q["id"], "result": {
            "action": "accept", "content": {"name": "Luca"}}}).encode(),
            c.headers()).status, 202, "the answer is taken")
        m = s.next(what="result")
        same((m["id"], m["result"]["content"][0]["text"]),
             (c.id, "done for Luca"), "result")
        s.close()
    # who cannot be asked
    r = it.client("ann").call("jobs__job", {"ask": True})
    check("did not declare" in r.error["message"], r)


def test_a_legacy_client_cancels_a_modern_task(_env, it):
    c = it.client("ann")
    before = len(it.seen())
    c.id += 1
    params = {"name": "jobs__job", "arguments": {"forever": True}}
    body = json.dumps(c.message("tools/call", params, c.id)).encode()
    s = socket.create_connection(("127.0.0.1", it.g.port), timeout=30)
    s.sendall(head_of(c, "POST", c.headers("tools/call", params), None, body))
    wait_for(lambda: any(m == "tasks/get" for m, *_ in it.seen()[before:]), 10,
             "a poll")
    same(c.notify("notifications/cancelled", {"requestId": c.id}).status, 202,
         "notifications/cancelled")
    wait_for(lambda: any(m == "tasks/cancel" for m, *_ in it.seen()[before:]),
             10, "the server is told")
    task = next(t for m, t, _ in it.seen()[before:] if m == "tasks/get")
    same({t for m, t, n in it.seen()[before:] if m.startswith("tasks/")},
         {task}, "of that task")
    s.close()


def test_a_task_needs_the_capability(_env, it):
    r = it.client("ann", version=MODERN).call("old__fine")
    same((r.status, r.error["code"], r.error["data"]), (400, -32021, {
        "requiredCapabilities": EXTENSION}), "without the capability")


# news of tasks

def modern(it, who="ann", **kw):
    return it.client(who, version=MODERN, capabilities=EXTENSION, **kw)


def answer_task(c, task, name="Luca"):
    return Tasked(c)("tasks/update", task, inputResponses={
        "who": {"action": "accept", "content": {"name": name}}}).result


def watched(c, server):
    return json.loads(c.call(f"{server}__watched").text)


def news(s, task, status, message_id="sub"):
    m = s.next(what="news of the task")
    same((m["method"], m["params"]["taskId"], m["params"]["status"],
          m["params"]["_meta"]),
         ("notifications/tasks", task, status,
          {"x": 1, META + "subscriptionId": message_id}), "news")
    return m["params"]


def hears_of_tasks(it, server):
    c, bob = modern(it), modern(it, "bob")
    mine = [c.call(f"{server}__job", {"ask": True}).result["taskId"]
            for _ in range(2)]
    his = bob.call(f"{server}__job", {"ask": True}).result["taskId"]
    with listen(c, {"taskIds": [mine[0], his, "x"]}) as s, \
            listen(c, {"taskIds": mine, "toolsListChanged": True}, 7) as t, \
            listen(bob, {"taskIds": [his]}) as b:
        same(acknowledged(s), {"taskIds": [mine[0]]}, "honoured")
        same(acknowledged(t, 7), {"taskIds": mine, "toolsListChanged": True},
             "honoured")
        same(acknowledged(b), {"taskIds": [his]}, "honoured")
        wait_for(lambda: len(watched(c, server)) == 3, 10, "the server knows")
        answer_task(c, mine[0])
        for stream, i in ((s, "sub"), (t, 7)):
            news(stream, mine[0], "working", i)
        poll(c, mine[0], "completed")
        for stream, i in ((s, "sub"), (t, 7)):
            same(news(stream, mine[0], "completed", i)["result"], {
                "content": [{"type": "text", "text": "done for Luca"}],
                "taskId": "not one of ours", "isError": False}, "the result")
        # each hears of its own, and of what it asked for
        Tasked(bob)("tasks/cancel", his)
        news(b, his, "cancelled")
        Tasked(c)("tasks/cancel", mine[1])
        news(t, mine[1], "cancelled", 7)
        same((s.quiet(0.3), t.quiet(0.1), b.quiet(0.1)), ([], [], []),
             "nothing else")
    wait_for(lambda: not watched(c, server), 10, "the server knows the end")


def test_news_of_tasks_over_stdio(_env, it):
    hears_of_tasks(it, "local")


def test_news_of_tasks_over_http(_env, it):
    hears_of_tasks(it, "jobs")


def test_large_news(_env, it):
    """More than a message between two processes takes."""
    c = modern(it)
    task = c.call("local__job", {"ask": True}).result["taskId"]
    with listen(c, {"taskIds": [task]}) as s:
        acknowledged(s)
        wait_for(lambda: watched(c, "local"), 10, "the server knows")
        answer_task(c, task, "x" * 700000)
        news(s, task, "working")
        poll(c, task, "completed")
        text = news(s, task, "completed")["result"]["content"][0]["text"]
        same(len(text), 700000 + len("done for "), "length")


def test_what_is_not_honoured_is_left_out(_env, it):
    c = modern(it)
    there = modern(it, path="/servers/jobs/mcp")
    task = c.call("local__job").result["taskId"]
    old = create(it.client("ann"), f"es__{TOOL}", topic="x")["taskId"]
    with listen(there, {"taskIds": [task]}) as s:
        same(acknowledged(s), {}, "at another server")
        same(s.next()["result"]["resultType"], "complete", "nothing to wait for")
    with listen(c, {"taskIds": [old]}) as s:
        same(acknowledged(s), {}, "a task of 2025-11-25")
    Tasked(it.client("ann"))("tasks/cancel", old)
    for odd in (["x", 1], "x"):
        s = listen(c, {"taskIds": odd})
        same((s.status, json.loads(s.body)["error"]["code"]), (200, NOT_FOUND),
             odd)
    with_none = it.client("ann", version=MODERN)
    s = listen(with_none, {"taskIds": [task]})
    e = json.loads(s.body)["error"]
    same((s.status, e["code"], e["data"]), (400, -32021, {
        "requiredCapabilities": EXTENSION}), "without the capability")
    for method in ("tasks/get", "tasks/cancel"):
        r = Tasked(with_none)(method, task)
        same((r.status, r.error["code"]), (400, -32021), method)


def test_news_ends_with_the_permission(_env, it):
    c = modern(it)
    task = c.call("local__job").result["taskId"]
    with listen(c, {"taskIds": [task]}) as s:
        acknowledged(s)
        wait_for(lambda: watched(c, "local"), 10, "the server knows")
        local = next(m for m in it.g.config["mcps"] if m["name"] == "local")
        local["tool_policy"] = {"mode": "allow_only", "allow": ["watched"]}
        it.g.write_config()
        it.g.reload()
        wait_for(lambda: not watched(c, "local"), 20, "the server knows")
        same(Tasked(c)("tasks/get", task).status, 403, "denied")
        del local["tool_policy"]
        it.g.write_config()
        it.g.reload()
        wait_for(lambda: "local__job" in c.names(), 20, "the old policy")
        Tasked(c)("tasks/cancel", task)
        same(s.quiet(0.3), [], "no news")


# the record of it

def test_audit(_env, it):
    c = it.client("bob")
    where = "principal = 'bob@example.com' AND method LIKE 'tasks/%'"
    n = it.g.row_count(where)
    task = create(c, f"es__{TOOL}", topic="record")["taskId"]
    Tasked(c)("tasks/get", task)
    Tasked(c)("tasks/cancel", task)
    Tasked(c)("tasks/get", "x")
    it.g.wait_rows(n + 3, where)
    rows = it.g.rows(where, "method, server, object, decision, result")[-3:]
    same(rows, [["tasks/get", "es", TOOL, "allow", "success"],
                ["tasks/cancel", "es", TOOL, "allow", "success"],
                ["tasks/get", "", "", "allow", "error"]], "records")


def test_a_lost_permission_counts_for_the_task(_env, it):
    c = it.client("bob")
    task = create(c, f"es__{TOOL}", topic="lost")["taskId"]
    it.g.config["mcps"][0]["tool_policy"] = {"mode": "allow_only",
                                             "allow": ["echo"]}
    it.g.write_config()
    it.g.reload()
    wait_for(lambda: f"es__{TOOL}" not in c.names(), 20, "the new policy")
    r = Tasked(c)("tasks/get", task)
    same(r.status, 403, "denied")
    check(task not in c.names("tasks/list", "tasks", "taskId"), "not listed")
