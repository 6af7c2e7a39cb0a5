"""stdio servers in their sandbox: real ones work in it; one that tries what it
must not do gets nowhere, and leaves nothing behind whoever dies."""
import json
import os
import platform
import signal
import socket
import subprocess
import time

from harness import (Skip, check, processes, same, still_alive, title_of,
                     wait_for, works)
from servers import everything_stdio, filesystem, npm, stdio_server

LIMIT_S = 120
PYTHON = "/usr/bin/python3"
FASTMCP = """
from fastmcp import FastMCP
mcp = FastMCP("weather")
@mcp.tool
def forecast(city: str) -> str:
    "The weather in a city."
    return city + ": sunny"
mcp.run(show_banner=False)
"""


# What lies in /tmp is not there at all: each server has a /tmp of its own.
HIDDEN = ("EACCES", "ENOENT")


def probe(env, name, **more):
    with open(os.path.join(env.fakes, "probe_server.py"),
              encoding="ascii") as f:
        return stdio_server(name, PYTHON, "-I", "-c", f.read(), **more)


def npx(env):
    """As people start servers: npx finds it, npm keeps things at home."""
    return stdio_server(
        "npx", os.path.join(os.path.dirname(env.node), "npx"), "--no-install",
        "--prefix", os.path.dirname(env.npm), "mcp-server-everything", "stdio",
        env={"PATH": os.path.dirname(env.node) + ":/usr/bin:/bin"},
        sandbox={"network": False})


class Setting:
    def __init__(self, env):
        self.env = env
        files, self.files = filesystem(env, sandbox={"network": False})
        files["sandbox"]["writable"] = [self.files]
        self.cwd = env.make_dir("probe-cwd", mode=0o755)
        self.other = env.make_dir("probe-other", mode=0o755)
        servers = [
            everything_stdio(env, sandbox={"network": False}), files,
            stdio_server("weather", env.python, "-c", FASTMCP,
                         sandbox={"network": False}),
            probe(env, "probe"),
            probe(env, "inside", cwd=self.cwd,
                  sandbox={"network": False, "hidden": [self.other]}),
            probe(env, "small", sandbox={"memory": "200M", "processes": 60}),
            probe(env, "open", sandbox={"enabled": False}),
        ]
        if os.path.exists(os.path.join(os.path.dirname(env.node), "npx")):
            servers.append(npx(env))
        self.g = env.gateway({"mcps": servers})
        self.g.user("ann@example.com", "admin")
        self.names = {s["name"] for s in servers}
        c = self.g.client("ann@example.com").initialize()
        want = {f"{n}__try" for n in ("probe", "inside", "small", "open")}
        wait_for(lambda: want <= set(c.names()), 60, "all servers are there")

    def client(self):
        return self.g.client("ann@example.com").initialize()

    def attempt(self, server, what, **arguments):
        r = self.client().call(f"{server}__try", {"what": what, **arguments})
        check(r.is_ok, lambda: f"{what}: {r}")
        return json.loads(r.text)


def setup(env):
    done = subprocess.run(["unshare", "-U", "true"], capture_output=True,
                          text=True, check=False, **env.as_user())
    if done.returncode:
        raise Skip("no user namespaces here (is it a chroot?): " +
                   done.stderr.strip())
    return Setting(env)


def test_everything(_env, it):
    c = it.client()
    wait_for(lambda: "everything__echo" in c.names(), 40, "everything")
    check("hello" in c.call("everything__echo", {"message": "hello"}).text,
          "echo")


def test_filesystem(_env, it):
    """It writes where it may, and does not even see omni2's own."""
    c = it.client()
    wait_for(lambda: "files__write_file" in c.names(), 40, "files")
    path = os.path.join(it.files, "made.txt")
    r = c.call("files__write_file", {"path": path, "content": "made"})
    check(r.is_ok, r)
    with open(path, encoding="ascii") as f:
        same(f.read(), "made", "the file")
    check("hello from a file" in c.call(
        "files__read_text_file",
        {"path": os.path.join(it.files, "hello.txt")}).text, "hello.txt")


def test_fastmcp(_env, it):
    c = it.client()
    wait_for(lambda: "weather__forecast" in c.names(), 60, "weather")
    check("Rome: sunny" in c.call("weather__forecast", {"city": "Rome"}).text,
          "forecast")


def test_npx(_env, it):
    if "npx" not in it.names:
        raise Skip("no npx beside node")
    c = it.client()
    wait_for(lambda: "npx__echo" in c.names(), 60, "npx")
    check("hello" in c.call("npx__echo", {"message": "hello"}).text, "echo")


def test_nothing_is_missing(_env, it):
    """This machine has all that the sandbox is made of."""
    check("the sandbox is without" not in it.g.log_text(),
          lambda: [line for line in it.g.log_text().splitlines()
                   if "the sandbox is without" in line])


