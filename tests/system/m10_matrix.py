"""Every client with every server, for all that MCP can do: one line a cell.

What fails through omni2 is tried by the same client at the server directly:
what fails there as well is the client's or the server's own (skip, with that
reason), what works there is a failure of omni2."""
import concurrent.futures
import json
import os
import subprocess

from harness import check, free_port, wait_for
from servers import (everything_http, everything_sse, everything_stdio,
                     http_server)

LIMIT_S = 1200
CLIENTS = ("sdk1", "sdk2-legacy", "sdk2-modern", "python", "inspector",
           "mcp-remote")
OPERATIONS = ("list", "call", "progress", "cancel", "elicitation", "sampling",
              "subscribe")
AT_ONCE = 3

EVERYTHING = {
    "list": {"tools": ["echo", "get-sum"]},
    "call": {"tool": "echo", "arguments": {"message": "hello"},
             "text": "Echo: hello"},
    "progress": {"tool": "trigger-long-running-operation",
                 "arguments": {"duration": 1, "steps": 4}},
    "cancel": {"tool": "trigger-long-running-operation",
               "arguments": {"duration": 20, "steps": 40}},
    "elicitation": {"tool": "trigger-elicitation-request"},
    "sampling": {"tool": "trigger-sampling-request",
                 "arguments": {"prompt": "say", "maxTokens": 10}},
    "subscribe": {"uri": "demo://resource/dynamic/text/1",
                  "tool": "toggle-subscriber-updates"}}
REFERENCE = {
    "list": {"tools": ["echo", "add"]},
    "call": {"tool": "echo", "arguments": {"message": "hello"},
             "text": "hello"},
    "progress": {"tool": "slow", "arguments": {"ms": 500}},
    "cancel": {"tool": "slow", "arguments": {"ms": 20000}},
    "elicitation": {"tool": "test_elicitation",
                    "arguments": {"message": "who?"}},
    "sampling": {"tool": "test_sampling", "arguments": {"prompt": "say"}},
    "subscribe": {"uri": "test://watched-resource"}}
FASTMCP = {
    "list": {"tools": ["echo", "slow"]},
    "call": {"tool": "echo", "arguments": {"message": "hello"},
             "text": "hello"},
    "progress": {"tool": "slow", "arguments": {"ms": 500}},
    "cancel": {"tool": "slow", "arguments": {"ms": 20000}},
    "elicitation": {"tool": "ask"},
    "sampling": {"tool": "sample"},
    "subscribe": {"uri": "doc://a"}}


class Server:
    """How omni2 is told of it, and how a client reaches it directly."""

    def __init__(self, entry, what):
        self.name, self.entry, self.what = entry["name"], entry, what
        if "command" in entry:
            self.direct = ("stdio", json.dumps([entry["command"],
                                                *entry["args"]]))
        else:
            self.direct = ("sse" if entry["protocol"] == "sse" else "http",
                           entry["url"])


def reference_of(env, name, **variables):
    """As servers.reference(), with updates and of one era."""
    port = free_port()
    env.helper([env.node, os.path.join(env.conformance,
                                       "reference-server.mjs")],
               port, PORT=port, TICK_MS=300, NODE_MODULES_DIR=os.path.join(
                   env.cache, "conformance", "node_modules"), **variables)
    return http_server(name, f"http://127.0.0.1:{port}/mcp")


