"""HTTP+SSE (2024-11-05) and WebSocket, where the connection is the session: all
that one client calls goes over one link, whichever worker serves it, and what
the server says there in between reaches that client."""
import base64
import functools
import hashlib
import itertools
import json
import os
import queue
import signal
import socketserver
import struct
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from harness import check, in_parallel, processes, same, wait_for
from s01_streams import Stream, get, head_of
from servers import everything_websocket

LIMIT_S = 90
URI = "doc://a"
ROOTS = {"roots": {"listChanged": True}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.server.own.stream(self)

    def do_POST(self):
        session = urllib.parse.parse_qs(
            urllib.parse.urlsplit(self.path).query)["id"][0]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = session in self.server.own.streams
        self.send_response(202 if known else 404)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.wfile.flush()
        if known:
            self.server.own.message(session, body)


class Linked:
    """Tells only the session that has subscribed, as the SDKs do."""

    def __init__(self):
        self.numbers, self.streams = itertools.count(1), {}
        self.watched, self.declared = {}, {}
        self.cancelled, self.answers = queue.Queue(), queue.Queue()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.own = self
        self.url = f"http://127.0.0.1:{self.server.server_port}/sse"
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def stream(self, h):
        session = str(next(self.numbers))
        h.send_response(200)
        h.send_header("Content-Type", "text/event-stream")
        h.end_headers()
        out = self.streams[session] = queue.Queue()
        self.watched[session] = set()
        h.wfile.write(f"event: endpoint\ndata: /m?id={session}\n\n".encode())
        try:
            while (m := out.get()) is not None:
                h.wfile.write(b"data: " + json.dumps(m).encode() + b"\n\n")
        except OSError:
            pass
        self.streams.pop(session, None)
        h.close_connection = True

    def say(self, session, method, params, **more):
        self.streams[session].put({"jsonrpc": "2.0", "method": method,
                                   "params": params, **more})

    def update(self):
        for session, uris in list(self.watched.items()):
            for uri in uris & {URI} if session in self.streams else ():
                self.say(session, "notifications/resources/updated",
                         {"uri": uri})

    def message(self, session, m):
        method, params = m.get("method"), m.get("params") or {}
        if method == "notifications/cancelled":
            self.cancelled.put((session, params["requestId"]))
        elif method is None:
            self.answers.put((session, m))
        if "id" not in m or method is None:
            return
        result = self.result(session, method, params, m["id"])
        if result is not None:
            self.streams[session].put({"jsonrpc": "2.0", "id": m["id"],
                                       "result": result})

    def result(self, session, method, params, number):
        if method == "initialize":
            self.declared[session] = params["capabilities"]
            return {"protocolVersion": "2024-11-05", "serverInfo": {
                "name": "linked", "version": "1"}, "capabilities": {
                    "tools": {}, "resources": {"subscribe": True}}}
        if method == "tools/list":
            return {"tools": [{"name": n, "inputSchema": {"type": "object"}}
                              for n in ("whoami", "hang", "ask", "cut")]}
        if method == "resources/list":
            return {"resources": [{"uri": URI, "name": "a"}]}
        if method == "resources/templates/list":
            return {"resourceTemplates": []}
        if method == "resources/subscribe":
            self.watched[session].add(params["uri"])
        if method != "tools/call":
            return {}
        what = params["name"]
        if what == "hang":
            return None
        if what == "cut":
            self.streams[session].put(None)
            return None
        if what == "ask":
            self.say(session, "roots/list", {}, id=f"q{number}")
            got = self.answers.get(timeout=10)
            return text(json.dumps([got[0] == session, got[1].get("result")]))
        return text(f"{session} {params.get('arguments', {}).get('n', '')}")


def text(s):
    return {"content": [{"type": "text", "text": s}]}


class Frames(socketserver.StreamRequestHandler):
    """As much of RFC 6455 as it takes."""

    def handle(self):
        key = ""
        while line := self.rfile.readline().strip():
            if line.lower().startswith(b"sec-websocket-key:"):
                key = line.split(b":", 1)[1].strip()
        accept = base64.b64encode(hashlib.sha1(
            key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        self.wfile.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Protocol: mcp\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
        own = self.server.own
        session = str(next(own.numbers))
        own.watched[session] = set()
        own.streams[session] = out = queue.Queue()
        threading.Thread(target=self.write, args=(out,), daemon=True).start()
        try:
            while m := self.read():
                threading.Thread(target=own.message, args=(session, m),
                                 daemon=True).start()
        except OSError:
            pass
        own.streams.pop(session).put(None)

    def read(self):
        """The next message; None at the end."""
        head = self.rfile.read(2)
        if len(head) < 2 or head[0] & 15 == 8:
            return None
        n = head[1] & 127
        if n > 125:
            n = int.from_bytes(self.rfile.read(2 if n == 126 else 8), "big")
        mask = self.rfile.read(4)
        data = self.rfile.read(n)
        return json.loads(bytes(b ^ mask[i & 3] for i, b in enumerate(data)))

    def write(self, out):
        try:
            while (m := out.get()) is not None:
                data = json.dumps(m).encode()
                self.wfile.write((struct.pack("!BB", 0x81, len(data))
                                  if len(data) < 126 else struct.pack(
                                      "!BBH", 0x81, 126, len(data))) + data)
            self.connection.shutdown(2)
        except OSError:
            pass


class LinkedByFrames(Linked):
    """The same over WebSocket."""

    def __init__(self):
        super().__init__()
        self.server.shutdown()
        self.server.server_close()
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Frames)
        self.server.daemon_threads = True
        self.server.own = self
        self.url = f"ws://127.0.0.1:{self.server.server_address[1]}/mcp"
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()


class Side:
    def __init__(self, name, linked):
        self.name, self.linked, self.g = name, linked, None

    def open(self, capabilities=None):
        return self.g.client(
            "ann@example.com", f"/servers/{self.name}/mcp", capabilities=ROOTS
            if capabilities is None else capabilities).initialize()


class Setting:
    def __init__(self, env):
        self.sides = [Side("sse", Linked()),
                      Side("websocket", LinkedByFrames())]
        for s in self.sides:
            s.g = env.gateway({
                "mcps": [{"name": s.name, "protocol": s.name,
                          "url": s.linked.url}],
                "users": [{"email": "ann@example.com", "role": "power_user",
                           "allowed_mcps": "*",
                           "rate_limit": {"requests_per_hour": 0}}]})
            s.g.key("ann@example.com")
            wait_for(lambda s=s: "whoami" in s.open({}).names(), 20,
                     "discovery")
        self.real = env.gateway({
            "mcps": [everything_websocket(env, "real")],
            "users": [{"email": "ann@example.com", "role": "power_user",
                       "allowed_mcps": "*"}]})


def setup(env):
    return Setting(env)


def over_both(test):
    @functools.wraps(test)
    def run(env, it):
        failed = []
        for side in it.sides:
            try:
                test(env, side)
            except AssertionError as e:
                failed.append(f"{side.name}: {e}")
        check(not failed, "\n".join(failed))
    return run


def said(reply):
    return reply.result["content"][0]["text"]


def session_of(c):
    return said(c.call("whoami")).split()[0]


def again(c):
    """The same session on another connection, so perhaps another worker."""
    other = type(c)(c.port, c.key, c.path, c.version)
    other.session, other.id = c.session, c.id + 1000
    return other


@over_both
def test_one_link_a_client(_env, it):
    one, two = it.open(), it.open()
    first, second = session_of(one), session_of(two)
    check(first != second, f"both in session {first}")
    same(it.linked.declared[first], {"roots": {}}, "declared")
    calls = [lambda n=n: said(again(one).call("whoami", {"n": n}))
             for n in range(24)]
    same(in_parallel(calls), [f"{first} {n}" for n in range(24)], "answers")


@over_both
def test_asked_over_the_link(_env, it):
    """On the stream of the call; the answer goes to the session that asked."""
    c = it.open()
    c.id += 1
    call = Stream(c.port, post(c, c.message(
        "tools/call", {"name": "ask", "arguments": {}}, c.id)))
    question = call.next()
    same(question["method"], "roots/list", "question")
    body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": {
        "roots": [{"uri": "file:///r"}]}}).encode()
    same(again(c).send(body, c.headers()).status, 202, "answer")
    same(json.loads(call.next()["result"]["content"][0]["text"]),
         [True, {"roots": [{"uri": "file:///r"}]}], "what the server got")


