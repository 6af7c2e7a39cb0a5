"""Event streams: who hears what, and that nobody hears anything else."""
import contextlib
import json
import os
import queue
import signal
import socket
import threading
import time

from fake import Fake, http, response, sse
from harness import META, MODERN, check, free_port, same, wait_for, works
from servers import everything_stdio, http_server, stdio_server

LIST_TOOLS = "notifications/tools/list_changed"
UPDATED = "notifications/resources/updated"
QUIET_S = 1.0           # how long nothing must come
WATCHED = "test://watched-resource"


class Plain(Fake):
    """A legacy server without a stream of its own."""

    gets = 0

    def serve(self, c, verb, body):
        self.gets += verb == "GET"
        return super().serve(c, verb, body)


class Speaker(Fake):
    """A legacy server with sessions and a GET stream the test speaks on."""

    def __init__(self, tools):
        super().__init__(tools)
        self.streams, self.watched, self.opened = [], [], 0

    def say(self, message):
        """On every stream that is open; how many took it."""
        told = 0
        for c in list(self.streams):
            with contextlib.suppress(OSError):
                c.send(b"%x\r\n%s\r\n" % (len(sse(message)), sse(message)))
                told += 1
        return told

    def update(self, uri):
        return self.say({"jsonrpc": "2.0", "method": UPDATED,
                         "params": {"uri": uri}})

    def cut(self):
        for c in list(self.streams):
            with contextlib.suppress(OSError):
                c.request.shutdown(socket.SHUT_RDWR)

    def serve(self, c, verb, body):
        if verb == "GET":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                   b"Transfer-Encoding: chunked\r\n\r\n")
            self.streams.append(c)
            self.opened += 1
            self.wait_end(c)
            self.streams.remove(c)
            return False
        return super().serve(c, verb, body)

    def answer(self, c, m, name):
        if name == "initialize":
            c.send(http(response(m, {
                "protocolVersion": m["params"]["protocolVersion"],
                "capabilities": {"tools": {"listChanged": True},
                                 "resources": {"subscribe": True}},
                "serverInfo": {"name": "speaker", "version": "1"}}),
                headers="Mcp-Session-Id: one\r\n"))
        elif name in ("resources/subscribe", "resources/unsubscribe"):
            self.watched.append((name, m["params"]["uri"]))
            c.send(http(response(m, {})))
        elif name == "resources/list":
            c.send(http(response(m, {"resources": [
                {"uri": "doc://a", "name": "a"},
                {"uri": "doc://secret", "name": "s"}]})))
        elif name == "resources/templates/list":
            c.send(http(response(m, {"resourceTemplates": []})))
        else:
            return super().answer(c, m, name)
        return True


