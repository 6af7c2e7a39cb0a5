"""Tasks: of revision 2025-11-25 with a real server and the official SDK, and
the extension of 2026-07-28; their ids belong to one principal."""
import json
import os
import subprocess

from harness import META, MODERN, check, free_port, http_get, same, wait_for
from servers import (everything_http, everything_stdio, fastmcp, http_server)

LIMIT_S = 180
TOOL = "simulate-research-query"
EXTENSION = {"extensions": {META + "tasks": {}}}
NOT_FOUND = -32602


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
        self.port = free_port()
        env.helper(["/usr/bin/python3",
                    os.path.join(env.fakes, "tasks_server.py"),
                    str(self.port)], self.port)
        self.g = env.gateway({
            "mcps": [everything_stdio(env, "es"), everything_http(env, "eh"),
                     fastmcp(env, "weather"),
                     http_server("jobs", f"http://127.0.0.1:{self.port}/mcp")],
            "users": [
                {"email": "ann@example.com", "role": "power_user",
                 "allowed_mcps": "*", "rate_limit": {"requests_per_hour": 0}},
                {"email": "bob@example.com", "role": "power_user",
                 "allowed_mcps": "*", "rate_limit": {"requests_per_hour": 0}},
                {"email": "lim@example.com", "role": "power_user",
                 "allowed_mcps": "*", "rate_limit": {"requests_per_hour": 3}},
                {"email": "eve@example.com", "role": "power_user",
                 "allowed_mcps": ["weather", "jobs"]}]})
        c = self.client("ann")
        want = {f"es__{TOOL}", f"eh__{TOOL}", "weather__forecast", "jobs__job"}
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
                       ("/servers/jobs/mcp", None)):
        c = it.client("ann", path=path)
        same(c.info["capabilities"].get("tasks"), want, path)
    # the principal's servers count, and only this revision has it
    same(it.client("eve").info["capabilities"].get("tasks"), None, "eve")
    same(it.client("ann", version="2025-06-18").info["capabilities"].get(
        "tasks"), None, "2025-06-18")
    for path, want in (("/mcp", {META + "tasks": {}}),
                       ("/servers/jobs/mcp", {META + "tasks": {}}),
                       ("/servers/es/mcp", None)):
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
    for name in (f"es__{TOOL}", f"eh__{TOOL}", "jobs__job"):
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
