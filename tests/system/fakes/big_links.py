"""A server with large results on a connection that all calls share:

    big_links.py stdio | sse PORT | ws PORT

Tools: echo; pid; big (size, order, frames: in so many WebSocket frames as it
has pieces); die (ends in the middle); endless; hold (says something, half a result, and the
rest after notifications/cancelled); late (says something, and
the result then).
"""
import itertools
import json
import os
import queue
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from big import envelope, pieces

TOOLS = ("echo", "pid", "big", "die", "endless", "hold", "late")


def text(s):
    return {"content": [{"type": "text", "text": s}]}


def endless():
    yield b'{"content":[{"type":"text","text":"'
    while True:
        yield b"for ever and ever " * 4000


def half_then(parts, then):
    parts = list(parts)
    yield from parts[:len(parts) // 2]
    then()
    yield from parts[len(parts) // 2:]


def cancelled(incoming):
    while next(incoming).get("method") != "notifications/cancelled":
        pass


def call(peer, incoming, m):
    name, given = m["params"]["name"], m["params"].get("arguments", {})
    size = given.get("size", 1 << 20)
    order = given.get("order", "id first")
    answer = envelope(m["id"], pieces(size), order)
    note = {"jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": "info", "data": "under way"}}
    if name == "echo":
        peer.send({"jsonrpc": "2.0", "id": m["id"],
                   "result": text(given.get("text", ""))})
    elif name == "pid":
        peer.send({"jsonrpc": "2.0", "id": m["id"],
                   "result": text(f"{os.getpid()} {id(peer)}")})
    elif name == "big":
        peer.stream(answer, given.get("frames"))
    elif name == "die":
        peer.stream(half_then(answer, peer.die), True)
    elif name == "endless":
        peer.stream(envelope(m["id"], endless(), order), True)
    elif name == "hold":
        peer.send(note)
        peer.stream(half_then(answer, lambda: cancelled(incoming)), True)
    elif name == "late":
        peer.send(note)
        cancelled(incoming)
        peer.stream(answer, True)


def serve(peer, incoming):
    for m in incoming:
        method = m.get("method")
        if "id" not in m or method is None:
            continue
        if method == "tools/call":
            call(peer, incoming, m)
            continue
        out = {"jsonrpc": "2.0", "id": m["id"]}
        if method == "initialize":
            out["result"] = {"protocolVersion": "2025-06-18", "serverInfo": {
                "name": "big", "version": "1"}, "capabilities": {"tools": {}}}
        elif method == "tools/list":
            out["result"] = {"tools": [
                {"name": n, "inputSchema": {"type": "object"}} for n in TOOLS]}
        else:
            out["error"] = {"code": -32601, "message": "no such method"}
        peer.send(out)


class Stdio:
    def __init__(self):
        self.out = sys.stdout.buffer

    def send(self, m):
        self.out.write(json.dumps(m).encode() + b"\n")
        self.out.flush()

    def stream(self, parts, _frames):
        for p in parts:
            self.out.write(p.replace(b"\n", b" "))
            self.out.flush()
        self.out.write(b"\n")
        self.out.flush()

    @staticmethod
    def die():
        os._exit(3)


class Closed(Exception):
    pass


class Stream:
    """HTTP+SSE."""

    def __init__(self, out):
        self.out, self.incoming = out, queue.Queue()

    def send(self, m):
        self.out.write(b"data: " + json.dumps(m).encode() + b"\n\n")
        self.out.flush()

    def stream(self, parts, _frames):
        self.out.write(b"event: message\ndata: ")
        for p in parts:
            self.out.write(p.replace(b"\n", b"\ndata: "))
        self.out.write(b"\n\n")
        self.out.flush()

    @staticmethod
    def die():
        raise Closed


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    numbers, peers = itertools.count(1), {}

    def log_message(self, *_):
        pass

    def do_GET(self):
        number = str(next(self.numbers))
        peer = self.peers[number] = Stream(self.wfile)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.wfile.write(f"event: endpoint\ndata: /m?id={number}\n\n".encode())
        self.wfile.flush()
        try:
            serve(peer, iter(peer.incoming.get, None))
        except (OSError, Closed):
            pass
        del self.peers[number]
        self.close_connection = True

    def do_POST(self):
        number = urllib.parse.parse_qs(
            urllib.parse.urlsplit(self.path).query)["id"][0]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        peer = self.peers.get(number)
        self.send_response(404 if peer is None else 202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.wfile.flush()
        if peer is not None:
            peer.incoming.put(json.loads(body))


class WebSocket:
    def __init__(self, ws):
        self.ws, self.lock = ws, threading.Lock()

    def send(self, m):
        self.ws.send(json.dumps(m))

    def stream(self, parts, frames):
        if frames:
            self.ws.send(p.decode() for p in parts)
        else:
            self.ws.send(b"".join(parts).decode())

    @staticmethod
    def die():
        raise Closed


def websocket(ws):
    from websockets.exceptions import ConnectionClosed
    try:
        serve(WebSocket(ws), map(json.loads, ws))
    except (Closed, ConnectionClosed):
        ws.close_socket()


def main():
    if sys.argv[1] == "stdio":
        serve(Stdio(), map(json.loads, sys.stdin))
    elif sys.argv[1] == "sse":
        s = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler)
        s.daemon_threads = True
        s.serve_forever()
    else:
        from websockets.sync.server import serve as serve_ws
        with serve_ws(websocket, "127.0.0.1", int(sys.argv[2]),
                      subprotocols=["mcp"], max_size=None,
                      compression=None) as s:
            s.serve_forever()


main()
