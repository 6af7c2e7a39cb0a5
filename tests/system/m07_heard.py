"""What a legacy HTTP server asks and says on the standalone stream of a client's
session reaches that client, and no other."""
import json
import queue
import time

from fake import Fake, http, ok, response, sse
from harness import MODERN, check, same, wait_for
from s01_streams import Stream, get, head_of
from servers import everything_http, http_server

ROOTS = {"roots": {"listChanged": True}}
LIMIT_S = 90


class Asker(Fake):
    """One session a client; a stream each, on which it asks for roots. What is
    said on a stream that nobody has opened is lost, as with the SDKs."""

    def __init__(self, tools):
        super().__init__(tools)
        self.streams, self.n, self.answers, self.gets = {}, 0, {}, []

    def ask(self, session, number):
        """False: nobody hears it."""
        self.answers[f"{session}/{number}"] = queue.Queue()
        return self.say(session, {"jsonrpc": "2.0", "method": "roots/list",
                                  "id": f"{session}/{number}"})

    def say(self, session, message):
        if session not in self.streams:
            return False
        self.streams[session].send(sse(message))
        return True

    def answer_to(self, session, number):
        return self.answers[f"{session}/{number}"].get(timeout=10)

    def serve(self, c, verb, body):
        session = c.headers.get("mcp-session-id")
        if verb == "GET":
            self.gets.append((session, c.headers.get("last-event-id")))
            self.streams[session] = c       # before anybody knows of it
            c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                   b"\r\n: open\n\n")
            self.wait_end(c)
            if self.streams.get(session) is c:
                del self.streams[session]
            return False
        m = json.loads(body or b"{}")
        if "id" in m and "method" not in m:
            place = self.answers.get(m["id"])
            if place is not None and m["id"].split("/")[0] == session:
                place.put(m)
            else:
                self.answers.setdefault("wrong", []).append((session, m))
            c.send(http(b"", 202))
            return True
        return super().serve(c, verb, body)

    def answer(self, c, m, name):
        if name == "initialize":
            with self.lock:
                self.n += 1
                session = f"s{self.n}"
            c.send(http(response(m, {
                "protocolVersion": m["params"]["protocolVersion"],
                "capabilities": {"tools": {}, "logging": {}},
                "serverInfo": {"name": "asker", "version": "1"}}),
                headers=f"Mcp-Session-Id: {session}\r\n"))
            return True
        if name == "logging/setLevel":
            c.send(http(response(m, {})))
            return True
        if name != "tools/call":
            return super().answer(c, m, name)
        session = c.headers["mcp-session-id"]
        if m["params"]["name"] == "whoami":
            c.send(http(ok(m, session)))
        elif not self.ask(session, m["id"]):
            c.send(http(ok(m, "nobody hears me")))
        else:
            a = self.answer_to(session, m["id"])
            c.send(http(ok(m, json.dumps(a.get("result", a.get("error"))))))
        return True