class Setting:
    def __init__(self, env):
        self.env = env
        port = free_port()
        env.helper([env.python, os.path.join(env.fakes, "fastmcp_matrix.py"),
                    str(port)], port)
        self.servers = [
            Server(everything_stdio(env, "everything-stdio"), EVERYTHING),
            Server(everything_http(env, "everything-http"), EVERYTHING),
            Server(everything_sse(env, "everything-sse"), EVERYTHING),
            Server(http_server("fastmcp", f"http://127.0.0.1:{port}/mcp"),
                   FASTMCP),
            Server(reference_of(env, "reference-modern"), REFERENCE),
            Server(reference_of(env, "reference-legacy", ERA="legacy"),
                   REFERENCE)]
        self.g = env.gateway({
            "mcps": [s.entry for s in self.servers],
            "stdio": {"max_processes": 32},
            "users": [{"email": "ann@example.com", "role": "power_user",
                       "allowed_mcps": "*",
                       "rate_limit": {"requests_per_hour": 0}}]})
        self.key = self.g.key("ann@example.com")
        c = self.g.client("ann@example.com").initialize()
        for s in self.servers:
            wait_for(lambda n=s.name + "__echo": n in c.names(), 40, s.name)

    def through(self, s):
        return "http", f"http://127.0.0.1:{self.g.port}/servers/{s.name}/mcp"

    def run(self, client, transport, target, what, key):
        """{operation: None or what went wrong}"""
        if client == "inspector":
            return {op: self.inspect(op, transport, target, what[op], key)
                    for op in what}
        if client == "mcp-remote" and transport == "stdio":
            return {op: "mcp-remote speaks to URLs only" for op in what}
        if client == "python":
            args = [self.env.python, os.path.join(self.env.fakes, "matrix.py")]
        else:
            args = [self.env.node, os.path.join(self.env.fakes, "matrix.mjs"),
                    client]
        done = self.start([*args, transport, target], what, key)
        try:
            return json.loads(done.stdout.strip().splitlines()[-1])
        except (ValueError, IndexError):
            return {op: f"the client died: {done.stderr[-300:]}" for op in what}

    def start(self, args, what, key):
        try:
            return subprocess.run(
                args, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=240, check=False, cwd=self.env.dir,
                env=self.env.clean_environment(
                    NODE_MODULES_DIR=self.env.npm, KEY=key,
                    WHAT=json.dumps(what)))
        except subprocess.TimeoutExpired as e:
            return subprocess.CompletedProcess(args, 1, "", f"{e}")

    def inspect(self, op, transport, target, w, key):
        """The inspector's command line: one process an operation."""
        args = [self.env.node, os.path.join(
            self.env.npm, ".bin", "mcp-inspector"), "--cli"]
        if transport == "stdio":
            args += [*json.loads(target), "--stdio"]
        else:
            args += ["--server-url", target, "--transport", transport]
        if key:
            args += ["--header", f"Authorization: Bearer {key}"]
        if op == "list":
            args += ["--method", "tools/list"]
        elif op == "subscribe":
            args += ["--method", "resources/subscribe", "--uri", w["uri"]]
        elif op == "cancel":
            return "the command line has no way to cancel a call"
        else:
            args += ["--method", "tools/call", "--tool-name", w["tool"]]
            pairs = [f"{k}={v}" for k, v in w.get("arguments", {}).items()]
            args += ["--tool-arg", *pairs] if pairs else []
        done = self.start([*args, "--format", "json"], {}, key)
        if done.returncode:
            return (done.stderr or done.stdout).strip()[-300:] or "failed"
        return self.judge_inspection(op, w, done.stdout)

    @staticmethod
    def judge_inspection(op, w, out):
        wanted = {"list": w.get("tools", []), "call": [w.get("text", "")],
                  "sampling": ["a sampled answer"]}.get(op, [])
        for part in wanted:
            if part not in out:
                return f"{part!r} is not in: {out[:200]}"
        if op in ("progress", "elicitation", "subscribe"):
            return f"the command line shows no {op}"
        return None


def setup(env):
    check(os.path.exists(os.path.join(env.npm, ".bin", "mcp-remote")),
          "mcp-remote is not installed")
    return Setting(env)


def row(it, client, s):
    """[(operation, word, reason)]"""
    got = it.run(client, *it.through(s), s.what, it.key)
    bad = {op: s.what[op] for op in OPERATIONS if got.get(op, "?") is not None}
    if bad and "call" not in bad:
        bad["call"] = s.what["call"]
    direct = it.run(client, *s.direct, bad, "") if bad else {}
    out = []
    for op in OPERATIONS:
        if got.get(op, "?") is None:
            out.append((op, "ok", ""))
        elif direct.get(op, "?") is not None:
            out.append((op, "skip", f"directly: {direct.get(op)}"))
        else:
            out.append((op, "not ok", f"{got.get(op)} (directly it works)"))
    return out


def test_all(_env, it):
    cells = [(c, s) for s in it.servers for c in CLIENTS]
    failed, ok = [], 0
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        rows = pool.map(lambda cell: row(it, *cell), cells)
        for (client, s), results in zip(cells, rows):
            for op, word, why in results:
                why = " ".join(str(why).split())[:160]
                print(f"   | {word:6} {client:11} {s.name:16} {op:11} {why}",
                      flush=True)
                ok += word == "ok"
                if word == "not ok":
                    failed.append(f"{client} {s.name} {op}: {why}")
    n = len(cells) * len(OPERATIONS)
    print(f"   | {n} cells, {ok} ok, {len(failed)} not ok, "
          f"{n - ok - len(failed)} skipped", flush=True)
    check(not failed, "\n".join(failed))