class Stream:
    """A request whose answer does not end; a thread takes its events."""

    def __init__(self, port, request):
        self.s = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.s.sendall(request)
        self.f = self.s.makefile("rb")
        self.status = int(self.f.readline().split()[1])
        self.headers = {}
        while (line := self.f.readline().strip()):
            name, _, value = line.decode().partition(":")
            self.headers[name.lower()] = value.strip()
        self.events, self.comments = queue.Queue(), 0
        self.whole = None       # True: it ended with the last chunk
        if self.headers.get("content-type") == "text/event-stream":
            threading.Thread(target=self.read, daemon=True).start()
        else:
            self.body = self.f.read(int(self.headers["content-length"]))

    def chunks(self):
        while True:
            size = int(self.f.readline() or b"-1", 16)
            if size <= 0:
                self.whole = size == 0
                return
            yield self.f.read(size)
            self.f.readline()

    def read(self):
        text = b""
        with contextlib.suppress(OSError, ValueError):
            for part in self.chunks():
                text += part
                while b"\n\n" in text:
                    event, _, text = text.partition(b"\n\n")
                    data = b"".join(line[5:] for line in event.split(b"\n")
                                    if line.startswith(b"data:"))
                    if data.strip():
                        self.events.put(json.loads(data))
                    else:
                        self.comments += 1
        self.whole = bool(self.whole)

    def next(self, seconds=10, what="event"):
        try:
            return self.events.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"no {what} within {seconds} s") from None

    def quiet(self, seconds=QUIET_S):
        """What comes within that time."""
        time.sleep(seconds)
        got = []
        while not self.events.empty():
            got.append(self.events.get())
        return got

    def wait_end(self, seconds=10):
        wait_for(lambda: self.whole is not None, seconds, "end of the stream")

    def close(self):
        with contextlib.suppress(OSError):
            self.s.shutdown(socket.SHUT_RDWR)
        self.s.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def head_of(c, verb, headers, path=None, body=b""):
    h = {"Host": f"127.0.0.1:{c.port}", **headers}
    if body:
        h["Content-Length"] = str(len(body))
    return (f"{verb} {path or c.path} HTTP/1.1\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in h.items()) + "\r\n").encode() + body


def get(c, **over):
    """The standalone stream of a legacy session."""
    h = c.headers()
    h["Accept"] = "text/event-stream"
    h.update(over)
    return Stream(c.port, head_of(c, "GET", {k: v for k, v in h.items() if v}))


def listen(c, filter_, message_id="sub", path=None):
    params = {"notifications": filter_}
    body = json.dumps(c.message("subscriptions/listen", params,
                                message_id)).encode()
    return Stream(c.port, head_of(
        c, "POST", c.headers("subscriptions/listen", params), path, body))


def acknowledged(s, message_id="sub"):
    m = s.next(what="acknowledgement")
    same(m["method"], "notifications/subscriptions/acknowledged", "first")
    same(m["params"]["_meta"][META + "subscriptionId"], message_id, "id")
    return m["params"]["notifications"]


class Setting:
    def __init__(self, env):
        self.fake = Speaker(["ok", "slow", "big"])
        self.other = Plain(["ok"])      # answers GET with 405
        self.g = env.gateway({
            "mcp": {"health_interval": "1s"}, "mcps": [
                http_server("web", self.fake.url),
                http_server("plain", self.other.url),
                stdio_server("pipe", "/usr/bin/python3", os.path.join(
                    env.fakes, "modern_stdio.py")),
                everything_stdio(env)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        self.g.user("bob@example.com", "power_user", "--allow", "web:ok",
                    "--limit", "0")
        wait_for(lambda: {"web__ok", "plain__ok", "pipe__touch",
                          "everything__echo"} <=
                 set(self.open().names()), 20, "discovery")
        wait_for(lambda: self.fake.streams, 10, "a listener at the server")

    def open(self, who="ann", path="/mcp", **kw):
        return self.g.client(f"{who}@example.com", path, **kw).initialize()

    def modern(self, who="ann", path="/mcp"):
        return self.g.client(f"{who}@example.com", path, version=MODERN)

    def streams(self):
        return self.g.metric("omni2_streams")

    def wait_streams(self, n):
        wait_for(lambda: self.streams() == n, 5, f"{n} streams")


def setup(env):
    return Setting(env)


def error_of(s):
    return s.status, json.loads(s.body)["error"]["code"]


def test_declared(_env, it):
    for c in (it.open(), it.modern().initialize()):
        caps = c.info["capabilities"]
        same(caps["tools"], {"listChanged": True}, "tools")
        same(caps["prompts"], {"listChanged": True}, "prompts")
        same(caps["resources"], {"subscribe": True, "listChanged": True},
             "resources")


def test_rules_of_get(_env, it):
    c = it.open()
    same(error_of(get(c, Accept="application/json"))[0], 406, "no SSE")
    same(error_of(get(c, **{"Mcp-Session-Id": ""})), (400, -32000), "none")
    same(error_of(get(c, **{"Mcp-Session-Id": "x" * 88})), (404, -32001),
         "unknown")
    same(error_of(get(c, Authorization="Bearer nobody"))[0], 401, "nobody")
    same(error_of(get(c, **{"MCP-Protocol-Version": "1999-01-01"}))[0], 400,
         "revision")
    modern = get(c, **{"MCP-Protocol-Version": MODERN})
    same(error_of(modern)[0], 405, "modern")
    check("POST" in modern.headers["allow"], modern.headers)
    bob = it.g.client("bob@example.com")
    bob.session, bob.version = c.session, c.version
    same(error_of(get(bob)), (404, -32001), "somebody else's")


def test_one_stream_per_session(_env, it):
    c = it.open()
    with get(c) as first:
        same(first.status, 200, "first")
        same(first.headers["content-type"], "text/event-stream", "type")
        same(error_of(get(c)), (409, -32000), "second")
        with get(it.open()) as other:
            same(other.status, 200, "of another session")
    with get(c) as again:
        same(again.status, 200, "after the first has closed")
    it.wait_streams(0)


def test_delete_ends_the_session(_env, it):
    c = it.open()
    h = c.headers()
    with get(c) as s:
        same(c.send(b"", h, "DELETE").status, 200, "DELETE")
        s.wait_end()
        same(s.whole, True, "the stream ended well")
    r = c.request("ping")
    same((r.status, r.error["code"]), (404, -32001), "afterwards")
    same(c.send(b"", h, "DELETE").status, 404, "again")
    same(it.open().request("ping").status, 200, "another session")
    del h["Mcp-Session-Id"]
    same(c.send(b"", h, "DELETE").status, 400, "without a session")


def test_set_level(_env, it):
    c = it.open()
    same(c.request("logging/setLevel", {"level": "warning"}).result, {}, "ok")
    for params in ({"level": "loud"}, {}, {"level": 3}):
        same(c.request("logging/setLevel", params).error["code"], -32602,
             params)


def test_listen_rules(_env, it):
    c = it.modern()
    for bad in (None, 1, [], {"toolsListChanged": 1},
                {"resourceSubscriptions": "x"}, {"resourceSubscriptions": [1]}):
        same(error_of_rpc(c, bad), -32602, bad)
    with listen(c, {"toolsListChanged": True, "promptsListChanged": False,
                    "unknown": {}}, 7) as s:
        same(acknowledged(s, 7), {"toolsListChanged": True}, "honoured")
    with listen(c, {}) as s:
        same(acknowledged(s), {}, "nothing")
        end = s.next()
        same((end["id"], end["result"]["resultType"],
              end["result"]["_meta"][META + "subscriptionId"]),
             ("sub", "complete", "sub"), "end")
        s.wait_end()
    legacy = it.open()
    same(legacy.request("subscriptions/listen", {}).error["code"], -32601,
         "legacy")
    same(c.request("resources/subscribe", {"uri": "web+doc://a"}).status, 404,
         "modern resources/subscribe")


def error_of_rpc(c, filter_):
    s = listen(c, filter_)
    return json.loads(s.body)["error"]["code"]


def test_list_changed_only_for_whom_it_changed(_env, it):
    """bob may call web:ok only, so a new tool of the server is not his."""
    ann, bob = it.open(), it.open("bob")
    with get(ann) as a, get(bob) as b, \
            listen(it.modern(), {"toolsListChanged": True}) as m, \
            listen(it.modern(), {"promptsListChanged": True}, "p") as p, \
            listen(it.modern("ann", "/servers/plain/mcp"),
                   {"toolsListChanged": True}, "x") as x:
        acknowledged(m)
        acknowledged(p, "p")
        acknowledged(x, "x")
        it.wait_streams(5)
        it.fake.tools.append({"name": "new", "inputSchema": {"type": "object"}})
        check(it.fake.say({"jsonrpc": "2.0", "method": LIST_TOOLS}),
              "nobody listens to the server")
        same(a.next()["method"], LIST_TOOLS, "ann, legacy")
        got = m.next()
        same((got["method"], got["params"]["_meta"][META + "subscriptionId"]),
             (LIST_TOOLS, "sub"), "ann, modern")
        check("web__new" in ann.names(), "the list is the new one")
        same([s.quiet(0.5) for s in (a, b, m, p, x)], [[]] * 5, "others")
        # said, but nothing changed
        it.fake.say({"jsonrpc": "2.0", "method": LIST_TOOLS})
        same([s.quiet(0.5) for s in (a, b, m)], [[]] * 3, "no change")
        # a change of policy is one of the list
        it.g.ctl("user", "set", "bob@example.com", "--allow", "web:ok,new")
        same(b.next()["method"], LIST_TOOLS, "bob")
        same([s.quiet(0.5) for s in (a, m)], [[]] * 2, "ann")


def test_updates_reach_their_subscribers(_env, it):
    sub, mute = it.open(), it.open()
    one = it.open(path="/servers/web/mcp")
    with get(sub) as s, get(mute) as q, get(one) as o, listen(
            it.modern(), {"resourceSubscriptions": ["web+doc://a"]}) as m:
        same(acknowledged(m), {"resourceSubscriptions": ["web+doc://a"]}, "ack")
        same(sub.request("resources/subscribe", {"uri": "web+doc://a"}).result,
             {}, "subscribe")
        same(one.request("resources/subscribe", {"uri": "doc://a"}).result,
             {}, "own URI")
        check(("resources/subscribe", "doc://a") in it.fake.watched,
              it.fake.watched)
        check(it.fake.update("doc://a"), "nobody listens")
        same(s.next()["params"], {"uri": "web+doc://a"}, "legacy")
        same(o.next()["params"], {"uri": "doc://a"}, "one server")
        same(m.next()["params"], {"uri": "web+doc://a", "_meta": {
            META + "subscriptionId": "sub"}}, "modern")
        it.fake.update("doc://b")
        same([x.quiet(0.5) for x in (s, q, o, m)], [[]] * 4, "another URI")
        same(sub.request("resources/unsubscribe",
                         {"uri": "web+doc://a"}).result, {}, "unsubscribe")
        it.fake.update("doc://a")
        o.next()
        m.next()
        same([x.quiet(0.5) for x in (s, q)], [[]] * 2, "unsubscribed")
        check(("resources/unsubscribe", "doc://a") not in it.fake.watched,
              "others still watch it")
        one.send(b"", one.headers(), "DELETE")
        o.wait_end()
    it.wait_streams(0)


def test_subscribing_takes_the_right_to_read(_env, it):
    bob, c = it.open("bob"), it.g.client("bob@example.com", version=MODERN)
    r = bob.request("resources/subscribe", {"uri": "plain+x://y"})
    same(r.error["code"], -32003, r)
    r = bob.request("resources/subscribe", {"uri": "nosuch+x://y"})
    same(r.error["code"], -32602, r)
    r = bob.request("resources/subscribe", {})
    same(r.error["code"], -32602, r)
    with listen(c, {"toolsListChanged": True, "resourceSubscriptions": [
            "plain+x://y", "nosuch+z", "web+doc://a"]}) as s:
        same(acknowledged(s), {"toolsListChanged": True,
                               "resourceSubscriptions": ["web+doc://a"]},
             "honoured")
        it.g.ctl("user", "set", "bob@example.com", "--allow", "plain:ok")
        same(s.next()["method"], LIST_TOOLS, "the list changed")
        it.fake.update("doc://a")
        same(s.quiet(0.5), [], "no longer his to read")
        it.g.ctl("user", "set", "bob@example.com", "--allow", "web:ok")


def test_what_was_watched_before_the_stream_takes_the_right_too(_env, it):
    """No stream was open to be looked at again when the right was taken."""
    bob = it.open("bob")
    same(bob.request("resources/subscribe", {"uri": "web+doc://a"}).result,
         {}, "subscribe")
    it.g.ctl("user", "set", "bob@example.com", "--allow", "plain:ok")
    wait_for(lambda: "web__ok" not in bob.names(), 10, "the policy")
    with get(bob) as s:
        check(it.fake.update("doc://a"), "nobody listens")
        same(s.quiet(0.5), [], "no longer his to read")
    it.g.ctl("user", "set", "bob@example.com", "--allow", "web:ok")
    wait_for(lambda: "web__ok" in bob.names(), 10, "the policy")


def test_nobody_watches_for_all(_env, it):
    """The table has 8192 places; one user gets 1024, in all sessions."""
    g, got = it.g, []
    g.user("max@example.com", "power_user", "--allow-all", "--limit", "0")
    for n in range(8):
        c = it.open("max")
        got += ["error" in c.request("resources/subscribe", {
            "uri": f"plain+x://{n}/{i}"}).message for i in range(150)]
    same(got.count(False), 1024, "watched")
    bob = it.open("bob")
    with get(bob) as s:
        same(s.status, 200, "another's stream")
        same(bob.request("resources/subscribe", {"uri": "web+doc://a"}).result,
             {}, "another's resource")
    g.ctl("user", "disable", "max@example.com")


def test_the_listener_comes_back(_env, it):
    """A new stream to the server, and it learns again what is watched."""
    c = it.open()
    with get(c) as s:
        c.request("resources/subscribe", {"uri": "web+doc://a"})
        opened, told = it.fake.opened, len(it.fake.watched)
        it.fake.cut()
        wait_for(lambda: it.fake.opened > opened and it.fake.streams, 20,
                 "the listener")
        check(("resources/subscribe", "doc://a") in it.fake.watched[told:],
              it.fake.watched)
        it.fake.update("doc://a")
        same(s.next()["method"], UPDATED, "update")


def test_405_is_remembered(_env, it):
    check(it.other.gets <= 1, f"GET {it.other.gets} times")


def test_updates_of_a_modern_server(env, it):
    """Two listeners in turn: the union of what is watched has changed."""
    port = free_port()
    env.helper([env.node, os.path.join(env.conformance, "reference-server.mjs")],
               port, PORT=port, TICK_MS=200, NODE_MODULES_DIR=os.path.join(
                   env.cache, "conformance", "node_modules"))
    it.g.server("ticker", f"http://127.0.0.1:{port}/mcp")
    c = it.open()
    uri = "ticker+" + WATCHED
    wait_for(lambda: uri in c.names("resources/list", "resources", "uri"), 15,
             "discovery")
    with get(c) as s, listen(it.modern(), {"resourceSubscriptions": [uri]}) as m:
        acknowledged(m)
        same(m.next()["params"]["uri"], uri, "modern client")
        same(s.quiet(0.5), [], "not subscribed")
        same(c.request("resources/subscribe", {"uri": uri}).result, {}, "")
        same(s.next()["params"]["uri"], uri, "legacy client")
    it.g.ctl("server", "remove", "ticker")


def test_updates_over_stdio(_env, it):
    c = it.open()
    uri = c.names("resources/list", "resources", "uri")
    uri = next(u for u in uri if u.startswith("everything+"))
    with get(c) as s:
        same(c.request("resources/subscribe", {"uri": uri}).result, {}, uri)
        check(c.call("everything__toggle-subscriber-updates").is_ok, "toggle")
        same(s.next(20)["params"], {"uri": uri}, "update")
        check(c.call("everything__toggle-subscriber-updates").is_ok, "toggle")


def test_a_modern_server_over_stdio(_env, it):
    """stdiod listens to it, and anew when more is watched."""
    c = it.modern()

    def touch():
        r = c.call("pipe__touch", {"uri": "doc://a"})
        return json.loads(r.text)["filter"]

    with listen(c, {"toolsListChanged": True,
                    "resourceSubscriptions": ["pipe+doc://a"]}) as s:
        acknowledged(s)
        wait_for(lambda: "doc://a" in touch().get("resourceSubscriptions", []),
                 5, "the server is asked to tell")
        same(s.next()["params"]["uri"], "pipe+doc://a", "update")
        s.quiet(0.2)
        check(c.call("pipe__grow").is_ok, "grow")
        same(s.next()["method"], LIST_TOOLS, "change")
    wait_for(lambda: "doc://a" not in touch().get("resourceSubscriptions", []),
             5, "nobody watches it")
    check("answered a call that it does not have" not in it.g.log_text(),
          "answers to stdiod's own requests are known")


def test_disabled_and_revoked_end(_env, it):
    g = it.g
    g.user("eve@example.com", "power_user", "--allow-all")
    with get(it.open("eve")) as s, listen(
            it.modern("eve"), {"toolsListChanged": True}) as m, \
            get(it.open()) as a:
        acknowledged(m)
        g.ctl("user", "disable", "eve@example.com")
        s.wait_end()
        same(m.next()["result"]["resultType"], "complete", "graceful")
        m.wait_end()
        same((s.whole, m.whole, a.whole), (True, True, None), "ends")
    g.ctl("user", "add", "kim@example.com", "--role", "power_user",
          "--allow-all")
    made = g.ctl_json("key", "create", "kim@example.com")
    g.keys["kim@example.com"] = made["key"]
    with get(it.open("kim")) as s:
        g.ctl("key", "revoke", str(made["id"]))
        s.wait_end()


def test_looks_that_die_are_repeated(_env, it):
    """Workers are killed while they look whether streams may stay open."""
    g = it.g
    g.user("zoe@example.com", "power_user", "--allow-all")
    for _ in range(3):
        c = it.modern("zoe")
        streams = [listen(c, {"toolsListChanged": True}, i) for i in range(200)]
        for i, s in enumerate(streams):
            acknowledged(s, i)
        workers = g.pids("worker")
        job = threading.Thread(target=g.ctl, args=(
            "user", "disable", "zoe@example.com"))
        job.start()
        wait_for(lambda s=streams: any(x.whole is not None for x in s), 10,
                 "the first end", every=0.0005)
        for pid in workers:
            os.kill(pid, signal.SIGKILL)
        for s in streams:
            s.wait_end(15)
            s.close()
        job.join()
        g.ctl("user", "enable", "zoe@example.com")
        wait_for(lambda: works(lambda: "web__ok" in c.names()), 10, "enabled")


def test_slow_consumer_is_dropped(_env, it):
    c = it.open()
    c.request("resources/subscribe", {"uri": "web+doc://a"})
    h = c.headers()
    h["Accept"] = "text/event-stream"
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", c.port))
        s.sendall(head_of(c, "GET", h))
        it.wait_streams(1)

        def flood():
            for i in range(50):
                it.fake.update("doc://a/" + "x" * 480 + str(i))
            return it.streams() == 0
        wait_for(flood, 60, "it is dropped", every=0.1)
    check(it.open().call("web__ok").is_ok, "service goes on")


def test_records(_env, it):
    it.g.wait_rows(1, "method='session/delete' AND http_status=400")
    check(it.g.row_count("method='stream/open' AND http_status=200"), "GET")
    check(it.g.row_count("method='stream/open' AND http_status=409"), "409")
    check(it.g.row_count("method='subscriptions/listen'"), "listen")


def test_many_streams(_env, it):
    """A change reaches hundreds, a few looks at a time; calls go on."""
    c = it.modern()
    streams = [listen(c, {"toolsListChanged": True}, i) for i in range(300)]
    for i, s in enumerate(streams):
        acknowledged(s, i)
    it.fake.tools.append({"name": "more", "inputSchema": {"type": "object"}})
    it.fake.say({"jsonrpc": "2.0", "method": LIST_TOOLS})
    for s in streams:
        same(s.next()["method"], LIST_TOOLS, "change")
    check(c.call("web__ok").is_ok, "call")
    for s in streams:
        s.close()
    it.wait_streams(0)


def test_killed_keeper(_env, it):
    """Streams of a dead keeper are gone, and their session can open anew."""
    c = it.open()
    with get(c) as s:
        (keeper,) = it.g.roles()["keeper"]
        os.kill(keeper, signal.SIGKILL)
        s.wait_end()
    wait_for(lambda: it.g.health() == 200, 10, "a new keeper")
    with get(c) as s:
        same(s.status, 200, "again")
        c.request("resources/subscribe", {"uri": "web+doc://a"})
        it.fake.update("doc://a")
        same(s.next()["method"], UPDATED, "update")


def test_drain(_env, it):
    with get(it.open()) as s, listen(
            it.modern(), {"toolsListChanged": True}) as m:
        acknowledged(m)
        it.g.stop()
        same(m.next()["result"]["_meta"][META + "subscriptionId"], "sub", "end")
        s.wait_end()
        m.wait_end()
        same((s.whole, m.whole), (True, True), "both ended well")
