"""Upstream transports: HTTP+SSE, WebSocket and stdio with real servers, a
session of its own for each client that can be asked, and servers that lie."""
import json
import os
import socket
import threading

from fake import Fake, http, response
from harness import check, free_port, http_get, same, wait_for, works
from servers import (everything_http, everything_sse, everything_stdio,
                     everything_websocket, fastmcp, reference_args)

LIMIT_S = 180
CAN_ASK = {"sampling": {}, "elicitation": {}, "roots": {}}


class Asked:
    """A tools/call whose stream carries questions, answered as they come."""

    def __init__(self, client, tool, arguments, answer):
        self.client, self.questions, self.notes = client, [], []
        client.id += 1
        m = client.message("tools/call", {
            "name": tool, "arguments": arguments,
            "_meta": {"progressToken": "mine"}}, client.id)
        body = json.dumps(m).encode()
        head = "".join(f"{k}: {v}\r\n" for k, v in
                       client.headers("tools/call", m["params"]).items())
        self.s = socket.create_connection(("127.0.0.1", client.port), 60)
        self.s.sendall(f"POST {client.path} HTTP/1.1\r\nHost: localhost\r\n"
                       f"{head}Content-Length: {len(body)}\r\n"
                       "Connection: close\r\n\r\n".encode() + body)
        self.f = self.s.makefile("rb")
        self.message = self.read(answer)
        self.s.close()

    def read(self, answer):
        status = self.f.readline()
        check(b" 200 " in status, status)
        length = None
        while line := self.f.readline().strip().lower():
            if line.startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        if length is not None:
            return json.loads(self.f.read(length))
        while line := self.f.readline():
            if not line.startswith(b"data: ") or not line[6:].strip():
                continue        # also the event that only carries an id
            m = json.loads(line[6:])
            if "method" not in m:
                return m
            if "id" not in m:
                self.notes.append(m)
                continue
            self.questions.append(m)
            reply = {"jsonrpc": "2.0", "id": m["id"], "result": answer(m)}
            r = self.client.send(json.dumps(reply).encode(),
                                 self.client.headers())
            same(r.status, 202, f"status of the answer: {r}")
        raise AssertionError("the stream ended without an answer")

    @property
    def text(self):
        check("result" in self.message, lambda: f"no result: {self.message}")
        return "\n".join(p.get("text", "")
                         for p in self.message["result"]["content"])


def answers(m):
    if m["method"] == "sampling/createMessage":
        return {"role": "assistant", "model": "none",
                "content": {"type": "text", "text": "a sampled answer"}}
    if m["method"] == "elicitation/create":
        return {"action": "accept",
                "content": {"username": "ann", "email": "a@example.com"}}
    return {"roots": [{"uri": "file:///srv", "name": "srv"}]}


class Setting:
    def __init__(self, env):
        self.env = env
        reference, variables = reference_args(env)
        self.sse_port, self.ws_port = free_port(), free_port()
        env.helper(["/usr/bin/python3", os.path.join(env.fakes, "sse_bridge.py"),
                    str(self.sse_port), *reference], self.sse_port, **variables)
        env.helper([env.python, os.path.join(env.fakes, "ws_bridge.py"),
                    str(self.ws_port), *reference], self.ws_port, **variables)
        self.liar = Liar()
        self.g = env.gateway({"mcps": [
            everything_stdio(env, "es"),
            everything_http(env, "eh"),
            everything_sse(env, "ee"),
            everything_sse(env, "ed", protocol="http"),
            everything_websocket(env, "ew"),
            everything_websocket(env, "eb", path="/break"),
            fastmcp(env, "weather", transport="sse"),
            {"name": "rs", "protocol": "stdio", "command": reference[0],
             "args": reference[1:], "env": variables},
            {"name": "re", "protocol": "sse",
             "url": f"http://127.0.0.1:{self.sse_port}/sse"},
            {"name": "rw", "protocol": "websocket",
             "url": f"ws://127.0.0.1:{self.ws_port}/mcp"},
        ], "stdio": {"max_processes": 8}})
        for who in ("ann", "bob"):
            self.g.user(f"{who}@example.com", "power_user", "--allow-all",
                        "--limit", "0")
        c = self.client()
        for name in ("es", "eh", "ee", "ed", "ew", "eb"):
            wait_for(lambda n=name: f"{n}__echo" in c.names(), 30, name)
        wait_for(lambda: "weather__forecast" in c.names(), 30, "weather")
        for name in ("rs", "re", "rw"):
            wait_for(lambda n=name: f"{n}__test_elicitation" in c.names(), 30,
                     name)

    def client(self, who="ann", **kw):
        return self.g.client(f"{who}@example.com", **kw).initialize()


class Liar(Fake):
    """Nothing yet."""

    def __init__(self):
        super().__init__([])


def setup(env):
    return Setting(env)


def test_calls(_env, it):
    c = it.client()
    for name in ("es", "eh", "ee", "ed", "ew"):
        for i in range(20):
            same(c.call(f"{name}__echo", {"message": f"hi {i}"}).text,
                 f"Echo: hi {i}", name)
    same(c.call("weather__forecast", {"city": "Oslo"}).text,
         "Oslo: sunny for 1 days", "weather")


def test_progress(_env, it):
    c = it.client()
    for name in ("es", "eh", "ee", "ed", "ew"):
        a = Asked(c, f"{name}__trigger-long-running-operation",
                  {"duration": 1, "steps": 3}, answers)
        same([(n["method"], n["params"]["progressToken"]) for n in a.notes
              if n["method"] == "notifications/progress"],
             [("notifications/progress", "mine")] * 3, f"{name}: progress")


def test_servers_ask_back(_env, it):
    c = it.client(capabilities=CAN_ASK)
    for name in ("rs", "re", "rw"):
        a = Asked(c, f"{name}__test_elicitation", {"message": "who?"}, answers)
        same([q["method"] for q in a.questions], ["elicitation/create"], name)
        check("ann" in a.text, f"{name}: {a.text}")
        a = Asked(c, f"{name}__test_sampling", {"prompt": "say"}, answers)
        same([q["method"] for q in a.questions], ["sampling/createMessage"],
             name)
        check("a sampled answer" in a.text, f"{name}: {a.text}")
    # Who cannot be asked gets the server's error, and nobody is asked.
    c = it.client()
    for name in ("rs", "re", "rw"):
        a = Asked(c, f"{name}__test_elicitation", {"message": "who?"}, answers)
        same(a.questions, [], name)