def test_doctor(_env, it):
    """It says so before a server is started."""
    out = it.g.ctl_run("doctor").stdout
    check("stdio servers get all of it" in out, out)


def test_files(env, it):
    for path in ("/etc/omni2-probe", "/usr/omni2-probe", "/var/omni2-probe",
                 os.path.join(it.other, "x"), os.path.join(it.cwd, "x")):
        got = it.attempt("probe", "write", path=path)
        check(got in ("EROFS", "EACCES") or
              (got == "ENOENT" and path.startswith("/tmp/")), f"{path}: {got}")
    same(it.attempt("probe", "read", path="/etc/shadow"), "EACCES", "shadow")
    for path in (it.g.run_dir, it.g.state_dir, env.pg.dir, it.g.dir):
        check(it.attempt("probe", "list", path=path) in HIDDEN, path)
    check(it.attempt("probe", "read", path=it.g.conf) in HIDDEN,
          "configuration")
    same(it.attempt("inside", "write", path=os.path.join(it.cwd, "x")),
         "written", "its own directory")
    check(os.path.exists(os.path.join(it.cwd, "x")), "the file is there")
    check(it.attempt("inside", "list", path=it.other) in HIDDEN, "hidden")
    same(it.attempt("open", "write", path=os.path.join(it.other, "y")),
         "written", "without a sandbox")


def test_network(_env, it):
    port = it.g.port
    same(it.attempt("probe", "connect", port=port), "connected", "network")
    same(it.attempt("inside", "connect", port=port), "ECONNREFUSED",
         "no network")
    path = os.path.join(it.g.run_dir, "control.sock")
    for server in ("probe", "inside"):
        got = it.attempt(server, "unix", path=path)
        check(got in ("EACCES", "ENOENT", "ECONNREFUSED"),
              f"control socket: {got}")


def test_processes(_env, it):
    same(it.attempt("probe", "processes"), [1, 2], "what it sees")
    same(it.attempt("probe", "kill", pid=it.g.pid), "ESRCH", "the master")
    same(it.attempt("probe", "descriptors"), [0, 1, 2], "descriptors")
    same(set(it.attempt("probe", "environment")) - {"LC_CTYPE"},
         {"PATH", "HOME", "LANG"}, "environment")


def test_system_calls(_env, it):
    if platform.machine() != "x86_64":
        raise Skip("numbers of system calls are those of x86_64")
    for what in ("mount", "keyctl", "unshare"):
        same(it.attempt("probe", what), "EPERM", what)
    same(it.attempt("probe", "ptrace", pid=1), "EPERM", "ptrace")


def test_stderr(_env, it):
    same(it.attempt("probe", "stderr", text="a line for the log"), "said",
         "stderr")
    it.g.wait_log('server "probe": a line for the log')


def test_memory(_env, it):
    same(it.attempt("small", "allocate", megabytes=50), 50, "allocate 50")
    same(it.attempt("small", "allocate", megabytes=250), "MemoryError",
         "allocate 250")


def test_fork_bomb(_env, it):
    got = it.attempt("small", "forks", most=500)
    check(got.startswith("EAGAIN after "), got)
    # the others, of the same user, are not touched
    same(it.attempt("inside", "echo", text="still here"), "still here", "echo")
    it.client().call("small__try", {"what": "exit", "status": 0})
    wait_for(lambda: echoes(it, "small"), 40, "it is started again", 0.2)


def echoes(it, server):
    r = it.client().call(f"{server}__try", {"what": "echo", "text": "again"})
    return r.is_ok and r.text == '"again"'


def test_memory_bomb(_env, it):
    """Each process is within the limit; all together are not."""
    r = it.client().call("small__try", {"what": "bomb", "children": 5,
                                        "megabytes": 100})
    check(not r.is_ok and "it used more than 200 MB of memory" in str(r), r)
    wait_for(lambda: echoes(it, "small"), 40, "it is started again", 0.2)


def sleepers(marker):
    return [pid for pid in processes() if title_of(pid) == f"sleep {marker}"]


def leaves_nothing(it, server, marker, end):
    same(it.attempt(server, "survive", marker=marker), "left behind", "daemon")
    wait_for(lambda: sleepers(marker), 10, "the daemon runs")
    end()
    wait_for(lambda: not sleepers(marker), 15, "the daemon is gone")
    wait_for(lambda: works(lambda: echoes(it, server)), 40,
             "the server is back", 0.2)


def kill_stdiod(it):
    os.kill(it.g.pids("stdiod")[0], signal.SIGKILL)


