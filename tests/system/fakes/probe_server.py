"""A stdio MCP server that tries what it must not do: the tool "try" with
{"what": NAME, ...} answers what became of it. Run with "python3 -c TEXT", so
that no path is mentioned, and names no directory for temporary files itself.
"""
import ctypes
import errno
import json
import os
import socket
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)


def syscall(*numbers):
    if libc.syscall(*[ctypes.c_long(n) for n in numbers]) < 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"


def read(path):
    with open(path, "rb") as f:
        return len(f.read(100))


def write(path):
    with open(path, "w", encoding="ascii") as f:
        f.write("x")
    return "written"


def connect(port):
    with socket.create_connection(("127.0.0.1", port), 5):
        return "connected"


def connect_unix(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)
        return "connected"


def processes():
    return sorted(int(n) for n in os.listdir("/proc") if n.isdigit())


def descriptors():
    return sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1]


def survive(marker):
    """A daemon: forked twice, in a session of its own, deaf to the end."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in (0, 1, 2):
                os.close(fd)
            os.execv("/bin/sleep", ["sleep", marker])
        os._exit(0)
    os.wait()
    return "left behind"


def forks(most):
    """As many processes as it can have, and then as many as these can."""
    made = 0
    try:
        for _ in range(most):
            if os.fork() == 0:
                time.sleep(3600)
            made += 1
    except OSError as e:
        return f"{errno.errorcode[e.errno]} after {made}"
    return f"{made} made"


def bomb(children, megabytes):
    for _ in range(children):
        if os.fork() == 0:
            hoard = []
            while len(hoard) < megabytes:
                hoard.append(b"x" * (1 << 20))
            time.sleep(3600)
    time.sleep(3600)


TRIES = {
    "read": read, "write": write, "list": lambda path: len(os.listdir(path)),
    "connect": connect, "unix": connect_unix,
    "ptrace": lambda pid: syscall(101, 16, pid, 0, 0),
    "mount": lambda: syscall(165, 0, 0, 0, 0, 0),
    "keyctl": lambda: syscall(250, 0, 0), "unshare": lambda:
    syscall(272, 0x10000000), "kill": lambda pid: os.kill(pid, 0) or "seen",
    "processes": processes, "descriptors": descriptors,
    "environment": lambda: dict(os.environ), "survive": survive,
    "forks": forks, "bomb": bomb, "echo": lambda text: text,
    "allocate": lambda megabytes: len(bytearray(megabytes << 20)) >> 20,
    "stderr": lambda text: print(text, file=sys.stderr, flush=True) or "said",
    "exit": lambda status: os._exit(status),
}


def attempt(what, **arguments):
    try:
        return TRIES[what](**arguments)
    except OSError as e:
        return errno.errorcode.get(e.errno, str(e))
    except MemoryError:
        return "MemoryError"


def answer(message):
    method = message["method"]
    if method == "initialize":
        return {"protocolVersion": "2025-06-18",
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "probe", "version": "1"}}
    if method == "tools/list":
        return {"tools": [{"name": "try", "inputSchema": {"type": "object"}}]}
    if method == "tools/call":
        got = attempt(**message["params"]["arguments"])
        return {"content": [{"type": "text", "text": json.dumps(got)}]}
    return None


for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    result = answer(asked)
    reply = {"jsonrpc": "2.0", "id": asked["id"]}
    if result is None:
        reply["error"] = {"code": -32601, "message": "Method not found"}
    else:
        reply["result"] = result
    print(json.dumps(reply), flush=True)
