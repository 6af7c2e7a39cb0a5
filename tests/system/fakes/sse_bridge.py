"""A stdio server behind HTTP+SSE (2024-11-05): sse_bridge.py PORT COMMAND...

One process a stream. Standard library only, so that it can be odd on request:
?endpoint=URL in the path of the stream is announced as the endpoint.
"""
import itertools
import subprocess
import sys
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

numbers = itertools.count(1)
processes = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if url.path == "/count":
            self.reply(200, str(len(processes)).encode())
            return
        if url.path != "/sse":
            self.reply(404, b"")
            return
        number = str(next(numbers))
        p = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        processes[number] = p
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        where = query.get("endpoint", f"message?id={number}")
        try:
            self.event("endpoint", where)
            for line in p.stdout:
                self.event("message", line.decode().rstrip("\n"))
        except OSError:
            pass
        del processes[number]
        p.kill()
        p.wait()
        self.close_connection = True

    def event(self, kind, data):
        self.wfile.write(f"event: {kind}\ndata: {data}\n\n".encode())
        self.wfile.flush()

    def do_POST(self):
        url = urllib.parse.urlsplit(self.path)
        number = dict(urllib.parse.parse_qsl(url.query)).get("id")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        p = processes.get(number)
        if url.path != "/message" or p is None:
            self.reply(404 if url.path == "/message" else 405, b"")
            return
        p.stdin.write(body.replace(b"\n", b" ") + b"\n")
        p.stdin.flush()
        self.reply(202, b"Accepted")

    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    s = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    s.daemon_threads = True
    s.serve_forever()
