#!/usr/bin/env python3
"""A scripted stdio MCP server for test_stdiod: usage: stdio_server.py MODE.

What it does is named by the method of each request; MODE changes how it
starts and whether it reads and ends as it should. Standard library only.
"""
import json
import os
import resource
import signal
import sys
import threading
import time

MODE = sys.argv[1] if len(sys.argv) > 1 else "plain"
LEGACY = "2025-11-25"
MODERN = "2026-07-28"
lock = threading.Lock()
notes = []              # methods of the notifications that came
asked = []              # answers to our own requests
held = []               # ids whose answers wait
later_asked = []        # ids of calls that ask when they are told to
got = []                # what that was answered
declared = []           # capabilities of who initialized us
levels = []             # of logging/setLevel


def put_text(text):
    data = text.encode()
    with lock:
        while data:
            data = data[os.write(1, data):]


def put(message):
    put_text(json.dumps(message) + "\n")


def answer(ident, result):
    put({"jsonrpc": "2.0", "id": ident, "result": result})


def status_of_self():
    with open("/proc/self/status") as f:
        pairs = (line.split(":", 1) for line in f)
        return {k: v.strip() for k, v in pairs}


def describe():
    fds = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            fds[fd] = os.readlink("/proc/self/fd/" + fd).split(":")[0]
        except OSError:
            pass                    # the one that listed the directory
    status = status_of_self()
    with open("/proc/self/environ", "rb") as f:
        env = sorted(f.read().decode().rstrip("\0").split("\0"))
    with open("/proc/self/oom_score_adj") as f:
        oom = int(f.read())
    return {
        "env": env, "fds": sorted(fds), "cwd": os.getcwd(), "oom": oom,
        "leads_session": os.getsid(0) == os.getpgrp(), "pid": os.getpid(),
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "memory": resource.getrlimit(resource.RLIMIT_DATA)[0],
        "no_new_privs": status["NoNewPrivs"], "blocked": status["SigBlk"],
        "ignored": status["SigIgn"],
    }


def grandchild(own_session):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        if own_session:
            os.setsid()
        else:
            os.setpgid(0, 0)        # out of the group, not of the session
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        child = os.fork()
        os.write(writer, b"x")
        while True:
            time.sleep(3600 if child else 3601)
    os.read(reader, 1)
    return pid


def hog(children, megabytes, shared):
    """Children that have so much, each its own or all the same."""
    hoard = [b"x" * (megabytes << 20)] if shared else []
    for _ in range(children):
        if os.fork() == 0:
            if not shared:
                hoard = [b"x" * (megabytes << 20)]
            time.sleep(3600 + len(hoard))