def post(c, message):
    return head_of(c, "POST", c.headers(), body=json.dumps(message).encode())


@over_both
def test_asked_between_calls(_env, it):
    """On the client's GET stream; the answer goes to the session that asked."""
    one, two = it.open(), it.open()
    s1, s2 = get(one), get(two)
    own = session_of(one), session_of(two)
    check(own[0] != own[1], own)
    it.linked.say(own[0], "roots/list", {}, id="between")
    question = s1.next()
    same(question["method"], "roots/list", "question")
    body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": {
        "roots": [{"uri": "file:///b"}]}}).encode()
    r = again(one).send(body, one.headers())
    same(r.status, 202, f"answer: {r}")
    session, answer = it.linked.answers.get(timeout=10)
    same((session, answer["id"], answer["result"]),
         (own[0], "between", {"roots": [{"uri": "file:///b"}]}),
         "what the server got")
    same(s2.quiet(), [], "for the other client")


@over_both
def test_updates_between_calls(_env, it):
    one, two = it.open(), it.open()
    s1, s2 = get(one), get(two)
    own = session_of(one), session_of(two)
    same(one.request("resources/subscribe", {"uri": URI}).result, {},
         "subscribed")
    same(it.linked.watched[own[0]], {URI}, "where its calls go")
    same(it.linked.watched[own[1]], set(), "the other's")
    it.linked.say(own[0], "notifications/resources/updated", {"uri": URI})
    got = s1.next()
    same((got["method"], got["params"]["uri"]),
         ("notifications/resources/updated", URI), "update")
    same(s2.quiet(), [], "for the other client")


