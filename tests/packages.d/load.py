"""Load for tests/packages: clients that keep their connection, clients that
connect for every request and clients that listen to an event stream, while
the service is replaced below them.

A request fails when it has no good answer. One case is no failure, as for any
HTTP client: a kept connection that the server closed while the request was on
its way, without one byte of an answer, is tried again once, on a new one. An event
stream may end, but must be there again at once, with the same session.
It goes on until the file --until is there. Python's standard library only.
"""
import argparse
import collections
import http.client
import json
import os
import select
import threading
import time

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
STALE = (http.client.RemoteDisconnected, ConnectionResetError,
         BrokenPipeError)


class Client(threading.Thread):
    """One client; counts what happened to it."""

    def __init__(self, options, keep, over):
        super().__init__(daemon=True)
        self.options, self.keep, self.over = options, keep, over
        self.count = collections.Counter()
        self.errors = []
        self.slowest = 0.0
        self.body = json.dumps({
            "jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "demo__whoami", "arguments": {},
                       "_meta": META}})
        self.headers = {
            "Authorization": "Bearer " + options.key,
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call", "Mcp-Name": "demo__whoami"}
        self.connection = None

    def once(self):
        """One request on the connection there is, or on a new one."""
        if self.connection is None:
            self.connection = http.client.HTTPConnection(
                "127.0.0.1", self.options.port, timeout=60)
            self.connection.connect()
            self.count["connections"] += 1
        self.connection.request("POST", "/mcp", self.body, self.headers)
        reply = self.connection.getresponse()
        text = reply.read()
        if not self.keep or reply.will_close:
            self.close()
        if reply.status != 200 or b"uid " not in text:
            raise ValueError("%d %s" % (reply.status, text[:200]))

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def request(self):
        reused = self.connection is not None
        try:
            self.once()
        except STALE:
            self.close()
            if not reused:
                raise
            self.count["again"] += 1
            self.once()

    def run(self):
        while not self.over.is_set():
            start = time.monotonic()
            self.count["requests"] += 1
            try:
                self.request()
            except Exception as error:  # whatever it is, it is counted
                self.close()
                self.count["failed"] += 1
                self.errors.append(repr(error))
            self.slowest = max(self.slowest, time.monotonic() - start)
            time.sleep(0.002)


class Listener(threading.Thread):
    """Keeps an event stream of one session open, whatever happens."""

    def __init__(self, options, over):
        super().__init__(daemon=True)
        self.options, self.over = options, over
        self.count = collections.Counter()
        self.errors = []
        self.slowest = 0.0
        self.headers = {"Authorization": "Bearer " + options.key,
                        "Content-Type": "application/json",
                        "Accept": "application/json, text/event-stream"}

    def ask(self, method, body=None):
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.options.port, timeout=60)
        connection.request(method, "/mcp", body, self.headers)
        reply = connection.getresponse()
        if reply.status not in (200, 202):
            raise ValueError("%s: %d %s" % (method, reply.status,
                                            reply.read()[:200]))
        return connection, reply

    def initialize(self):
        connection, reply = self.ask("POST", json.dumps({
            "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                "protocolVersion": "2025-06-18", "capabilities": {},
                "clientInfo": {"name": "load", "version": "1"}}}))
        self.headers["Mcp-Session-Id"] = reply.headers["Mcp-Session-Id"]
        self.headers["MCP-Protocol-Version"] = "2025-06-18"
        connection.close()
        connection, reply = self.ask("POST", json.dumps({
            "jsonrpc": "2.0", "method": "notifications/initialized"}))
        connection.close()
        del self.headers["Content-Type"]
        self.headers["Accept"] = "text/event-stream"

    def listen(self):
        start = time.monotonic()
        connection, reply = self.ask("GET")
        self.slowest = max(self.slowest, time.monotonic() - start)
        self.count["streams"] += 1
        while not self.over.is_set():
            if not select.select([reply], [], [], 0.2)[0]:
                continue
            try:
                if not reply.read1(4096):
                    break
            except (http.client.HTTPException, OSError):
                break
        connection.close()

    def run(self):
        try:
            self.initialize()
            while not self.over.is_set():
                self.listen()
        except Exception as error:  # whatever it is, it is counted
            self.count["failed"] += 1
            self.errors.append("stream: " + repr(error))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--until", required=True)
    options = parser.parse_args()
    over = threading.Event()
    clients = [Client(options, keep, over)
               for keep in [True] * 16 + [False] * 4]
    clients += [Listener(options, over) for _ in range(4)]
    for client in clients:
        client.start()
    print("started", flush=True)
    while not os.path.exists(options.until):
        time.sleep(0.1)
    over.set()
    total = collections.Counter()
    for client in clients:
        client.join()
        total.update(client.count)
        for error in client.errors[:2]:
            print(error)
    print("slowest %.2f s" % max(client.slowest for client in clients))
    print("requests %d, connections %d, again %d, streams %d, failed %d" % (
        total["requests"], total["connections"], total["again"],
        total["streams"], total["failed"]))


main()
