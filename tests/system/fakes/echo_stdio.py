"""A stdio server that repeats the arguments of a call in structuredContent and
answers in any order: what waits is shuffled whenever nothing more is there."""
import json
import os
import random
import select
import sys

waiting = []
buffer = b""


def result(m):
    if m["method"] == "initialize":
        return {"protocolVersion": m["params"]["protocolVersion"],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "echo", "version": "1"}}
    if m["method"] == "tools/list":
        return {"tools": [{"name": "echo", "inputSchema": {"type": "object"}}]}
    if m["method"] == "tools/call":
        return {"content": [], "structuredContent": m["params"]["arguments"]}
    return None


def send(m):
    r = result(m)
    out = {"jsonrpc": "2.0", "id": m["id"]}
    if r is None:
        out["error"] = {"code": -32601, "message": "no such method"}
    else:
        out["result"] = r
    return json.dumps(out, separators=(",", ":")) + "\n"


while True:
    if not select.select([0], [], [], 0)[0] and waiting:
        random.shuffle(waiting)
        sys.stdout.write("".join(map(send, waiting)))
        sys.stdout.flush()
        waiting.clear()
    part = os.read(0, 65536)
    if not part:
        break
    *lines, buffer = (buffer + part).split(b"\n")
    waiting += [m for m in map(json.loads, filter(None, lines)) if "id" in m]