class Setting:
    def __init__(self, env):
        self.asker = Asker(["ask", "whoami"])
        self.g = env.gateway({"mcps": [http_server("asker", self.asker.url),
                                       everything_http(env)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        self.g.user("bob@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        wait_for(lambda: {"asker__ask", "everything_http__echo"} <=
                 set(self.open().names()), 20, "discovery")
        wait_for(lambda: self.asker.gets, 10, "a listener at the server")

    def open(self, who="ann", path="/mcp", capabilities=None, **kw):
        return self.g.client(f"{who}@example.com", path,
                             capabilities=capabilities or {},
                             **kw).initialize()


def setup(env):
    return Setting(env)


def text_of(message):
    return message["result"]["content"][0]["text"]


def answer(c, question, name):
    same(question["method"], "roots/list", "question")
    body = json.dumps({"jsonrpc": "2.0", "id": question["id"], "result": {
        "roots": [{"uri": f"file:///{name}", "name": name}]}}).encode()
    return c.send(body, c.headers()).status


def call(c, tool, number=1):
    body = json.dumps(c.message("tools/call", {
        "name": tool, "arguments": {}}, number)).encode()
    return Stream(c.port, head_of(c, "POST", c.headers(), body=body))


def test_asked_during_the_first_call(_env, it):
    """The stream is open before the first call is sent; without one of its own
    the client is asked on that of its call."""
    c = it.open(capabilities=ROOTS)
    with call(c, "asker__ask") as s:
        same(answer(c, s.next(what="question"), "one"), 202, "status")
        check("file:///one" in text_of(s.next()), "answer")


def test_asked_between_calls(_env, it):
    """Each client gets the question of its own session on its own stream."""
    clients = [it.open(who, capabilities=ROOTS) for who in
               ("ann", "ann", "bob")]
    streams = [get(c) for c in clients]
    sessions = [text_of(c.call("asker__whoami").message) for c in clients]
    same(len(set(sessions)), 3, "sessions at the server")
    for session in sessions:
        check(it.asker.ask(session, "q"), f"{session} is heard")
    questions = [s.next(what="question") for s in streams]
    same(answer(clients[0], questions[1], "evil"), 400, "another's question")
    same(answer(clients[2], questions[0], "evil"), 400, "another's question")
    for c, q, name in zip(clients, questions, "abc"):
        same(answer(c, q, name), 202, "status")
    for session, name in zip(sessions, "abc"):
        same(it.asker.answer_to(session, "q")["result"]["roots"][0]["name"],
             name, f"answer to {session}")
    check("wrong" not in it.asker.answers, it.asker.answers.get("wrong"))
    for s in streams:
        same(s.quiet(0.2), [], "further messages")
        s.close()


def test_nobody_to_ask(_env, it):
    """No call and no stream of the client: the server is told at once."""
    c = it.open(capabilities=ROOTS)
    session = text_of(c.call("asker__whoami").message)
    it.asker.ask(session, "q")
    same(it.asker.answer_to(session, "q")["error"]["code"], -32601, "error")


def test_ping_is_ours(_env, it):
    c = it.open(capabilities=ROOTS)
    with get(c) as s:
        session = text_of(c.call("asker__whoami").message)
        it.asker.answers[f"{session}/p"] = queue.Queue()
        it.asker.say(session, {"jsonrpc": "2.0", "id": f"{session}/p",
                               "method": "ping"})
        same(it.asker.answer_to(session, "p")["result"], {}, "pong")
        same(s.quiet(0.2), [], "messages")


def test_told(_env, it):
    """Notifications: to the one client, from its level on."""
    c, other = (it.open(capabilities=ROOTS) for _ in range(2))
    with get(c) as s, get(other) as s2:
        session = text_of(c.call("asker__whoami").message)
        text_of(other.call("asker__whoami").message)
        c.request("logging/setLevel", {"level": "warning"})
        for level in ("info", "error"):
            it.asker.say(session, {
                "jsonrpc": "2.0", "method": "notifications/message",
                "params": {"level": level, "data": level}})
        it.asker.say(session, {
            "jsonrpc": "2.0", "method": "notifications/elicitation/complete",
            "params": {"elicitationId": "e"}})
        same(s.next()["params"]["data"], "error", "log message")
        same(s.next()["params"]["elicitationId"], "e", "elicitation")
        same(s2.quiet(0.2), [], "messages of the other")


def test_who_may_not_use_the_server_any_more_hears_nothing(_env, it):
    """The stream stays, for other servers; its session there, too."""
    it.g.user("eve@example.com", "power_user", "--allow-all", "--limit", "0")
    c = it.open("eve", capabilities=ROOTS)
    said = {"jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": "error", "data": "x"}}
    with get(c) as s:
        session = text_of(c.call("asker__whoami").message)
        it.asker.say(session, said)
        same(s.next()["params"]["data"], "x", "before")
        it.g.ctl("user", "set", "eve@example.com", "--allow",
                 "everything_http:*")
        same(s.next()["method"], "notifications/tools/list_changed", "policy")
        it.asker.say(session, said)
        it.asker.ask(session, "q")
        same(s.quiet(0.5), [], "afterwards")
    with get(c) as s:
        it.asker.say(session, said)
        same(s.quiet(0.5), [], "on a new stream")


def test_modern_client(_env, it):
    """The question of a server in mid-call becomes input_required."""
    c = it.g.client("ann@example.com", version=MODERN, capabilities=ROOTS)
    r = c.call("asker__ask").result
    same(r["resultType"], "input_required", "result")
    key, q = next(iter(r["inputRequests"].items()))
    same(q["method"], "roots/list", "question")
    done = c.request("tools/call", {
        "name": "asker__ask", "arguments": {},
        "requestState": r["requestState"],
        "inputResponses": {key: {"roots": [
            {"uri": "file:///m", "name": "m"}]}}})
    check("file:///m" in text_of(done.message), done)


def test_a_retry_of_a_call_that_is_over(_env, it):
    """It is told at once, and waits for nobody."""
    c = it.g.client("ann@example.com", version=MODERN, capabilities=ROOTS)
    r = c.call("asker__ask").result
    again = {"name": "asker__ask", "arguments": {},
             "requestState": r["requestState"],
             "inputResponses": {key: {"roots": []}
                                for key in r["inputRequests"]}}
    check(c.request("tools/call", again).is_ok, "the retry")
    start = time.monotonic()
    r = c.request("tools/call", again)
    same(r.error["code"], -32602, r)
    check(time.monotonic() - start < 5, "it waited")


def test_roots_of_server_everything(_env, it):
    """Asked as soon as the session is open, or when the tool needs them."""
    c = it.open(capabilities=ROOTS)
    with call(c, "everything_http__get-roots-list") as s:
        same(answer(c, s.next(what="question"), "mine"), 202, "status")
        done = s.next(what="answer")
        while "method" in done:         # what it logs about the roots
            done = s.next(what="answer")
        check("file:///mine" in text_of(done), "roots")
    c = it.open(capabilities=ROOTS)
    with get(c) as s:
        c.call("everything_http__echo", {"message": "x"})
        same(answer(c, s.next(what="question"), "later"), 202, "status")
        log = s.next(what="log")
        check("1 root(s)" in log["params"]["data"], log)
        check("file:///later" in text_of(
            c.call("everything_http__get-roots-list").message), "roots")


def test_streams_end_with_their_sessions(_env, it):
    c = it.open(capabilities=ROOTS)
    session = text_of(c.call("asker__whoami").message)
    wait_for(lambda: session in it.asker.streams, 5, "stream")
    c.send(b"", c.headers(), "DELETE")
    wait_for(lambda: session not in it.asker.streams, 10, "end of the stream")


def test_broken_stream(_env, it):
    """It is opened again."""
    c = it.open(capabilities=ROOTS)
    session = text_of(c.call("asker__whoami").message)
    wait_for(lambda: session in it.asker.streams, 5, "stream")
    gets = it.asker.gets.count((session, None))
    it.asker.streams[session].request.shutdown(2)
    wait_for(lambda: it.asker.gets.count((session, None)) > gets, 10,
             "stream opened again")
