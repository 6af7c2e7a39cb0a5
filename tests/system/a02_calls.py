"""One governed call from a client to a server somebody else wrote."""
import json

from harness import Client, check, same, wait_for
from servers import everything_stdio, http_server

# What must come through byte for byte: no JSON library may touch it.
ODD = (b'{ "message" : "z\\u0000\\ud83d\\ude00" , "big":12345678901234567890123,'
       b'"one":1.0,"small":0.1,"e":1E400 , "deep":[[[{"a":[]}]]] }')


class Setting:
    def __init__(self, env):
        self.up = env.c_upstream()
        self.g = env.gateway({"mcps": [
            http_server("perf", self.up.url), everything_stdio(env)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        wait_for(lambda: {"perf__echo", "everything__echo"} <=
                 set(self.open().names()), 20, "both servers discovered")

    def open(self, path="/mcp", **kw):
        return self.g.client("ann@example.com", path, **kw).initialize()


def setup(env):
    return Setting(env)


def test_list_is_deterministic(_env, it):
    first = it.open().names()
    same(it.open().names(), first, "second list")
    same(len(set(first)), len(first), "unique names")
    check(all(n.startswith(("perf__", "everything__")) for n in first), first)


def test_call_over_http(_env, it):
    before = it.up.count()["calls"]
    r = it.open().call("perf__echo", {"message": "hi"})
    check(r.is_ok, r)
    same(r.result["structuredContent"], {"message": "hi"}, "arguments")
    same(it.up.count()["calls"], before + 1, "calls at the server")


def test_call_over_stdio(_env, it):
    r = it.open().call("everything__echo", {"message": "hi"})
    check(r.is_ok, r)
    check("hi" in r.text, r)


def test_one_server_with_its_own_names(_env, it):
    c = it.open("/servers/everything/mcp")
    names = c.names()
    check("echo" in names and not any("__" in n for n in names), names)
    check("hi" in c.call("echo", {"message": "hi"}).text, "own name")


def test_bytes_pass_unchanged(_env, it):
    c = it.open()
    body = (b'{"jsonrpc":"2.0","id":"odd id","method":"tools/call","params":'
            b'{"name":"perf__echo","arguments":' + ODD + b'}}')
    r = c.send(body, c.headers())
    check(b'"structuredContent":' + ODD + b"}" in r.body, r)
    same(r.message["id"], "odd id", "id")


def test_ids_keep_their_type(_env, it):
    c = it.open()
    for value in ("1", 1, "", 0, -5, "a\"b\\c", 9007199254740993):
        m = c.message("tools/call", {"name": "perf__echo"}, value)
        r = c.send(json.dumps(m).encode(), c.headers())
        same(r.message["id"], value, "id")
        check(r.is_ok, r)


def test_no_key(_env, it):
    r = Client(it.g.port, None).request("tools/list")
    same(r.status, 401, "status")
    same(r.error["code"], -32001, "code")
    check(r.headers["www-authenticate"].startswith("Bearer"), r.headers)


def test_wrong_keys_look_alike(_env, it):
    answers = []
    for key in ("omni2_" + "A" * 43, "omni2_short", "x", "omni2_" + "B" * 43):
        r = Client(it.g.port, key).request("tools/list")
        same(r.status, 401, f"status for {key}")
        answers.append(r.error)
    same(answers[0], answers[3], "unknown keys")


def test_key_in_its_own_header(_env, it):
    c = Client(it.g.port, None)
    r = c.request("tools/list", {}, **{"X-API-Key": it.g.keys["ann@example.com"]})
    check(r.status != 401, r)


def test_bearer_token(_env, it):
    token = it.g.ctl("token", "ann@example.com").strip()
    c = Client(it.g.port, None, authorization=f"Bearer {token}").initialize()
    check(c.call("perf__echo").is_ok, "call with a token")


def test_unknown_names(_env, it):
    c = it.open()
    for name in ("perf__nosuch", "nosuch", "nosuch__echo", "perf__", "__", ""):
        r = c.call(name)
        same((r.status, r.error["code"]), (200, -32602), f"{name}: {r}")
    r = it.g.client("ann@example.com", "/servers/nosuch/mcp").request("ping")
    same(r.status, 404, r)


def test_every_answer_is_recorded(_env, it):
    g = it.g
    where = ("object = 'echo' AND server = 'perf' AND "
             "record LIKE '%\"recorded\"%'")     # others may still be shipped
    it.open().call("perf__echo", {"message": "recorded"})
    g.wait_rows(1, where)
    row = g.rows(where,
                 "principal, role, method, decision, result, http_status, record")[-1]
    same(row[:6], ["ann@example.com", "power_user", "tools/call", "allow",
                   "success", "200"], "row")
    same(json.loads(row[6])["arguments"], {"message": "recorded"}, "arguments")