@over_both
def test_without_capabilities(_env, it):
    """No link of its own: the listener watches for all of these."""
    c = it.open({})
    s = get(c)
    same(c.request("resources/subscribe", {"uri": URI}).result, {},
         "subscribed")

    def heard():
        it.linked.update()
        return not s.events.empty()
    wait_for(heard, 10, "an update")
    same(s.next()["method"], "notifications/resources/updated", "update")


@over_both
def test_cancelled(_env, it):
    c = it.open()
    own = session_of(c)
    while not it.linked.cancelled.empty():
        it.linked.cancelled.get()
    c.id += 1
    number = c.id
    call = Stream(c.port, post(c, {
        "jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {
            "name": "ask", "arguments": {}}}))
    call.next()                     # it is under way
    again(c).notify("notifications/cancelled", {"requestId": number})
    same(it.linked.cancelled.get(timeout=10)[0], own, "cancelled where")
    it.linked.answers.put((own, {}))
    same(session_of(c), own, "the link lives on")


@over_both
def test_broken_link(_env, it):
    """A call under way fails at once; the next one gets a new link, on which
    is watched what was."""
    c = it.open()
    first = session_of(c)
    c.request("resources/subscribe", {"uri": URI})
    error = c.call("cut").message["error"]
    check(any(t in error["message"] for t in (
        "event stream", "link", "closed")), error)
    second = session_of(c)
    check(second != first, "a new session")
    same(it.linked.watched[second], {URI}, "watched again")


@over_both
def test_killed_listener(_env, it):
    """Whoever owned the links: the call that comes next works."""
    c = it.open()
    first = session_of(c)
    children = it.g.pids("poller")
    same(len(children), 1, "pollers")
    for pid, stat in processes().items():
        if stat[0] == children[0]:
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda p=pid: p not in it.g.children(), 10, "its end")
    second = session_of(c)
    check(second != first, "a new session")
    same(session_of(again(c)), session_of(again(c)), "one for all")


def test_a_real_server(_env, it):
    """server-everything over WebSocket tells the client that has subscribed, and
    no other, while that calls nothing."""
    def client():
        return it.real.client("ann@example.com", "/servers/real/mcp",
                              capabilities=ROOTS).initialize()

    wait_for(lambda: "echo" in client().names(), 30, "discovery")
    one, two = client(), client()
    uri = one.names("resources/list", "resources", "uri")[0]
    with get(one) as s1, get(two) as s2:
        for c in (one, two):
            check(c.call("echo", {"message": "x"}).is_ok, "echo")
        same(one.request("resources/subscribe", {"uri": uri}).result, {}, uri)
        check(again(one).call("toggle-subscriber-updates").is_ok, "toggle")
        for _ in range(2):
            m = s1.next(20)
            while m["method"] != "notifications/resources/updated":
                m = s1.next(20)     # it asks for the roots, too
            same(m["params"], {"uri": uri}, "update")
        heard = [m["method"] for m in s2.quiet()]
        check("notifications/resources/updated" not in heard, heard)
        check(one.call("toggle-subscriber-updates").is_ok, "toggle")
