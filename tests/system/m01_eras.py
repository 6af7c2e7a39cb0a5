"""Every revision of MCP on both endpoints, over servers of both eras."""
import json

from harness import LEGACY, MODERN, check, same, wait_for
from servers import everything_stdio, reference, reference_stdio

VERSIONS = (*LEGACY, MODERN)
UPSTREAMS = ("everything", "reference", "reference_stdio")


class Setting:
    def __init__(self, env):
        self.g = env.gateway({"mcps": [everything_stdio(env), reference(env),
                                       reference_stdio(env)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        wait_for(lambda: {f"{u}__echo" for u in UPSTREAMS} <= set(
            self.open("2025-11-25").names()), 30, "servers discovered")

    def open(self, version, path="/mcp"):
        return self.g.client("ann@example.com", path, version).initialize()


def setup(env):
    return Setting(env)


def each(it, path="/mcp"):
    for version in VERSIONS:
        yield version, it.open(version, path)


def test_handshake(_env, it):
    for version, c in each(it):
        if version == MODERN:
            check(MODERN in c.info["supportedVersions"], c.info)
            same(c.info["resultType"], "complete", "resultType")
        else:
            check(c.session, f"{version}: no session id")
            check(all(33 <= ord(ch) <= 126 for ch in c.session), c.session)
        for capability in ("tools", "resources", "prompts"):
            check(capability in c.info["capabilities"], f"{version}: {c.info}")


def test_ping(_env, it):
    for version, c in each(it):
        r = c.request("ping")
        if version == MODERN:
            same((r.status, r.error["code"]), (404, -32601), version)
        else:
            same((r.status, r.result), (200, {}), version)


def test_tools(_env, it):
    lists = []
    for version, c in each(it):
        lists.append(c.names())
        for upstream in UPSTREAMS:
            r = c.call(f"{upstream}__echo", {"message": "hallo"})
            check(r.is_ok and "hallo" in r.text, f"{version} {upstream}: {r}")
            check(("resultType" in r.result) == (version == MODERN) or
                  version != MODERN, f"{version}: {r}")
    for names in lists[1:]:
        same(names, lists[0], "the list in another revision")


def test_resources(_env, it):
    for version, c in each(it):
        uris = c.names("resources/list", "resources", "uri")
        static = [u for u in uris if u.endswith("test://static-text")]
        same(len(static), 2, f"{version}: {uris}")
        same(len(set(uris)), len(uris), "unique URIs")
        for uri in static:
            r = c.request("resources/read", {"uri": uri})
            check("static text" in r.result["contents"][0]["text"],
                  f"{version}: {r}")
            if version == MODERN:
                check("ttlMs" in r.result and
                      r.result["cacheScope"] == "private", r)
        templates = c.names("resources/templates/list", "resourceTemplates",
                            "uriTemplate")
        check(any("test://template/{id}/data" in t for t in templates),
              templates)


def test_prompts(_env, it):
    for version, c in each(it):
        names = c.names("prompts/list", "prompts")
        check("reference__test_simple_prompt" in names, f"{version}: {names}")
        r = c.request("prompts/get", {"name": "reference__test_simple_prompt"})
        check(r.result["messages"], f"{version}: {r}")
        r = c.request("prompts/get", {
            "name": "reference_stdio__test_prompt_with_arguments",
            "arguments": {"arg1": "one", "arg2": "two"}})
        check("one" in r.body.decode(), f"{version}: {r}")


def test_one_server(_env, it):
    for upstream in UPSTREAMS:
        for version, c in each(it, f"/servers/{upstream}/mcp"):
            check("echo" in c.names(), f"{version} {upstream}")
            check("hallo" in c.call("echo", {"message": "hallo"}).text,
                  f"{version} {upstream}")
    for version, c in each(it, "/servers/reference/mcp"):
        same(c.names("resources/list", "resources", "uri")[0],
             "test://static-text", f"{version}: own URIs")
        r = c.request("resources/read", {"uri": "test://static-text"})
        same(r.result["contents"][0]["uri"], "test://static-text", version)
        check("test_simple_prompt" in c.names("prompts/list", "prompts"),
              version)


def test_unknown_things(_env, it):
    for version, c in each(it):
        r = c.call("reference__nosuch")
        same((r.status, r.error["code"]), (200, -32602), f"{version} {r}")
        r = c.request("nonsense/method")
        same((r.status, r.error["code"]),
             (404 if version == MODERN else 200, -32601), f"{version} {r}")
        r = c.request("resources/read", {"uri": "reference+test://nosuch"})
        check(r.error["code"] in (-32602, -32002), f"{version} {r}")
        r = c.request("prompts/get", {"name": "nosuch"})
        same(r.error["code"], -32602, f"{version} {r}")


def test_unknown_revision_is_answered_with_a_known_one(_env, it):
    c = it.g.client("ann@example.com")
    r = c.request("initialize", {"protocolVersion": "2031-01-01",
                                 "capabilities": {}, "clientInfo": {
                                     "name": "x", "version": "1"}})
    same(r.result["protocolVersion"], "2025-11-25", "answer")


def test_session_rules(_env, it):
    c = it.open("2025-11-25")
    session = c.session
    c.session = None
    check(c.request("tools/list").is_ok, "a session is not required")
    for wrong in ("nonsense", session[:-2] + "xx", session + "a", "a" * 3000):
        c.session = wrong
        r = c.request("tools/list")
        same((r.status, r.error["code"]), (404, -32001), f"wrong session: {r}")
    it.g.user("eve@example.com", "power_user", "--allow-all")
    eve = it.g.client("eve@example.com")
    eve.session = session
    same(eve.request("tools/list").status, 404, "session of somebody else")
    other = it.g.client("ann@example.com", "/servers/everything/mcp")
    other.session = session
    same(other.request("tools/list").status, 404, "session of another endpoint")
    c.session = session
    r = c.request("tools/list", {}, **{"MCP-Protocol-Version": "2019-01-01"})
    same(r.status, 400, "bad version header")
    same(c.request("tools/list").status, 200, "the session is still good")


def test_session_survives_a_restart(env, it):
    c = it.open("2025-11-25")
    it.g.stop()
    it.g.start()
    wait_for(lambda: c.request("tools/list").is_ok, 5, "old session")
    wait_for(lambda: {f"{u}__echo" for u in UPSTREAMS} <= set(c.names()), 30,
             "servers discovered again")


def test_get_and_delete(_env, it):
    c = it.open("2025-11-25")
    h = c.headers()
    r = c.send(b"", h, "DELETE")
    check(r.status in (200, 204, 405), r)
    h["Accept"] = "application/json"
    r = c.send(b"", h, "GET")
    check(r.status in (405, 406), r)


def test_batches(_env, it):
    """One revision has them; in the others they are refused precisely."""
    c = it.open("2025-03-26")
    batch = [c.message("ping", None, 1), c.message("tools/call", {
        "name": "reference__echo", "arguments": {"message": "hallo"}}, 2),
        c.message("notifications/progress", {"progressToken": 1,
                                             "progress": 1})]
    r = c.send(json.dumps(batch).encode(), c.headers())
    same(r.status, 200, r)
    answers = r.messages[0] if isinstance(r.messages[0], list) else r.messages
    same(sorted(m["id"] for m in answers), [1, 2], "answers")
    r = c.send(b"[]", c.headers())
    same((r.status, r.error["code"]), (400, -32600), "empty batch")
    for version in ("2025-06-18", "2025-11-25"):
        c = it.open(version)
        r = c.send(json.dumps(batch).encode(), c.headers())
        same((r.status, r.error["code"]), (400, -32600), f"{version}: {r}")
        check(c.request("ping").is_ok, "afterwards")


def test_batch_that_is_refused(_env, it):
    """What is wrong with the request is its status, as without a batch."""
    c = it.open("2025-03-26")
    batch = json.dumps([c.message("ping", None, 1), c.message("ping", None, 2)])

    def send(path=None, **over):
        h = {**c.headers(), **over}
        return c.send(batch.encode(), {k: v for k, v in h.items() if v},
                      path=path)
    r = send(Authorization="Bearer nobody")
    same((r.status, r.headers.get("www-authenticate")), (401, "Bearer"), r)
    same(r.error["code"], c.request(
        "ping", Authorization="Bearer nobody").error["code"], "nobody")
    for want, more in ((404, {"Mcp-Session-Id": "x" * 88}),
                       (404, {"path": "/servers/nosuch/mcp"}),
                       (403, {"Origin": "http://evil.example.com"}),
                       (406, {"Accept": "text/html"}),
                       (415, {"Content-Type": "text/plain"})):
        r = send(**more)
        same(r.status, want, f"{more}: {r}")
        check("error" in r.message, r)
    r = send(Origin=f"http://127.0.0.1:{c.port}")
    same((r.status, r.headers.get("access-control-allow-origin")),
         (200, f"http://127.0.0.1:{c.port}"), r)
    same([m["id"] for m in r.message], [1, 2], r)


def test_notification_is_202(_env, it):
    for version in LEGACY:
        r = it.open(version).notify("notifications/roots/list_changed")
        same((r.status, r.body), (202, b""), version)


def test_client_credentials_do_not_pass(_env, it):
    """Token passthrough is forbidden."""
    for upstream in ("reference",):
        r = it.open("2025-11-25").call(f"{upstream}__seen_headers")
        check(it.g.keys["ann@example.com"] not in r.text, r)
        check("authorization" not in r.text.lower(), r)


def test_input_schemas_pass_unchanged(_env, it):
    own = it.open("2025-11-25", "/servers/reference/mcp")
    agg = it.open("2025-11-25")
    a = {t["name"]: t for t in own.request("tools/list").result["tools"]}
    b = {t["name"]: t for t in agg.request("tools/list").result["tools"]}
    for name, t in a.items():
        other = dict(b[f"reference__{name}"], name=name)
        same(other, t, f"tool {name}")
