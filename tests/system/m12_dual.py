"""Servers that speak both eras: each client is spoken for in its own. What
needs a legacy connection works for a legacy client as it does directly."""
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from fake import Fake, http, ok, response
from harness import MODERN, check, free_port, same, wait_for
from servers import http_server, stdio_server

LIMIT_S = 120
ASKS = {"elicitation": {"form": {}}, "sampling": {}}
SDK = {"elicitation": {"tool": "elicit"}, "sampling": {"tool": "complete"},
       "call": {"tool": "echo", "arguments": {"message": "hello"},
                "text": "hello"}}
MODERN_SDK = {"elicitation": {"tool": "ask"}, "sampling": {"tool": "sample"},
              "call": {"tool": "era", "text": "modern"}}


class Dual(Fake):
    """Modern, and legacy with sessions; or one of the two without."""

    def __init__(self, legacy="sessions"):
        super().__init__(["era"])
        self.legacy, self.n, self.ended_sessions = legacy, 0, set()
        self.version = "1"
        self.sessions = {}              # id: capabilities

    def serve(self, c, verb, body):
        if verb == "DELETE":
            self.ended_sessions.add(c.headers.get("mcp-session-id"))
            c.send(http(b"", 200))
            return True
        return super().serve(c, verb, body)

    def answer(self, c, m, name):
        params = m.get("params") or {}
        if "_meta" in params and any("protocolVersion" in k
                                     for k in params["_meta"]):
            return self.answer_modern(c, m, name)
        if not self.legacy:
            c.send(http(response(m, error={
                "code": -32022, "message": "Unsupported protocol version",
                "data": {"supported": [MODERN]}}), 400))
            return True
        if name == "initialize":
            return self.initialize(c, m)
        session = c.headers.get("mcp-session-id")
        if self.legacy == "sessions" and (session not in self.sessions or
                                          session in self.ended_sessions):
            c.send(http(response(m, error={
                "code": -32001, "message": "Session not found"}), 404))
            return True
        if name == "tools/call":
            c.send(http(ok(m, f"legacy {session}")))
            return True
        return super().answer(c, m, name)

    def initialize(self, c, m):
        with self.lock:
            self.n += 1
            session = f"s{self.n}"
        self.sessions[session] = m["params"]["capabilities"]
        c.send(http(response(m, {
            "protocolVersion": m["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "dual", "version": "1"}}),
            headers=f"Mcp-Session-Id: {session}\r\n"
            if self.legacy == "sessions" else ""))
        return True

    def answer_modern(self, c, m, name):
        more = {"resultType": "complete"}
        if name == "server/discover":
            c.send(http(response(m, {
                "supportedVersions": [MODERN], "capabilities": {"tools": {}},
                "serverInfo": {"name": "dual", "version": self.version},
                "ttlMs": 0,
                "cacheScope": "private", **more})))
        elif name == "tools/list":
            c.send(http(response(m, {"tools": self.tools, "ttlMs": 0,
                                     "cacheScope": "private", **more})))
        elif name == "tools/call":
            c.send(http(response(m, {"content": [
                {"type": "text", "text": "modern"}], **more})))
        else:
            c.send(http(response(m, error={
                "code": -32601, "message": "Method not found"}), 404))
        return True


class Speaking(Dual):
    """Speaks by itself on a stream of the legacy session. What it says while
    there is none is lost, so its tool says whether there was one."""

    def __init__(self):
        super().__init__()
        self.streams = set()

    def serve(self, c, verb, body):
        if verb != "GET":
            return super().serve(c, verb, body)
        session = c.headers.get("mcp-session-id")
        self.streams.add(session)
        c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
               b"\r\n: open\n\n")
        self.wait_end(c)
        self.streams.discard(session)
        return False

    def answer(self, c, m, name):
        session = c.headers.get("mcp-session-id")
        if name == "tools/call" and session in self.sessions:
            c.send(http(ok(m, "heard" if session in self.streams else
                           "not heard")))
            return True
        return super().answer(c, m, name)


class Setting:
    def __init__(self, env):
        self.env = env
        port = free_port()
        fastmcp = os.path.join(env.fakes, "fastmcp_matrix.py")
        env.helper([env.python, fastmcp, str(port)], port)
        self.direct = f"http://127.0.0.1:{port}/mcp"
        self.dual, self.modern = Dual(), Dual(legacy=None)
        self.stateless = Dual(legacy="stateless")
        self.changing = Dual(legacy=None)
        self.speaking = Speaking()
        self.g = env.gateway({
            "mcps": [http_server("fastmcp", self.direct),
                     http_server("dual", self.dual.url),
                     http_server("modern", self.modern.url),
                     http_server("stateless", self.stateless.url),
                     http_server("changing", self.changing.url),
                     http_server("speaking", self.speaking.url),
                     stdio_server("stdio", env.python, fastmcp, "stdio")],
            "mcp": {"discovery_interval": "1s"},
            "users": [{"email": "ann@example.com", "role": "power_user",
                       "allowed_mcps": "*",
                       "rate_limit": {"requests_per_hour": 0}}]})
        self.key = self.g.key("ann@example.com")
        c = self.open("/mcp")
        for name in ("fastmcp__era", "dual__era", "modern__era",
                     "stateless__era", "changing__era", "speaking__era",
                     "stdio__echo"):
            wait_for(lambda n=name: n in c.names(), 40, name)

    def open(self, path, **kw):
        return self.g.client("ann@example.com", path, **kw).initialize()

    def era(self, server, **kw):
        return text_of(self.open(f"/servers/{server}/mcp", **kw).call("era"))

    def sdk(self, client, url, key, what):
        env = self.env
        args = [env.python, os.path.join(env.fakes, "matrix.py")] \
            if client == "python" else \
            [env.node, os.path.join(env.fakes, "matrix.mjs"), client]
        done = subprocess.run(
            [*args, "http", url], stdin=subprocess.DEVNULL, text=True,
            capture_output=True, timeout=60, check=False, cwd=env.dir,
            env=env.clean_environment(NODE_MODULES_DIR=env.npm, KEY=key,
                                      WHAT=json.dumps(what)))
        check(done.stdout.strip(), done.stderr[-800:])
        return json.loads(done.stdout.strip().splitlines()[-1])


def setup(env):
    return Setting(env)


def text_of(reply):
    return reply.result["content"][0]["text"]


def test_legacy_sdks_are_asked_by_fastmcp(_env, it):
    """ctx.elicit() and sampling, for which it wants a legacy connection."""
    url = f"http://127.0.0.1:{it.g.port}/servers/fastmcp/mcp"
    fine = dict.fromkeys(SDK)
    for client in ("sdk1", "sdk2-legacy"):
        same(it.sdk(client, it.direct, "", SDK), fine, f"{client} directly")
        same(it.sdk(client, url, it.key, SDK), fine, f"{client}")


def test_heard_from_the_first_call_on(_env, it):
    """Nobody knew that it has a legacy era, and its modern one has no
    stream."""
    wait_for(lambda: it.speaking.count("subscriptions/listen") > 0, 20,
             "a look at the modern stream")
    for n in range(3):
        same(it.era("speaking", capabilities=ASKS), "heard", f"client {n}")


def test_modern_sdks_stay_modern(_env, it):
    url = f"http://127.0.0.1:{it.g.port}/servers/fastmcp/mcp"
    for client in ("sdk2-modern", "python"):
        same(it.sdk(client, url, it.key, MODERN_SDK),
             dict.fromkeys(MODERN_SDK), client)


def test_each_client_in_its_era(_env, it):
    one = it.open("/servers/dual/mcp", capabilities=ASKS)
    two = it.open("/servers/dual/mcp", capabilities=ASKS)
    first = text_of(one.call("era"))
    check(first.startswith("legacy s"), first)
    same(it.dual.sessions[first.split()[1]].keys(), ASKS.keys(), "declared")
    same(text_of(one.call("era")), first, "the session of its own, again")
    check(text_of(two.call("era")) not in (first, "modern"), "another's")
    same(it.era("dual", version=MODERN, capabilities=ASKS), "modern", "modern")
    # those that cannot be asked share one
    shared = it.era("dual")
    check(shared.startswith("legacy s") and shared != first, shared)
    same(it.era("dual"), shared, "shared")
    same(it.dual.sessions[shared.split()[1]], {}, "declared there")


def test_session_that_was_lost(_env, it):
    for caps in (ASKS, {}):
        c = it.open("/servers/dual/mcp", capabilities=caps)
        first = text_of(c.call("era"))
        it.dual.ended_sessions.add(first.split()[1])
        second = text_of(c.call("era"))
        check(second.startswith("legacy s") and second != first, second)


def test_legacy_era_that_went_away(_env, it):
    """Nothing was executed, and the modern one is still there."""
    it.dual.legacy = None
    same(it.era("dual", capabilities=ASKS), "modern", "refused to initialize")
    it.dual.legacy = "sessions"


def test_one_era_only(_env, it):
    """Nobody asks it for the other one before a legacy client calls that can
    be asked something. Then it is asked once, not by each call, and no call
    fails for it."""
    for name, server in (("modern", it.modern), ("stateless", it.stateless)):
        seen = server.count("tools/list")
        wait_for(lambda s=server, n=seen: s.count("tools/list") > n, 20,
                 "another discovery")
        same(it.era(name, capabilities=ASKS, version=MODERN), "modern", name)
        same(it.era(name), "modern", name)
        same(server.count("initialize"), 0, f"{name}: initialize")
        calls = server.calls
        clients = [it.open(f"/servers/{name}/mcp", capabilities=ASKS)
                   for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            eras = list(pool.map(
                lambda c: [text_of(c.call("era")) for _ in range(4)], clients))
        same(eras, [["modern"] * 4] * 8, name)
        same(it.era(name), "modern", name)
        seen = server.count("tools/list")
        wait_for(lambda s=server, n=seen: s.count("tools/list") > n, 20,
                 "another discovery")
        same(it.era(name, capabilities=ASKS), "modern", name)
        same(server.count("initialize"), 1, f"{name}: initialize")
        same(server.calls, calls + 34, f"{name}: calls")


def test_learned_again(_env, it):
    """What was learned holds until the server says something else of itself,
    or is configured differently."""
    server = it.changing

    def asked():
        same(it.era("changing", capabilities=ASKS), "modern", "era")
        return server.count("initialize")

    def discovered():
        n = server.count("server/discover")
        wait_for(lambda: server.count("server/discover") > n + 1, 20,
                 "two discoveries")

    same([asked(), asked()], [1, 1], "initialize")
    server.version = "2"
    discovered()
    same([asked(), asked()], [2, 2], "initialize")
    next(m for m in it.g.config["mcps"]
         if m["name"] == "changing")["url"] += "?moved"
    it.g.write_config()
    it.g.reload()
    wait_for(lambda: asked() == 3, 20, "the reload")
    server.version, server.legacy = "3", "sessions"
    discovered()
    check(it.era("changing", capabilities=ASKS).startswith("legacy s"),
          "of both eras now")


def test_stdio(_env, it):
    """A process for a legacy client, as if it had started the server."""
    url = f"http://127.0.0.1:{it.g.port}/servers/stdio/mcp"
    same(it.sdk("sdk1", url, it.key, SDK), dict.fromkeys(SDK), "sdk1")
    same(it.sdk("sdk2-modern", url, it.key, MODERN_SDK),
         dict.fromkeys(MODERN_SDK), "sdk2-modern")
    check(it.era("stdio").startswith("legacy"), "without capabilities")
