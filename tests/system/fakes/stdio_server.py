#!/usr/bin/python3
"""A small stdio MCP server that can misbehave, for the tests of stdiod.

    stdio_server.py [log file]

Tools: echo, crash (exits in the middle of an answer), hang, garbage (a line
that is no JSON, then the answer), wrong_id, deaf (ignores SIGTERM from now
on), grandchild (leaves a child behind), pid, environment.
"""
import json
import os
import signal
import subprocess
import sys
import time

TOOLS = ("echo", "crash", "hang", "garbage", "wrong_id", "deaf", "grandchild",
         "pid", "environment")


def send(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def text(message, what):
    send({"jsonrpc": "2.0", "id": message["id"],
          "result": {"content": [{"type": "text", "text": what}]}})


def call(message):
    name = message["params"]["name"]
    arguments = message["params"].get("arguments", {})
    if name == "crash":
        sys.stdout.write('{"jsonrpc":"2.0","id":')
        sys.stdout.flush()
        os._exit(3)
    elif name == "hang":
        pass
    elif name == "garbage":
        sys.stdout.write("Server listening, have fun!\n")
        text(message, "after garbage")
    elif name == "wrong_id":
        text({"id": 123456789}, "POISON")
    elif name == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        text(message, "deaf now")
    elif name == "grandchild":
        child = subprocess.Popen(["sleep", "1000"])
        text(message, str(child.pid))
    elif name == "pid":
        text(message, str(os.getpid()))
    elif name == "environment":
        text(message, json.dumps(dict(os.environ)))
    else:
        text(message, arguments.get("message", ""))


def main():
    for line in sys.stdin:
        message = json.loads(line)
        if len(sys.argv) > 1:
            with open(sys.argv[1], "a", encoding="utf-8") as log:
                log.write(line)
        method = message.get("method")
        if "id" not in message:
            continue
        if method == "initialize":
            send({"jsonrpc": "2.0", "id": message["id"], "result": {
                "protocolVersion": message["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "stdio-fake", "version": "1"}}})
        elif method == "tools/list":
            send({"jsonrpc": "2.0", "id": message["id"], "result": {"tools": [
                {"name": t, "inputSchema": {"type": "object"}}
                for t in TOOLS]}})
        elif method == "tools/call":
            call(message)
        elif method == "ping":
            send({"jsonrpc": "2.0", "id": message["id"], "result": {}})
        else:
            send({"jsonrpc": "2.0", "id": message["id"], "error": {
                "code": -32601, "message": "Method not found"}})
    if signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
        time.sleep(1000)


main()
