"""Bad JSON, JSON-RPC, MCP envelopes and tokens: the right code, then service."""
import base64
import hashlib
import hmac
import json
import time

from harness import META, MODERN, Client, check, same, wait_for
from servers import http_server

ANY_PARSE = {(400, -32700), (400, -32600)}

# name: (body, allowed (status, code))
LEGACY_CASES = {
    "empty": (b"", ANY_PARSE),
    "cut": (b'{"jsonrpc":"2.0","id":1,"method":', {(400, -32700)}),
    "no JSON": (b"nonsense", {(400, -32700)}),
    "trailing text": (b'{"jsonrpc":"2.0","id":1,"method":"ping"} x',
                      {(400, -32700)}),
    "single quotes": (b"{'jsonrpc':'2.0'}", {(400, -32700)}),
    "comma": (b'{"jsonrpc":"2.0","id":1,"method":"ping",}', {(400, -32700)}),
    "number 01": (b'{"jsonrpc":"2.0","id":01,"method":"ping"}', ANY_PARSE),
    "NaN": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":NaN}}',
            {(400, -32700)}),
    "bad UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\xff'
                  b'"}}', {(400, -32700)}),
    "overlong UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":'
                       b'"\xc0\xaf"}}', {(400, -32700)}),
    "control character": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":'
                          b'{"a":"\x01"}}', {(400, -32700)}),
    "byte order mark": (b'\xef\xbb\xbf{"jsonrpc":"2.0","id":1,"method":"ping"}',
                        {(400, -32700)}),
    "deep": (b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":' +
             b"[" * 2000 + b"]" * 2000 + b"}}", ANY_PARSE),
    "string": (b'"ping"', {(400, -32600)}),
    "number": (b"1", {(400, -32600)}),
    "null": (b"null", {(400, -32600)}),
    "JSON-RPC 1.0": (b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
                     {(400, -32600)}),
    "no jsonrpc": (b'{"id":1,"method":"ping"}', {(400, -32600)}),
    "no method": (b'{"jsonrpc":"2.0","id":1}', {(400, -32600)}),
    "method number": (b'{"jsonrpc":"2.0","id":1,"method":7}', {(400, -32600)}),
    "id object": (b'{"jsonrpc":"2.0","id":{},"method":"ping"}',
                  {(400, -32600)}),
    "id null": (b'{"jsonrpc":"2.0","id":null,"method":"ping"}',
                {(400, -32600)}),
    "id true": (b'{"jsonrpc":"2.0","id":true,"method":"ping"}',
                {(400, -32600)}),
    "params text": (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":'
                    b'"x"}', {(400, -32600), (200, -32602), (400, -32602)}),
    "two methods": (b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"ping"}',
                    ANY_PARSE),
    "unknown method": (b'{"jsonrpc":"2.0","id":1,"method":"nosuch"}',
                       {(200, -32601)}),
    "case": (b'{"jsonrpc":"2.0","id":1,"method":"Tools/List"}',
             {(200, -32601)}),
    "no tool": (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{}}',
                {(200, -32602)}),
    "no params": (b'{"jsonrpc":"2.0","id":1,"method":"tools/call"}',
                  {(200, -32602)}),
    "tool number": (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
                    b'{"name":7}}', {(200, -32602)}),
    "arguments text": (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params"'
                       b':{"name":"perf__echo","arguments":"x"}}',
                       {(200, -32602)}),
    "cursor": (b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":'
               b'{"cursor":"nonsense"}}', {(200, -32602)}),
    "unknown tool": (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":'
                     b'{"name":"perf__nosuch"}}', {(200, -32602)}),
    "unknown URI": (b'{"jsonrpc":"2.0","id":1,"method":"resources/read",'
                    b'"params":{"uri":"nosuch+x://y"}}',
                    {(200, -32602), (200, -32002)}),
}


