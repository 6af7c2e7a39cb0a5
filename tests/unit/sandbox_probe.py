#!/usr/bin/env python3
"""Tries what a stdio server may and may not do: sandbox_probe.py JSON, where
JSON is a list of [action, argument...]. Prints a JSON list of results: "ok",
or the name of the errno. Standard library only. The test runs it from the
command line, so that it does not depend on a path; it names no directory for
temporary files, which would then not be private.
"""
import ctypes
import errno
import json
import os
import socket
import sys
import tempfile
import time

libc = ctypes.CDLL(None, use_errno=True)


def syscall(*numbers):
    if libc.syscall(*[ctypes.c_long(n) for n in numbers]) < 0:
        raise OSError(ctypes.get_errno(), "")


def write(path):
    with open(path, "w", encoding="ascii") as f:
        f.write("x")


def temporary():
    with tempfile.TemporaryFile() as f:
        f.write(b"x")


def connect(port):
    with socket.create_connection(("127.0.0.1", port), 5):
        pass


def connect_unix(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(path)


def listen():
    with socket.socket() as s, socket.socket() as c:
        s.bind(("127.0.0.1", 0))
        s.listen()
        c.connect(s.getsockname())


def status(name):
    with open("/proc/self/status", encoding="ascii") as f:
        for line in f:
            if line.startswith(name + ":"):
                return line.split()[1]
    return None


def grandchild():
    pid = os.fork()
    if pid == 0:
        os.setsid()
        while True:
            time.sleep(3600)
    return pid


def forks(most):
    """As many processes as it can have; all sleep."""
    n = 0
    try:
        while n < most:
            if os.fork() == 0:
                time.sleep(3600)
            n += 1
    except OSError as e:
        return [errno.errorcode[e.errno], n > most // 10]
    return n


def allocate(megabytes):
    try:
        return len(bytearray(megabytes << 20)) >> 20
    except MemoryError:
        return "MemoryError"


def descriptors():
    return sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1]


ACTIONS = {
    "write": write, "temporary": temporary, "connect": connect,
    "listen": listen, "status": status, "grandchild": grandchild,
    "mkdir": os.mkdir, "list": lambda p: len(os.listdir(p)),
    "read": lambda p: len(open(p, "rb").read()),
    "pid": os.getpid, "kill": lambda p: os.kill(p, 0),
    "others": lambda: [p for p in os.listdir("/proc") if p.isdigit() and
                       int(p) not in (1, os.getpid())],
    "socket": lambda family: socket.socket(family, socket.SOCK_DGRAM).close(),
    "syscall": syscall, "thread": lambda: __import__("threading").Thread(
        target=int).start(),
    "exit": os._exit, "signal": lambda n: os.kill(os.getpid(), n),
    "wait": lambda: len(sys.stdin.read()),
    "unix": connect_unix, "forks": forks, "allocate": allocate,
    "descriptors": descriptors, "env": os.environ.get,
}


def attempt(action, *arguments):
    try:
        got = ACTIONS[action](*arguments)
        return "ok" if got is None else got
    except OSError as e:
        return errno.errorcode.get(e.errno, e.errno)


print(json.dumps([attempt(*a) for a in json.loads(sys.argv[1])]), flush=True)
