"""What the system tests stand on: a private PostgreSQL cluster, omni2d as an
unprivileged user, clients, and checks that nothing is left behind.

Standard library only. Nothing here sleeps for a fixed time: wait_for() looks
until something is so. A test that fails leaves its directory in place.
"""
import contextlib
import http.client
import json
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.path.dirname(os.path.dirname(HERE))
LEGACY = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
MODERN = "2026-07-28"
META = "io.modelcontextprotocol/"


class Skip(Exception):
    """What this test needs is not here."""


def check(condition, what):
    if not condition:
        raise AssertionError(what() if callable(what) else what)


def same(got, want, what="value"):
    if got != want:
        raise AssertionError(f"{what}: got {got!r}, want {want!r}")


def wait_for(look, seconds=10.0, what="condition", every=0.02):
    """Looks until look() gives something true, and returns that."""
    end = time.monotonic() + seconds
    while True:
        got = look()
        if got:
            return got
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(every)


def works(look):
    """look(), or nothing while the other side is being disturbed."""
    try:
        return look()
    except (OSError, http.client.HTTPException, AssertionError):
        return None


def free_port():
    """A port below the ephemeral range that nobody uses."""
    while True:
        port = random.randrange(20000, 32000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue


def is_open(port):
    with socket.socket() as s:
        s.settimeout(1)
        return s.connect_ex(("127.0.0.1", port)) == 0


# Processes, from /proc

def stat_of(pid):
    """(parent, start time, state, CPU ticks) or None."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as f:
            rest = f.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return (int(rest[1]), int(rest[19]), rest[0].decode(),
            int(rest[11]) + int(rest[12]))


def processes():
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            s = stat_of(name)
            if s:
                found[int(name)] = s
    return found


def descendants(root):
    """{pid: start time} of root and all below it, zombies left out."""
    everyone = processes()
    tree = {root} if root in everyone else set()
    grown = True
    while grown:
        more = {p for p, s in everyone.items() if s[0] in tree} - tree
        grown = bool(more)
        tree |= more
    return {p: everyone[p][1] for p in tree if everyone[p][2] != "Z"}


def still_alive(recorded):
    alive = []
    for pid, start in recorded.items():
        s = stat_of(pid)
        if s and s[1] == start and s[2] != "Z":
            alive.append(pid)
    return alive


def title_of(pid):
    for name in ("cmdline", "comm"):
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/{name}", "rb") as f:
                text = f.read().replace(b"\0", b" ").strip()
            if text:
                return text.decode("utf-8", "replace")
    return ""


def memory_of(pids):
    """Proportional set size of these processes, in bytes."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                for line in f:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
    return total


class Env:
    """One run: where things are, who servers run as, the shared cluster."""

    def __init__(self, prefix, build, cache, user, node, quick=False):
        self.prefix, self.build, self.cache = prefix, build, cache
        self.user, self.node, self.quick = user, node, quick
        self.npm = os.path.join(cache, "system", "node_modules")
        self.python = os.path.join(cache, "venv", "bin", "python3")
        self.omni2d = os.path.join(prefix, "sbin", "omni2d")
        self.omni2ctl = os.path.join(prefix, "bin", "omni2ctl")
        self.is_root = os.geteuid() == 0
        self.uid = pwd.getpwnam(user).pw_uid
        self.gid = pwd.getpwnam(user).pw_gid
        self.dir = tempfile.mkdtemp(prefix="omni2-test-")
        os.chmod(self.dir, 0o755)
        self.n = 0
        self.gateways, self.helpers = [], []
        self.pg = Postgres(self, self.make_dir("pg"))
        # The tree itself may be closed to the user that servers run as.
        self.upstream = os.path.join(self.dir, "upstream")
        shutil.copy(os.path.join(build, "tests", "perf", "upstream"),
                    self.upstream)
        self.fakes = os.path.join(self.dir, "fakes")
        shutil.copytree(os.path.join(HERE, "fakes"), self.fakes)
        self.conformance = os.path.join(self.dir, "conformance")
        shutil.copytree(os.path.join(SOURCE, "tests", "conformance"),
                        self.conformance)

    def make_dir(self, *names, mode=0o700):
        """A directory below the run's own that servers may write to."""
        path = os.path.join(self.dir, *names)
        os.makedirs(path, mode=mode, exist_ok=True)
        os.chmod(path, mode)
        if self.is_root:
            os.chown(path, self.uid, self.gid)
        return path

    def as_user(self):
        """Arguments for subprocess that give up root."""
        if not self.is_root:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def clean_environment(self, **more):
        env = {"PATH": os.path.dirname(self.node) + ":/usr/sbin:/usr/bin:/sbin:/bin",
               "HOME": self.dir, "LANG": "C.UTF-8"}
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS"):
            if name in os.environ:
                env[name] = os.environ[name]
        env.update({k: str(v) for k, v in more.items()})
        return env

    def gateway(self, config=None, **kw):
        g = Gateway(self, config or {}, **kw)
        self.gateways.append(g)
        return g

    def helper(self, args, port=None, log=None, **env):
        """Starts a program that tests talk to; waits until port is open."""
        h = Helper(self, args, port, log, env)
        self.helpers.append(h)
        return h

    def c_upstream(self, *options):
        """The measuring server of tests/perf; .count() says what arrived."""
        return CUpstream(self, options)

    def stop_helpers(self):
        for h in reversed(self.helpers):
            h.stop()
        self.helpers.clear()

    def close(self, keep):
        self.pg.stop("immediate")
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)