def progress(ident):
    put({"jsonrpc": "2.0", "method": "notifications/progress",
         "params": {"progressToken": ident, "progress": 1, "total": 2}})
    put({"jsonrpc": "2.0", "method": "notifications/progress",
         "params": {"progressToken": ident + 1, "progress": 1}})
    put({"jsonrpc": "2.0", "method": "notifications/message",
         "params": {"level": "info", "data": "for the only call"}})
    put({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"})


def garbage():
    put_text("this is not JSON\n\n   \r\n{\"a\":\n[]\n17\n\x01\x02\n"
             "{\"jsonrpc\":\"2.0\"}\n"
             "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{}}\n")


def ask():
    put({"jsonrpc": "2.0", "id": "p-1", "method": "ping"})
    put({"jsonrpc": "2.0", "id": 7, "method": "roots/list"})
    put({"jsonrpc": "2.0", "id": 8, "method": "sampling/createMessage",
         "params": {}})


def later(ident, ms):
    time.sleep(ms / 1000)
    answer(ident, "late")


def call(method, ident, params):
    if method == "echo":
        answer(ident, params)
    elif method == "logging/setLevel":
        levels.append(params["level"])
        answer(ident, {})
    elif method == "who":
        answer(ident, [os.getpid(), declared, levels])
    elif method == "slow":
        threading.Thread(target=later, args=(ident, params["ms"]),
                         daemon=True).start()
    elif method == "hold":          # answers all when there are n, backwards
        held.append(ident)
        if len(held) == params["n"]:
            while held:
                last = held.pop()
                answer(last, last)
    elif method == "never":
        pass
    elif method == "wrong_id":
        answer(ident + 1, "stolen")
        answer(str(ident), "a string")
        answer(params.get("victim", 1), "stolen")
        answer(ident, "right")
    elif method == "duplicate":
        put_text('{"jsonrpc":"2.0","id":%d,"id":1,"result":"bad"}\n' % ident)
        answer(ident, "right")
        answer(ident, "again")
    elif method == "garbage":
        garbage()
        answer(ident, "fine")
    elif method == "batch":
        put([{"jsonrpc": "2.0", "method": "notifications/message",
              "params": {"data": "in a batch"}},
             {"jsonrpc": "2.0", "id": ident, "result": "batch"}])
    elif method == "progress":
        progress(ident)
        answer(ident, "done")
    elif method == "ask":
        held.append(ident)
        ask()
    elif method == "ask_later":
        later_asked.append(ident)
        got.clear()
    elif method == "got":
        answer(ident, got[0] if got else None)
    elif method == "notes":
        answer(ident, notes)
    elif method == "describe":
        answer(ident, describe())
    elif method == "big":
        answer(ident, "x" * params["n"])
    elif method == "no_line_end":
        put_text("x" * params["n"])
    elif method == "questions":
        put_text("[" + ",".join(
            ['{"jsonrpc":"2.0","id":1,"method":"ping"}'] * params["n"]) + "]\n")
        answer(ident, "asked")
    elif method == "flood":
        line = ("E" * 60 + "\x1b[31m\0\n").encode()
        for _ in range(params["n"] // 100):
            os.write(2, line * 100)
        answer(ident, "dry")
    elif method == "grandchild":
        answer(ident, grandchild(params["own_session"]))
    elif method == "hog":
        hog(params["children"], params["megabytes"],
            params.get("shared", False))
        if params.get("shared"):
            answer(ident, "shared")
    elif method == "close_output":
        os.close(1)
    elif method == "die":
        os._exit(3)
    elif method == "answer_and_die":
        answer(ident, "last words")
        os._exit(0)
    else:
        put({"jsonrpc": "2.0", "id": ident,
             "error": {"code": -32601, "message": "Method not found"}})


def refuse(ident, text):
    put({"jsonrpc": "2.0", "id": ident,
         "error": {"code": -32600, "message": text}})


def begin(method, ident, params):
    """The handshake. True if the request was part of it."""
    if method == "initialize":
        if MODE in ("modern", "refuses"):
            refuse(ident, "initialize is not known here")
        elif MODE == "future":
            answer(ident, {"protocolVersion": MODERN})
        elif MODE != "mute":
            assert params["protocolVersion"] == LEGACY, params
            declared.append(params["capabilities"])
            answer(ident, {"protocolVersion": LEGACY, "capabilities":
                           {"logging": {}} if MODE == "logs" else {},
                           "serverInfo": {"name": MODE, "version": "1"}})
            if MODE == "early":     # asks before there is any call
                put({"jsonrpc": "2.0", "id": "e-1", "method": "roots/list"})
        return True
    if method == "server/discover":
        if MODE == "refuses":
            refuse(ident, "go\naway")
            return True
        if MODE == "mute":
            return True
        if MODE == "fragile":       # some exit before initialize
            sys.exit(1)
        if MODE not in ("modern", "future"):
            refuse(ident, "server/discover is not known here")
            return True
        meta = params["_meta"]
        key = "io.modelcontextprotocol/"
        assert meta[key + "protocolVersion"] == MODERN, meta
        assert meta[key + "clientCapabilities"] == {}, meta
        answer(ident, {"supportedVersions": [MODERN], "capabilities": {},
                       "resultType": "complete"})
        return True
    return False


def handle(message):
    method = message.get("method")
    if method == "notifications/now":
        put({"jsonrpc": "2.0", "id": 9, "method": "elicitation/create",
             "params": {}})
    elif method == "notifications/withdraw":
        put({"jsonrpc": "2.0", "method": "notifications/cancelled",
             "params": {"requestId": 9}})
        answer(later_asked.pop(), "without it")
    elif method is None and message["id"] == 9:
        got.append(message)
        answer(later_asked.pop(), message)
    elif method is None:
        asked.append(message)
        if len(asked) == 3 and held:
            answer(held.pop(), asked)
    elif "id" not in message:
        notes.append([method, message.get("params")])
    elif not begin(method, message["id"], message.get("params") or {}):
        call(method, message["id"], message.get("params") or {})


def main():
    if MODE == "dies":
        sys.stderr.write("cannot start: no database\n")
        sys.stderr.flush()
        os._exit(5)
    if MODE == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stdin = os.fdopen(0, "rb", buffering=0, closefd=False)
    data = b""
    while True:
        if MODE == "deaf" and notes:
            signal.pause()          # has the handshake, reads no more
        more = stdin.read(65536)
        if not more:
            break
        data += more
        if b"\n" not in more:
            continue
        lines = data.split(b"\n")
        data = lines.pop()
        for line in lines:
            handle(json.loads(line))
    while MODE == "stubborn":
        time.sleep(3600)


main()