def test_survivor_of_its_server(_env, it):
    """The server exits; what it left in a session of its own ends, too."""
    leaves_nothing(it, "probe", "86401.5",
                   lambda: it.client().call("probe__try", {"what": "exit",
                                                           "status": 3}))


def test_survivor_of_stdiod(_env, it):
    leaves_nothing(it, "probe", "86402.5", lambda: kill_stdiod(it))


def test_stdiod_dies_in_call(_env, it):
    """The caller hears it at once, and the server is not blamed."""
    for _ in range(6):
        wait_for(lambda: works(lambda: echoes(it, "inside")), 20, "echo", 0.1)
        c = it.client()
        c.id += 1
        body = json.dumps(c.message("tools/call", {
            "name": "inside__try",
            "arguments": {"what": "bomb", "children": 0, "megabytes": 0}},
            c.id)).encode()
        head = "".join(f"{k}: {v}\r\n" for k, v in c.headers().items())
        with socket.create_connection(("127.0.0.1", it.g.port), 20) as s:
            s.sendall(f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{head}"
                      f"Content-Length: {len(body)}\r\nConnection: close"
                      "\r\n\r\n".encode() + body)
            wait_for(lambda: in_call(it), 10, "the call is under way")
            kill_stdiod(it)
            start = time.monotonic()
            text = b"".join(iter(lambda: s.recv(65536), b""))
        check(time.monotonic() - start < 3, "the error came late")
        check(b"stdiod is gone" in text, text)
    check(not any("circuit breaker" in line and "inside" in line
                  for line in it.g.log_text().splitlines()), "the breaker")
    wait_for(lambda: works(lambda: echoes(it, "inside")), 5, "echo", 0.1)


def in_call(it):
    return any(p["state"] == "calling" for p in
               it.g.ctl_json("status")["processes"] if p["role"] == "stdiod")


def test_survivor_of_no_sandbox(_env, it):
    """Without namespaces, too."""
    leaves_nothing(it, "open", "86403.5",
                   lambda: it.client().call("open__try", {"what": "exit",
                                                          "status": 3}))
    leaves_nothing(it, "open", "86404.5", lambda: kill_stdiod(it))


def test_required(env, it):
    """What cannot be had in full is not started, if so configured."""
    it.g.config["mcps"].append(probe(
        env, "strict", cwd=it.cwd, sandbox={"required": True}))
    it.g.config["mcps"].append(probe(
        env, "unmet", cwd=it.cwd,
        sandbox={"required": True, "hidden": [it.cwd]}))
    it.g.write_config()
    it.g.reload()
    wait_for(lambda: "strict__try" in it.client().names(), 40, "strict")
    same(it.attempt("strict", "processes"), [1, 2], "what it sees")
    it.g.wait_log('server "unmet": its sandbox would be without hiding files: '
                  'Device or resource busy; sandbox.required', 30)
    check("unmet__try" not in it.client().names(), "unmet was started")


def test_as_root(env, _it):
    """Started as root, omni2d becomes somebody else, and so are its servers."""
    if not env.is_root:
        raise Skip("not root")
    g = env.gateway({"server": {"user": env.user},
                     "mcps": [probe(env, "probe", sandbox={"required": True})]},
                    start=False)
    unprivileged, env.as_user = env.as_user, dict
    try:
        g.start()
    finally:
        env.as_user = unprivileged
    g.user("ann@example.com", "admin")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "probe__try" in c.names(), 30, "probe")
    r = c.call("probe__try", {"what": "read", "path": "/etc/shadow"})
    same(json.loads(r.text), "EACCES", "shadow")
    r = c.call("probe__try", {"what": "processes"})
    same(json.loads(r.text), [1, 2], "what it sees")
    g.stop()


def test_nothing_is_left(_env, it):
    same(it.attempt("open", "survive", marker="86405.5"), "left behind",
         "daemon")
    same(it.attempt("probe", "survive", marker="86405.5"), "left behind",
         "daemon")
    wait_for(lambda: len(sleepers("86405.5")) == 2, 10, "the daemons run")
    it.g.stop()
    same(sleepers("86405.5"), [], "daemons")


def test_master_dies(env, _it):
    g = env.gateway({"mcps": [probe(env, "probe"), probe(
        env, "open", sandbox={"enabled": False})]})
    g.user("ann@example.com", "admin")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: {"probe__try", "open__try"} <= set(c.names()), 30, "both")
    for name in ("probe", "open"):
        c.call(f"{name}__try", {"what": "survive", "marker": "86406.5"})
    wait_for(lambda: len(sleepers("86406.5")) == 2, 10, "the daemons run")
    tree = g.kill()
    wait_for(lambda: not sleepers("86406.5"), 5, "the daemons are gone")
    wait_for(lambda: not still_alive(tree), 5, "all are gone")
