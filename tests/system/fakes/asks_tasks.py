#!/usr/bin/python3
"""A server of 2025-11-25 that asks its client for tasks: what its tools do, for
the HTTP server of m16_client_tasks.py, and as a stdio server.

    asks_tasks.py LOG
"""
import json
import sys

FORM = {"message": "who?", "requestedSchema": {
    "type": "object", "properties": {"name": {"type": "string"}}}}
TALK = {"messages": [{"role": "user", "content": {"type": "text",
                                                  "text": "hi"}}],
        "maxTokens": 5}
TTL = {"ttl": 60000}


def value(answer):
    return answer.get("result", answer.get("error"))


def polled(method, params):
    """Asks, polls until the task has ended, fetches what came of it."""
    created = yield method, {**params, "task": TTL}
    if "task" not in created.get("result", {}):
        return {"plain": value(created)}
    task, seen = created["result"]["task"], []
    name = {"taskId": task["taskId"]}
    while not seen or seen[-1] in ("working", "input_required"):
        seen.append(value((yield "tasks/get", name)).get("status"))
    return {"created": task, "seen": seen,
            "result": value((yield "tasks/result", name))}


def cancelled():
    created = yield "elicitation/create", {**FORM, "task": TTL}
    name = {"taskId": created["result"]["task"]["taskId"]}
    listed = yield "tasks/list", {}
    ended = yield "tasks/cancel", name
    return {"listed": value(listed), "ended": value(ended)}


def rude():
    """Asks for what was not declared."""
    got = {}
    for method, params in (("tasks/get", {"taskId": "x"}),
                           ("tasks/result", {"taskId": "x"}),
                           ("tasks/list", {}),
                           ("tasks/cancel", {"taskId": "x"})):
        got[method] = value((yield method, params)).get("code")
    got["plain"] = value((yield "elicitation/create", {
        **FORM, "task": TTL, "_meta": {"a": 1}}))
    return got


TOOLS = {"form": lambda: polled("elicitation/create", FORM),
         "talk": lambda: polled("sampling/createMessage", TALK),
         "cancelled": cancelled, "rude": rude}


def play(tool, ask):
    """Runs a tool; ask(method, params) gives the client's answer."""
    script, answer = TOOLS[tool](), None
    try:
        while True:
            answer = ask(*script.send(answer))
    except StopIteration as end:
        return end.value


def main():
    def send(**message):
        sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        sys.stdout.flush()

    def receive():
        line = sys.stdin.readline()
        if not line:
            sys.exit(0)
        with open(sys.argv[1], "a", encoding="utf-8") as log:
            log.write(line)
        return json.loads(line)

    def ask(method, params):
        number[0] += 1
        name = f"q{number[0]}"
        send(id=name, method=method, params=params)
        while True:
            m = receive()
            if m.get("id") == name and "method" not in m:
                return m

    number = [0]
    while True:
        m = receive()
        method = m.get("method")
        if method is None or "id" not in m:
            continue
        if method == "initialize":
            send(id=m["id"], result={
                "protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "asks", "version": "1"}})
        elif method == "tools/list":
            send(id=m["id"], result={"tools": [
                {"name": n, "inputSchema": {"type": "object"}}
                for n in TOOLS]})
        elif method == "tools/call":
            send(id=m["id"], result={"content": [{
                "type": "text",
                "text": json.dumps(play(m["params"]["name"], ask))}]})
        elif method == "ping":
            send(id=m["id"], result={})
        else:
            send(id=m["id"], error={"code": -32601, "message": "unknown"})


if __name__ == "__main__":
    main()