class Setting:
    def __init__(self, env):
        self.up = env.c_upstream()
        self.g = env.gateway({"mcps": [http_server("perf", self.up.url)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        self.c = self.g.client("ann@example.com").initialize()
        wait_for(lambda: "perf__echo" in self.c.names(), 10, "discovery")

    def healthy(self, after):
        check(self.c.call("perf__echo", {"n": 1}).is_ok, f"after {after}")


def setup(env):
    return Setting(env)


def test_malformed_messages(_env, it):
    wrong = []
    for name, (body, allowed) in LEGACY_CASES.items():
        r = it.c.send(body, it.c.headers())
        got = (r.status, r.message.get("error", {}).get("code"))
        if got not in allowed:
            wrong.append(f"{name}: {got}, want {sorted(allowed)}: {r}")
        it.healthy(name)
    check(not wrong, "\n".join(wrong))


def test_error_carries_the_id(_env, it):
    r = it.c.send(b'{"jsonrpc":"2.0","id":"mine","method":"nosuch"}',
                  it.c.headers())
    same(r.message["id"], "mine", "id")


def test_truncated_anywhere(_env, it):
    """Every prefix of a good body is refused, none crashes."""
    body = (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":'
            b'"perf__echo","arguments":{"a":[1,"\\u0041",{"b":null}]}}}')
    for i in range(1, len(body)):
        r = it.c.send(body[:i], it.c.headers())
        same((r.status, r.error["code"]), (400, -32700), f"first {i} bytes")
    it.healthy("prefixes")


def modern(it, change=None, method="tools/call", drop=(), **headers):
    c = it.g.client("ann@example.com", version=MODERN)
    params = {"name": "perf__echo", "arguments": {}}
    m = c.message(method, params, 1)
    if change:
        change(m)
    h = c.headers(method, params)
    h.update(headers)
    for name in drop:
        h.pop(name, None)
    return c.send(json.dumps(m).encode(), h)


def without(name):
    return lambda m: m["params"]["_meta"].pop(META + name)


def with_meta(name, value):
    return lambda m: m["params"]["_meta"].update({META + name: value})


def test_modern_envelope(_env, it):
    check(modern(it).is_ok, "a good one")
    cases = {
        "no capabilities": (without("clientCapabilities"), {}, (400, -32602)),
        "capabilities text": (with_meta("clientCapabilities", "x"), {},
                              (400, -32602)),
        "no version in the body": (without("protocolVersion"), {},
                                   (400, -32602)),
        "version number": (with_meta("protocolVersion", 7), {}, (400, -32602)),
        "unknown version": (with_meta("protocolVersion", "2031-01-01"),
                            {"MCP-Protocol-Version": "2031-01-01"},
                            (400, -32022)),
        "versions differ": (None, {"MCP-Protocol-Version": "2025-11-25"},
                            (400, -32020)),
        "method differs": (None, {"Mcp-Method": "tools/list"}, (400, -32020)),
        "name differs": (None, {"Mcp-Name": "perf__other"}, (400, -32020)),
        "bad base64": (None, {"Mcp-Name": "=?base64?cGVyZl9fZWNobw?="},
                       (400, -32020)),
        "unknown method": (lambda m: m.update(method="nosuch"),
                           {"Mcp-Method": "nosuch"}, (404, -32601)),
    }
    for name, (change, headers, want) in cases.items():
        r = modern(it, change, **headers)
        same((r.status, r.error["code"]), want, f"{name}: {r}")
        it.healthy(name)
    for name in ("MCP-Protocol-Version", "Mcp-Method", "Mcp-Name"):
        r = modern(it, drop=(name,))
        same((r.status, r.error["code"]), (400, -32020), f"no {name}: {r}")
    r = modern(it, **{"Mcp-Name": "=?base64?cGVyZl9fZWNobw==?="})
    check(r.is_ok, f"base64 name: {r}")


def test_modern_version_error_names_what_is_supported(_env, it):
    r = modern(it, with_meta("protocolVersion", "2031-01-01"),
               **{"MCP-Protocol-Version": "2031-01-01"})
    check(MODERN in r.error["data"]["supported"], r)
    same(r.error["data"]["requested"], "2031-01-01", "requested")


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sign(header, payload, secret):
    text = b64(json.dumps(header).encode()) + "." + b64(
        json.dumps(payload).encode())
    mac = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
    return text + "." + b64(mac)


def test_tokens(_env, it):
    g = it.g
    good = g.ctl("token", "ann@example.com").strip()
    secret = g.config["auth"]["token_secret"]
    head, body, mac = good.split(".")
    header, payload = json.loads(unb64(head)), json.loads(unb64(body))
    same(header["alg"], "HS256", "alg")
    now = int(time.time())

    def changed(**claims):
        merged = {k: v for k, v in {**payload, **claims}.items()
                  if v is not None}
        return sign(header, merged, secret)

    def status(token):
        return Client(g.port, None, authorization=f"Bearer {token}").request(
            "initialize", {"protocolVersion": "2025-11-25", "capabilities": {},
                           "clientInfo": {"name": "x", "version": "1"}}).status

    same(status(good), 200, "the good token")
    same(status(changed()), 200, "the good token signed again")
    none = b64(json.dumps({**header, "alg": "none"}).encode())
    bad = {
        "alg none": f"{none}.{body}.",
        "alg none, signed": f"{none}.{body}.{mac}",
        "alg HS512": sign({**header, "alg": "HS512"}, payload, secret),
        "alg RS256": sign({**header, "alg": "RS256"}, payload, secret),
        "crit": sign({**header, "crit": ["exp"]}, payload, secret),
        "other secret": sign(header, payload, secret + "x"),
        "cut signature": good[:-3],
        "flipped signature": good[:-6] + ("A" if good[-6] != "A" else "B") +
                             good[-5:],
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "four parts": f"{good}.{mac}",
        "expired": changed(exp=now - 100),
        "no exp": changed(exp=None),
        "exp text": changed(exp="tomorrow"),
        "not yet": changed(nbf=now + 1000),
        "other issuer": changed(iss="somebody"),
        "other audience": changed(aud="somebody"),
        "unknown user": changed(sub="nobody@example.com",
                                email="nobody@example.com"),
        "no JSON": "a.b.c",
        "empty": "",
        "huge": "a" * 9000,
    }
    for name, token in bad.items():
        same(status(token), 401, name)
        it.healthy(name)
    for value in ("Basic YTpi", "Bearer", "bearer", "Token x", good):
        c = Client(g.port, None, authorization=value)
        check(c.request("ping").status in (400, 401), value[:20])


def test_role_in_a_token_does_not_raise_anybody(_env, it):
    """The role comes from the user's row, whatever the token says."""
    g = it.g
    g.user("low@example.com", "read_only", "--allow", "perf:nothing")
    token = g.ctl("token", "low@example.com").strip()
    head, body, _ = token.split(".")
    payload = dict(json.loads(unb64(body)), role="super_admin")
    forged = sign(json.loads(unb64(head)), payload,
                  g.config["auth"]["token_secret"])
    c = Client(g.port, None, authorization=f"Bearer {forged}").initialize()
    same(c.names(), [], "tools")
    same(c.call("perf__echo").status, 403, "call")
