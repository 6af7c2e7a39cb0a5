"""The official TypeScript and Python SDKs drive the gateway, over real servers,
with the permission cases through them."""
import json
import os
import subprocess

from harness import check, in_parallel, same, wait_for
from servers import (everything_http, everything_stdio, fastmcp, filesystem,
                     http_server, reference)

CLIENTS = (("sdk1", "legacy"), ("sdk2", "legacy"), ("sdk2", "auto"),
           ("sdk2", "2026-07-28"), ("python", "legacy"), ("python", "auto"),
           ("python", "2026-07-28"))
LIMIT_S = 240


class Setting:
    def __init__(self, env):
        self.env = env
        files, self.path = filesystem(env)
        self.up = env.c_upstream()
        restrictions = {"read_only": {"allow_only": ["echo"]},
                        "contractor": {"allow_only": ["echo"]}}
        self.g = env.gateway({
            "mcps": [
                everything_stdio(env, role_restrictions=restrictions),
                everything_http(env), files, fastmcp(env), reference(env),
                http_server("perf", self.up.url, tool_policy={
                    "mode": "allow_only", "allow": ["echo"]})],
            "users": [
                {"email": "ann@example.com", "role": "power_user",
                 "allowed_mcps": "*", "rate_limit": {"requests_per_hour": 0}},
                {"email": "rob@example.com", "role": "read_only",
                 "allowed_mcps": ["everything"]},
                {"email": "con@example.com", "role": "contractor",
                 "allowed_mcps": {"perf": "*"}}]})
        for email in ("ann", "rob"):
            self.g.key(email + "@example.com")
        want = {"everything__echo", "everything_http__echo",
                "files__read_text_file", "weather__forecast", "reference__echo",
                "perf__echo"}
        wait_for(lambda: want <= set(
            self.g.client("ann@example.com").initialize().names()), 40,
            "all servers discovered")

    def drive(self, client, email, ops, path="/mcp"):
        sdk, mode = client
        url = f"http://127.0.0.1:{self.g.port}{path}"
        args = [self.env.python, os.path.join(self.env.fakes, "client.py"),
                mode, url] if sdk == "python" else \
            [self.env.node, os.path.join(self.env.fakes, "client.mjs"), sdk,
             mode, url]
        done = subprocess.run(
            args, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=90, check=False, env=self.env.clean_environment(
                NODE_MODULES_DIR=self.env.npm, KEY=self.g.key(email),
                OPS=json.dumps(ops)))
        check(done.stdout.strip(), f"{client}: {done.stderr[-800:]}")
        out = json.loads(done.stdout.strip().splitlines()[-1])
        same(len(out), len(ops), f"{client}: {str(out)[:600]} results")
        return out

    def drive_all(self, email, ops, path="/mcp"):
        """What every client got, all at the same time."""
        got = in_parallel([lambda c=c: self.drive(c, email, ops, path)
                           for c in CLIENTS])
        for client, result in zip(CLIENTS, got):
            check(isinstance(result, list), f"{client}: {result}")
        return zip(CLIENTS, got)


def setup(env):
    return Setting(env)


def text(result):
    check("ok" in result, str(result)[:400])
    return "".join(p.get("text", "") for p in result["ok"]["content"])


def test_everything_a_user_may(_env, it):
    first = None
    ops = [["tools"], ["call", "everything__echo", {"message": "one"}],
           ["call", "everything_http__echo", {"message": "two"}],
           ["call", "files__read_text_file", {"path": it.path + "/hello.txt"}],
           ["call", "weather__forecast", {"city": "Bern", "days": 3}],
           ["call", "reference__add", {"a": 2, "b": 3}],
           ["resources"], ["prompts"],
           ["prompt", "reference__test_simple_prompt"]]
    for client, got in it.drive_all("ann@example.com", ops):
        for i, word in enumerate(("one", "two", "hello from a file",
                                  "Bern: sunny for 3 days", "5"), 1):
            check(word in text(got[i]), f"{client}: {got[i]}")
        first = first or got[0]["ok"]
        same(got[0]["ok"], first, f"{client}: tools")
        check(any(u.endswith("test://static-text") for u in got[6]["ok"]),
              f"{client}: {got[6]}")
        check("reference__test_simple_prompt" in got[7]["ok"], got[7])
        check(got[8]["ok"]["messages"], got[8])


def test_resource_through_the_aggregate(_env, it):
    uri = next(u for u in it.g.client("ann@example.com").initialize().names(
        "resources/list", "resources", "uri")
        if u.endswith("test://static-text"))
    for client, got in it.drive_all("ann@example.com", [["read", uri]]):
        check("static text" in got[0]["ok"]["contents"][0]["text"],
              f"{client}: {got}")


def test_permissions_through_the_clients(_env, it):
    calls = it.up.count()["calls"]
    ops = [["tools"], ["call", "everything__echo", {"message": "mine"}],
           ["call", "everything__get-env"], ["call", "perf__echo"],
           ["call", "weather__forecast", {"city": "Bern"}]]
    for client, got in it.drive_all("rob@example.com", ops):
        same(got[0]["ok"], ["everything__echo"], f"{client}: tools of rob")
        check("mine" in text(got[1]), f"{client}: {got[1]}")
        for denied in got[2:]:
            check("error" in denied, f"{client}: {denied}")
            check("Access denied" in denied["error"]["message"] or
                  denied["error"]["code"] in (-32003, 403),
                  f"{client}: {denied}")
    same(it.up.count()["calls"], calls, "calls that arrived")


def test_one_server_through_the_clients(_env, it):
    ops = [["tools"], ["call", "forecast", {"city": "Chur"}]]
    for client, got in it.drive_all("ann@example.com", ops,
                                    "/servers/weather/mcp"):
        same(got[0]["ok"], ["forecast"], f"{client}: tools")
        check("Chur" in text(got[1]), f"{client}: {got}")


def test_rate_limit_through_a_client(_env, it):
    """A contractor's 21st call is refused, and the client is told why."""
    it.g.key("con@example.com")
    got = it.drive(("sdk1", "legacy"), "con@example.com",
                   [["call", "perf__echo", {"n": i}] for i in range(21)])
    check(all("ok" in r for r in got[:20]), str(got[:20])[:400])
    check("Rate limit exceeded. You've made 20/20 requests in the last hour."
          in got[20]["error"]["message"], got[20])


def test_wrong_key(_env, it):
    it.g.keys["mallory@example.com"] = "omni2_" + "A" * 43
    for client, got in it.drive_all("mallory@example.com", [["tools"]]):
        check("error" in got[0], f"{client}: {got}")