class Postgres:
    """The cluster of this run; packaging/lib.sh knows how."""

    def __init__(self, env, path):
        self.env, self.dir, self.started = env, path, False

    def _lib(self, command, check_status=True):
        script = f'. "{SOURCE}/packaging/lib.sh"; {command}'
        done = subprocess.run(
            ["bash", "-c", script, "lib"], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            check=False, cwd="/")
        if check_status and done.returncode:
            raise AssertionError(f"{command}: {done.stdout}")

    def start(self):
        self._lib(f"pg_start {self.dir} {self.env.user} '-c fsync=off'")
        self.started = True

    def stop(self, mode="fast"):
        if self.started:
            self._lib(f"pg_stop {self.dir} {self.env.user} {mode}", False)
            self.started = False

    def wait_up(self):
        """Until it takes connections again after a crash of a backend."""
        wait_for(lambda: works(lambda: self.query("SELECT 1")), 30,
                 "PostgreSQL has recovered", every=0.2)

    def pid(self):
        with open(f"{self.dir}/data/postmaster.pid", encoding="ascii") as f:
            return int(f.readline())

    def url(self, database):
        return f"host={self.dir} user=omni2 dbname={database}"

    def query(self, sql, database="postgres"):
        """Rows as lists of strings."""
        done = subprocess.run(
            ["psql", "-XqAt", "-F", "\x1f", "-v", "ON_ERROR_STOP=1",
             "-d", self.url(database), "-c", sql],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, cwd="/", **self.env.as_user())
        if done.returncode:
            raise AssertionError(f"{sql}: {done.stderr}")
        return [line.split("\x1f") for line in done.stdout.splitlines()]

    def scalar(self, sql, database="postgres"):
        return self.query(sql, database)[0][0]


class Helper:
    """A program beside omni2d: an upstream, a client."""

    def __init__(self, env, args, port, log, variables):
        env.n += 1
        self.port = port
        self.log = log or os.path.join(env.dir, f"helper{env.n}.log")
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen(
                args, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, cwd=env.dir,
                env=env.clean_environment(**variables),
                start_new_session=True, **env.as_user())
        if port:
            wait_for(lambda: is_open(port) or self.process.poll() is not None,
                     40, f"{args[0]} on port {port}")
            check(self.process.poll() is None,
                  lambda: f"{args} ended: {self.text()}")

    def text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        for sig in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, sig)
            try:
                self.process.wait(3)
                return
            except subprocess.TimeoutExpired:
                continue


class CUpstream:
    def __init__(self, env, options):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.helper = env.helper(
            [env.upstream, "-p", str(self.port), *map(str, options)], self.port)

    def count(self):
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        c.request("GET", "/count")
        return json.loads(c.getresponse().read())

    def stop(self):
        self.helper.stop()


DEFAULTS = {
    "server": {"workers": {"min_spare": 4, "max_spare": 8, "max": 32}},
    "auth": {"token_secret": "a secret of the tests, longer than 32 bytes"},
    "mcp": {"health_interval": "2s"},
    "log": {"level": "info"},
}


def merged(base, over):
    out = dict(base)
    for k, v in over.items():
        out[k] = merged(out[k], v) if isinstance(v, dict) and \
            isinstance(out.get(k), dict) else v
    return out


