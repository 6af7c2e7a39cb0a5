"""A scripted MCP server, run inside the test: what it does for a tool is a
function of this file, and what arrived is in .counts and .requests.

Legacy revisions without sessions (the handshake a small server does). Speaks
HTTP by hand, because most of what it is for is not valid HTTP.
"""
import json
import socket
import socketserver
import threading
import time


def tool(name, **more):
    return {"name": name, "description": f"The tool {name}",
            "inputSchema": {"type": "object"}, **more}


def http(body=b"", status=200, kind="application/json", headers=""):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    return (f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{headers}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def response(message, result=None, error=None):
    out = {"jsonrpc": "2.0", "id": message["id"]}
    if error:
        out["error"] = error
    else:
        out["result"] = result
    return out


def ok(message, text="ok"):
    return response(message, {"content": [{"type": "text", "text": text}]})


# What a tool may do: each gets the connection and the request; true: go on.

def do_ok(c, m):
    c.send(http(ok(m)))
    return True


def do_hang(c, _):
    c.fake.wait_end(c)


def do_close(_c, _m):
    return False


def do_half(c, m):
    whole = http(ok(m, "x" * 4000))
    c.send(whole[:len(whole) // 2])


def do_lying_length(c, m):
    c.send(http(ok(m)).replace(b"Content-Length: ", b"Content-Length: 9"))


def do_garbage(c, _):
    c.send(b"\x00\xff this is no HTTP at all\r\n\r\n" * 20)


def do_not_json(c, _):
    c.send(http(b"<html>proxy error</html>"))
    return True


def do_wrong_id(c, m):
    c.send(http(ok({"id": "of somebody else"}, "POISON")))
    return True


def do_wrong_id_sse(c, m):
    c.send(http(sse(ok({"id": 987654321}, "POISON")), kind="text/event-stream"))
    return True


def do_two(c, m):
    c.send(http(sse(ok(m, "first")) + sse(ok(m, "POISON")),
                kind="text/event-stream"))
    return True


def do_two_http(c, m):
    """A second HTTP answer nobody asked for."""
    c.send(http(ok(m, "first")) + http(ok(m, "POISON")))
    return True


def do_batch(c, m):
    c.send(http([ok(m)]))
    return True


def do_empty(c, _):
    c.send(http(b""))
    return True


def do_500(c, _):
    c.send(http(b"boom", 500, "text/plain"))
    return True


def do_redirect(c, _):
    c.send(http(b"", 302, headers="Location: http://127.0.0.1:1/mcp\r\n"))
    return True


def do_endless_head(c, _):
    c.send(b"HTTP/1.1 200 OK\r\n" + b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaa\r\n" * 9000)


def do_endless_body(c, _):
    c.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
           b"Transfer-Encoding: chunked\r\n\r\n")
    block = b"10000\r\n" + b" " * 65536 + b"\r\n"
    while not c.fake.ended:
        c.send(block)


def do_sse(c, m):
    c.send(http(b": comment\n\n" + sse(
        {"jsonrpc": "2.0", "method": "notifications/message",
         "params": {"level": "info", "data": "x"}}) + sse(ok(m)),
        kind="text/event-stream"))
    return True


def do_sse_cut(c, m):
    """A stream that ends without the answer."""
    c.send(http(b": nothing\n\n", kind="text/event-stream"))
    return True


def do_rpc_error(c, m):
    c.send(http(response(m, error={"code": -32042, "message": "mine"})))
    return True


def do_modern_error(c, m):
    c.send(http(response(m, error={"code": -32022, "message": "hop",
                                   "data": {"supported": ["x"]}}), 400))
    return True


def do_tool_error(c, m):
    c.send(http(response(m, {"isError": True, "content": [
        {"type": "text", "text": "the tool failed"}]})))
    return True


def do_slow(c, m):
    c.fake.pause(m["params"].get("arguments", {}).get("ms", 1000) / 1000, c)
    c.send(http(ok(m, "slow")))
    return True


def do_big(c, m):
    c.send(http(ok(m, "x" * m["params"].get("arguments", {}).get(
        "bytes", 1 << 20))))
    return True


def do_cookie(c, m):
    c.send(http(ok(m), headers="Set-Cookie: a=b\r\nX-Internal: secret\r\n"))
    return True


def do_seen_headers(c, m):
    c.send(http(ok(m, json.dumps(c.headers))))
    return True


BEHAVIOURS = {name[3:]: f for name, f in list(globals().items())
              if name.startswith("do_")}


def sse(message):
    return b"event: message\ndata: " + json.dumps(message).encode() + b"\n\n"


class Connection(socketserver.BaseRequestHandler):
    def setup(self):
        self.fake = self.server.fake
        self.buffer = b""
        self.headers = {}
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fake.connections.add(self.request)

    def finish(self):
        self.fake.connections.discard(self.request)

    def send(self, data):
        self.request.sendall(data)

    def read_request(self):
        while b"\r\n\r\n" not in self.buffer:
            part = self.request.recv(65536)
            if not part:
                return None
            self.buffer += part
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.headers = {k.lower(): v.strip() for k, _, v in
                        (line.partition(":") for line in lines)}
        length = int(self.headers.get("content-length", 0))
        while len(rest) < length:
            part = self.request.recv(65536)
            if not part:
                return None
            rest += part
        self.buffer = rest[length:]
        return first.split(" ")[0], rest[:length]

    def handle(self):
        try:
            while True:
                request = self.read_request()
                if request is None or not self.fake.serve(self, *request):
                    return
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 1024


class Fake:
    """tools: dictionaries, or names of BEHAVIOURS."""

    def __init__(self, tools=(), pages=None):
        self.tools = [tool(t) if isinstance(t, str) else t for t in tools]
        self.pages = pages              # lists of tools, one per page
        self.counts, self.requests = {}, []
        self.cancelled = []
        self.connections, self.ended = set(), False
        self.lock = threading.Lock()
        self.is_hanging = False         # stop answering anything
        self.server = Server(("127.0.0.1", 0), Connection)
        self.server.fake = self
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        threading.Thread(target=self.server.serve_forever, args=(0.05,),
                         daemon=True).start()

    def stop(self):
        self.ended = True
        self.server.shutdown()
        self.server.server_close()
        for s in list(self.connections):
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def count(self, name):
        with self.lock:
            return self.counts.get(name, 0)

    @property
    def calls(self):
        """How many tools/call arrived."""
        return self.count("tools/call")

    def wait_end(self, c):
        """Until the other side gives up; then it is noted as gone."""
        c.request.settimeout(0.1)
        while not self.ended:
            try:
                if not c.request.recv(65536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        with self.lock:
            self.counts["gone"] = self.counts.get("gone", 0) + 1

    def pause(self, seconds, c):
        end = time.monotonic() + seconds
        c.request.settimeout(0.05)
        while not self.ended and time.monotonic() < end:
            try:
                part = c.request.recv(65536)
                if not part:
                    raise ConnectionError("gone")
                c.buffer += part
            except TimeoutError:
                continue
        c.request.settimeout(None)

    def serve(self, c, verb, body):
        if verb != "POST":
            c.send(http(b"", 405))
            return True
        m = json.loads(body)
        name = m.get("method")
        with self.lock:
            self.counts[name] = self.counts.get(name, 0) + 1
            self.requests.append((name, m.get("params"), dict(c.headers)))
        if self.is_hanging:
            self.wait_end(c)
            return False
        if "id" not in m:
            if name == "notifications/cancelled":
                with self.lock:
                    self.cancelled.append(m["params"])
            c.send(http(b"", 202))
            return True
        return self.answer(c, m, name)

    def answer(self, c, m, name):
        if name == "initialize":
            c.send(http(response(m, {
                "protocolVersion": m["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "fake", "version": "1"}})))
        elif name == "tools/list":
            c.send(http(response(m, self.tool_page(m.get("params") or {}))))
        elif name == "ping":
            c.send(http(response(m, {})))
        elif name == "tools/call":
            own = m["params"]["name"]
            with self.lock:
                self.counts[own] = self.counts.get(own, 0) + 1
            return BEHAVIOURS.get(own, do_ok)(c, m)
        else:
            c.send(http(response(m, error={
                "code": -32601, "message": "Method not found"})))
        return True

    def tool_page(self, params):
        if self.pages is None:
            return {"tools": self.tools}
        i = int(params.get("cursor", 0))
        page = {"tools": self.pages[i]}
        if i + 1 < len(self.pages):
            page["nextCursor"] = str(i + 1)
        return page
