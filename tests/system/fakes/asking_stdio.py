#!/usr/bin/python3
"""A stdio server of the legacy era that asks its client when a test says so.

    asking_stdio.py LOG

Tools: ask_later (answers with what its question was answered), hang, now
(answers; when the file "path" exists the question is asked, and when what came
before it was read at the other end there is the file "path.done").
"""
import json
import os
import sys
import threading
import time

LEGACY = "2025-11-25"
asking = []             # ids of calls that wait for an answer
paths = {}              # of pings
lock = threading.Lock()


def send(**message):
    with lock:
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()


def text(number, what):
    send(id=number, result={"content": [{"type": "text", "text": what}]})


def ask_when(path):
    while not os.path.exists(path):
        time.sleep(0.005)
    send(id="question", method="elicitation/create", params={
        "message": "who?", "requestedSchema": {
            "type": "object", "properties": {"name": {"type": "string"}}}})
    paths["after"] = path
    send(id="after", method="ping")


def call(number, name, arguments):
    if name == "ask_later":
        asking.append(number)
    elif name == "now":
        text(number, "as you say")
        threading.Thread(target=ask_when, args=(arguments["path"],),
                         daemon=True).start()


def request(number, method, params):
    if method == "initialize":
        send(id=number, result={
            "protocolVersion": LEGACY, "capabilities": {"tools": {}},
            "serverInfo": {"name": "asking", "version": "1"}})
    elif method == "tools/list":
        send(id=number, result={"tools": [
            {"name": n, "inputSchema": {"type": "object"}}
            for n in ("ask_later", "hang", "now")]})
    elif method == "tools/call":
        call(number, params["name"], params.get("arguments", {}))
    elif method == "ping":
        send(id=number, result={})
    else:
        send(id=number, error={"code": -32601, "message": "Method not found"})


for line in sys.stdin:
    m = json.loads(line)
    with open(sys.argv[1], "a", encoding="utf-8") as log:
        log.write(line)
    if "method" in m and "id" in m:
        request(m["id"], m["method"], m.get("params") or {})
    elif m.get("id") == "question":
        text(asking.pop(), json.dumps(m.get("result", m.get("error"))))
    elif m.get("id") == "after":
        with open(paths["after"] + ".done", "w", encoding="utf-8"):
            pass