class Gateway:
    """An omni2d with its own directory, port and database."""

    def __init__(self, env, config, database=True, start=True, connections=0):
        env.n += 1
        self.env, self.name = env, f"g{env.n}"
        self.dir = env.make_dir(self.name, mode=0o755)
        self.run_dir = env.make_dir(self.name, "run")
        self.state_dir = env.make_dir(self.name, "state")
        self.conf = os.path.join(self.dir, "omni2.yaml")
        self.log = os.path.join(self.dir, "omni2d.log")
        self.port = free_port()
        self.database = f"omni2_{self.name}"
        self.process, self.seen, self.keys = None, {}, {}
        self.may_have_bugs = False
        self.config = merged(merged(DEFAULTS, {
            "server": {"listen": [f"127.0.0.1:{self.port}"],
                       "run_dir": self.run_dir, "state_dir": self.state_dir},
            "database": {"url": env.pg.url(self.database)}}), config)
        if connections:
            self.config["server"]["connections"] = connections
        self.write_config()
        if database:
            env.pg.query(f"CREATE DATABASE {self.database}")
            self.ctl("db", "init")
        if start:
            self.start()

    def write_config(self, text=None):
        """JSON is YAML, so the dictionary is the file."""
        temporary = self.conf + ".new"
        with open(temporary, "w", encoding="utf-8") as f:
            f.write(text if text is not None
                    else json.dumps(self.config, indent=1))
        os.chmod(temporary, 0o640)
        if self.env.is_root:
            os.chown(temporary, self.env.uid, self.env.gid)
        os.rename(temporary, self.conf)

    # life and death

    def start(self, ready=True, prefix=(), **variables):
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                [*prefix, self.env.omni2d, "-f", "-c", self.conf],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/",
                env=self.env.clean_environment(**variables),
                start_new_session=True, **self.env.as_user())
        if ready:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=20):
        wait_for(lambda: self.health("/health/ready") == 200 or self.is_dead(),
                 seconds, f"{self.name} is ready")
        check(not self.is_dead(), lambda: "omni2d ended:\n" + self.log_tail())

    def is_dead(self):
        return self.process.poll() is not None

    @property
    def pid(self):
        return self.process.pid

    def children(self):
        """{pid: start time} of everything below the master."""
        tree = descendants(self.pid)
        tree.pop(self.pid, None)
        self.seen.update(tree)
        return tree

    def roles(self):
        """{role: [pid]} as the control program tells them."""
        found = {}
        for row in self.ctl_json("status")["processes"]:
            found.setdefault(row["role"], []).append(int(row["pid"]))
        return found

    def pids(self, role):
        """As roles(), from the names of the processes: quick."""
        found = []
        for pid, s in processes().items():
            if s[0] == self.pid and s[2] != "Z":
                with contextlib.suppress(OSError):
                    with open(f"/proc/{pid}/comm", encoding="ascii") as f:
                        if f.read().strip() == f"omni2:{role}":
                            found.append(pid)
        return found

    def health(self, path="/health/ready"):
        try:
            return http_get(self.port, path)[0]
        except OSError:
            return 0

    def metrics(self):
        """{name{labels}: value}"""
        status, _, body = http_get(self.port, "/metrics")
        same(status, 200, "status of /metrics")
        out = {}
        for line in body.decode().splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                out[name] = float(value)
        return out

    def metric(self, name):
        """The sum over all labels."""
        return sum(v for k, v in self.metrics().items()
                   if k.split("{")[0] == name)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    def kill(self):
        """SIGKILL to the master, as the worst that can happen."""
        tree = self.children()
        self.process.kill()
        self.process.wait()
        return tree

    def stop(self, seconds=40):
        """SIGTERM; asserts that nothing is left and nothing went wrong."""
        if self.process is None or self.is_dead():
            return
        bugs = 0
        if self.health("/health/live") == 200:
            bugs = self.metric("omni2_bugs_total")
        self.children()
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name}: SIGTERM did not end it") from None
        same(status, 0, f"{self.name}: exit status")
        wait_for(lambda: not still_alive(self.seen), 5,
                 f"{self.name}: children gone")
        same(is_open(self.port), False, f"{self.name}: port still open")
        if not self.may_have_bugs:
            same(bugs, 0, f"{self.name}: omni2_bugs_total")

    def log_text(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def log_tail(self, lines=25):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def wait_log(self, text, seconds=10, after=0):
        wait_for(lambda: text in self.log_text()[after:], seconds,
                 f"{text!r} in the log of {self.name}")

    # administration

    def ctl_run(self, *args, output=None):
        command = [self.env.omni2ctl, "-c", self.conf]
        if output:
            command += ["-o", output]
        return subprocess.run(
            [*command, *map(str, args)], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False, cwd="/",
            env=self.env.clean_environment(), **self.env.as_user())

    def ctl(self, *args):
        done = self.ctl_run(*args)
        check(done.returncode == 0, lambda: f"omni2ctl {' '.join(map(str, args))}"
              f": exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ctl_json(self, *args):
        done = self.ctl_run(*args, output="json")
        check(done.returncode == 0, lambda: f"omni2ctl {' '.join(map(str, args))}"
              f": exit {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def user(self, email, role, *options):
        self.ctl("user", "add", email, "--role", role, *options)
        return self.key(email)

    def key(self, email):
        if email not in self.keys:
            self.keys[email] = self.ctl_json("key", "create", email)["key"]
        return self.keys[email]

    def server(self, name, url=None, command=None, *options):
        what = ["--url", url] if url else ["--command", *command]
        self.ctl("server", "add", name, *options, *what)

    def client(self, email=None, path="/mcp", version="2025-11-25", **kw):
        key = self.key(email) if email else None
        return Client(self.port, key, path, version, **kw)

    # audit

    def rows(self, where="true", columns="method"):
        return self.env.pg.query(
            f"SELECT {columns} FROM omni2.audit_log WHERE {where} "
            f"ORDER BY node, seq", self.database)

    def row_count(self, where="true"):
        # what was written before is shipped within some tenths of a second
        try:
            wait_for(lambda: self.metric("omni2_audit_spool_bytes") == 0, 3,
                     "the spool")
        except (AssertionError, OSError):
            pass                    # the database or the daemon is away
        return int(self.env.pg.scalar(
            f"SELECT count(*) FROM omni2.audit_log WHERE {where}",
            self.database))

    def wait_rows(self, n, where="true", seconds=20):
        wait_for(lambda: self.row_count(where) >= n, seconds,
                 f"{n} audit rows where {where}", every=0.1)
        same(self.row_count(where), n, f"audit rows where {where}")


def http_get(port, path, timeout=10, headers=None):
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        c.request("GET", path, headers=headers or {})
        r = c.getresponse()
        return r.status, {k.lower(): v for k, v in r.getheaders()}, r.read()
    finally:
        c.close()


class Reply:
    """An HTTP answer and the JSON-RPC messages in it."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body
        self.messages = []
        kind = headers.get("content-type", "").split(";")[0].strip()
        if kind == "application/json" and body:
            self.messages = [json.loads(body)]
        elif kind == "text/event-stream":
            self.messages = list(sse_messages(body))

    @property
    def message(self):
        """The response: the message with a result or an error."""
        for m in self.messages:
            if isinstance(m, list):
                return m
            if "result" in m or "error" in m:
                return m
        return {}

    @property
    def result(self):
        check("result" in self.message, lambda: f"no result: {self}")
        return self.message["result"]

    @property
    def error(self):
        check("error" in self.message, lambda: f"no error: {self}")
        return self.message["error"]

    @property
    def is_ok(self):
        return self.status == 200 and "result" in self.message and \
            not self.message["result"].get("isError")

    @property
    def text(self):
        """The text parts of a tool's answer."""
        return "\n".join(p.get("text", "") for p in
                         self.result.get("content", []))

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


def sse_messages(body):
    for event in body.decode().replace("\r\n", "\n").split("\n\n"):
        data = [line[5:].removeprefix(" ") for line in event.split("\n")
                if line.startswith("data:")]
        if data and "\n".join(data):
            yield json.loads("\n".join(data))


class Client:
    """An MCP client of either era over one keep-alive connection."""

    def __init__(self, port, key, path="/mcp", version="2025-11-25",
                 authorization=None, timeout=30, capabilities=None,
                 retry=True, tls=None):
        self.tls = tls          # an ssl.SSLContext
        self.retry = retry      # a connection found closed is opened again
        self.port, self.path, self.version = port, path, version
        self.key, self.authorization = key, authorization
        self.capabilities = capabilities or {}
        self.session, self.id, self.info = None, 0, None
        self.timeout = timeout
        self.connection = None

    @property
    def is_modern(self):
        return self.version >= MODERN

    def headers(self, method=None, params=None):
        h = {"Content-Type": "application/json",
             "Accept": "application/json, text/event-stream"}
        if self.authorization:
            h["Authorization"] = self.authorization
        elif self.key:
            h["Authorization"] = f"Bearer {self.key}"
        if self.session:
            h["Mcp-Session-Id"] = self.session
        if self.is_modern or (self.session and self.version >= "2025-06-18"):
            h["MCP-Protocol-Version"] = self.version
        if self.is_modern and method:
            h["Mcp-Method"] = method
            name = (params or {}).get(
                "uri" if method == "resources/read" else "name")
            if name is not None and method in (
                    "tools/call", "prompts/get", "resources/read"):
                h["Mcp-Name"] = name
        return h

    def send(self, body, headers, method="POST", path=None):
        """One exchange."""
        fresh = self.connection is None or not self.retry
        while True:
            if self.connection is None:
                self.connection = http.client.HTTPConnection(
                    "127.0.0.1", self.port, timeout=self.timeout) \
                    if self.tls is None else http.client.HTTPSConnection(
                        "localhost", self.port, timeout=self.timeout,
                        context=self.tls)
                self.connection.connect()
                self.connection.sock.setsockopt(
                    socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                self.connection.request(method, path or self.path, body, headers)
                r = self.connection.getresponse()
                got = Reply(r.status,
                            {k.lower(): v for k, v in r.getheaders()}, r.read())
                if r.will_close:
                    self.close()
                return got
            except (http.client.RemoteDisconnected, ConnectionError):
                self.close()
                if fresh:
                    raise
                fresh = True
            except Exception:
                self.close()
                raise

    def message(self, method, params=None, message_id=None):
        m = {"jsonrpc": "2.0", "method": method}
        if message_id is not None:
            m = {"jsonrpc": "2.0", "id": message_id, "method": method}
        if self.is_modern:
            params = dict(params or {})
            params["_meta"] = {
                META + "protocolVersion": self.version,
                META + "clientCapabilities": self.capabilities,
                META + "clientInfo": {"name": "tests", "version": "1"},
                **params.get("_meta", {})}
        if params is not None:
            m["params"] = params
        return m

    def request(self, method, params=None, **headers):
        self.id += 1
        m = self.message(method, params, self.id)
        h = self.headers(method, params)
        h.update(headers)
        return self.send(json.dumps(m).encode(), h)

    def notify(self, method, params=None):
        return self.send(json.dumps(self.message(method, params)).encode(),
                         self.headers(method, params))

    def initialize(self):
        """Opens a session (legacy) or asks what is there (modern)."""
        if self.is_modern:
            self.info = self.request("server/discover").result
            return self
        r = self.request("initialize", {
            "protocolVersion": self.version, "capabilities": self.capabilities,
            "clientInfo": {"name": "tests", "version": "1"}})
        self.info = r.result
        same(self.info["protocolVersion"], self.version, "negotiated version")
        self.session = r.headers.get("mcp-session-id")
        same(self.notify("notifications/initialized").status, 202,
             "status of notifications/initialized")
        return self

    def names(self, method="tools/list", member="tools", key="name"):
        """All names of a list, over its pages."""
        found, cursor = [], None
        while True:
            r = self.request(method, {"cursor": cursor} if cursor else {})
            if cursor and "error" in r.message:     # the list has changed
                found, cursor = [], None
                continue
            found += [item[key] for item in r.result[member]]
            cursor = r.result.get("nextCursor")
            if not cursor:
                return found

    def call(self, tool, arguments=None):
        return self.request("tools/call",
                            {"name": tool, "arguments": arguments or {}})

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def __enter__(self):
        return self.initialize()

    def __exit__(self, *_):
        self.close()


def raw_exchange(port, data, timeout=10, half_close=False):
    """Sends bytes and returns all that comes until the peer closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as s:
        with contextlib.suppress(ConnectionError, OSError):
            s.sendall(data)
            if half_close:
                s.shutdown(socket.SHUT_WR)
        got = b""
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
    return got


def raw_status(answer):
    """Status of the first answer in these bytes; 0 if there is none."""
    if not answer.startswith(b"HTTP/1."):
        return 0
    return int(answer.split(b" ", 2)[1])


def background(job):
    """A thread that runs job(), which may fail: its connection may be cut."""
    def run():
        with contextlib.suppress(OSError, http.client.HTTPException,
                                 AssertionError):
            job()

    t = threading.Thread(target=run, daemon=True)
    t.start()
    return t


def in_parallel(jobs):
    """Runs the functions at the same time; their results, or what they raised."""
    results = [None] * len(jobs)
    start = threading.Barrier(len(jobs))

    def run(i, job):
        try:
            start.wait()
            results[i] = job()
        except Exception as e:          # pylint: disable=broad-except
            results[i] = e

    threads = [threading.Thread(target=run, args=(i, j), daemon=True)
               for i, j in enumerate(jobs)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return results
