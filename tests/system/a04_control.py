"""omni2ctl: every command, its exit code, and how fast it takes effect."""
import os
import time

from harness import check, same, wait_for
from servers import everything_stdio, http_server


class Setting:
    def __init__(self, env):
        self.up = env.c_upstream()
        self.g = env.gateway({"mcps": [http_server("perf", self.up.url)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        wait_for(lambda: "perf__echo" in self.open().names(), 10, "discovery")

    def open(self, email="ann@example.com"):
        return self.g.client(email).initialize()


def setup(env):
    return Setting(env)


def exit_code(g, code, *args):
    done = g.ctl_run(*args)
    same(done.returncode, code, f"omni2ctl {' '.join(args)}: {done.stdout}"
         f"{done.stderr}\nexit code")
    if code:
        check(done.stderr.strip(), f"omni2ctl {args} failed without a word")
    return done


def test_usage(_env, it):
    for args in ((), ("nonsense",), ("user",), ("user", "nonsense"),
                 ("user", "add"), ("status", "--nonsense")):
        exit_code(it.g, 2, *args)


def test_status_and_top(_env, it):
    status = it.g.ctl_json("status")
    check({p["role"] for p in status["processes"]} >=
          {"keeper", "worker", "poller", "auditor", "stdiod"}, status)
    check("worker" in it.g.ctl("status"), "table")
    it.g.ctl("top", "--once")


def test_check(_env, it):
    exit_code(it.g, 0, "check")


def test_database(_env, it):
    check(it.g.ctl_json("db", "status")["pending"] == 0, "pending migrations")
    exit_code(it.g, 0, "db", "migrate")
    exit_code(it.g, 0, "db", "init")


def test_users(_env, it):
    g = it.g
    exit_code(g, 0, "user", "add", "Bob@Example.com", "--role", "developer",
              "--name", "Bob", "--limit", "7", "--allow", "perf:echo")
    exit_code(g, 6, "user", "add", "bob@example.com", "--role", "developer")
    exit_code(g, 3, "user", "show", "nobody@example.com")
    bob = g.ctl_json("user", "show", "bob@example.com")
    same((bob["email"], bob["role"]), ("bob@example.com", "developer"), "bob")
    check("bob@example.com" in g.ctl("user", "list"), "list")
    done = g.ctl_run("user", "add", "x@example.com", "--role", "drummer")
    check(done.returncode in (1, 2, 3), f"unknown role: {done}")
    check("drummer" in done.stderr, done.stderr)


def test_user_set_takes_effect(_env, it):
    g = it.g
    g.user("carol@example.com", "power_user", "--allow", "perf:nothing")
    c = it.open("carol@example.com")
    same(c.names(), [], "tools before")
    g.ctl("user", "set", "carol@example.com", "--allow", "perf:ec*")
    same(c.names(), ["perf__echo"], "tools after")


def test_disabled_user(_env, it):
    g = it.g
    g.user("dave@example.com", "power_user", "--allow-all")
    c = it.open("dave@example.com")
    check(c.call("perf__echo").is_ok, "before")
    g.ctl("user", "disable", "dave@example.com")
    r = c.call("perf__echo")
    check(r.status in (401, 403), f"disabled: {r}")
    g.ctl("user", "enable", "dave@example.com")
    check(c.call("perf__echo").is_ok, "after")


def test_keys(_env, it):
    g = it.g
    g.ctl("user", "add", "erin@example.com", "--role", "power_user",
          "--allow-all")
    made = g.ctl_json("key", "create", "erin@example.com", "--name", "laptop")
    check(made["key"].startswith("omni2_"), made)
    same(len(made["key"]), 49, "length of a key")
    g.keys["erin@example.com"] = made["key"]
    check(it.open("erin@example.com").call("perf__echo").is_ok, "the key works")
    listed = str(g.ctl_json("key", "list", "erin@example.com"))
    check(made["key"] not in listed and "laptop" in listed, listed)
    g.ctl("key", "revoke", str(made["id"]))
    same(g.client("erin@example.com").request("ping").status, 401, "revoked")
    exit_code(g, 3, "key", "revoke", "999999")
    exit_code(g, 3, "key", "create", "nobody@example.com")


def test_key_expires(_env, it):
    g = it.g
    g.ctl("user", "add", "frank@example.com", "--role", "power_user",
          "--allow-all")
    g.keys["frank@example.com"] = g.ctl_json(
        "key", "create", "frank@example.com", "--expires", "2s")["key"]
    c = it.open("frank@example.com")
    wait_for(lambda: c.request("ping").status == 401, 6, "expiry")


def test_server_add_takes_effect_within_a_second(_env, it):
    g = it.g
    start = time.monotonic()
    g.server("added", it.up.url)
    c = it.open()
    wait_for(lambda: "added__echo" in c.names(), 5, "added server")
    took = time.monotonic() - start
    check(c.call("added__echo").is_ok, "call")
    check(took < 1.5, f"server add took {took:.2f} s to take effect")
    exit_code(g, 6, "server", "add", "added", "--url", it.up.url)
    check("added" in g.ctl("server", "list"), "list")
    same(g.ctl_json("server", "show", "added")["url"], it.up.url, "show")
    g.ctl("server", "remove", "added")
    wait_for(lambda: "added__echo" not in c.names(), 2, "removed server")
    exit_code(g, 3, "server", "remove", "added")


def test_server_add_by_command(env, it):
    entry = everything_stdio(env, "every")
    it.g.server("every", None, [entry["command"], *entry["args"]])
    c = it.open()
    wait_for(lambda: "every__echo" in c.names(), 15, "stdio server")
    check("hi" in c.call("every__echo", {"message": "hi"}).text, "call")


def test_server_names(_env, it):
    for name in ("a__b", "a b", "", "-x", "a_", "x" * 60, "a/b", "../a"):
        done = it.g.ctl_run("server", "add", "--url", it.up.url, "--", name)
        check(done.returncode not in (0, 5), f"{name!r} was taken: {done}")


def test_server_test(_env, it):
    done = exit_code(it.g, 0, "server", "test", "perf")
    check("echo" in done.stdout or "1" in done.stdout, done.stdout)
    exit_code(it.g, 3, "server", "test", "nosuch")
    it.g.server("dead", "http://127.0.0.1:9/mcp")
    check(it.g.ctl_run("server", "test", "dead").returncode in (1, 5), "dead")
    it.g.ctl("server", "remove", "dead")


def test_tool_list(_env, it):
    check("perf__echo" in str(it.g.ctl_json("tool", "list")), "all")
    check("echo" in it.g.ctl("tool", "list", "--server", "perf"), "one server")
    check("echo" in it.g.ctl("tool", "list", "--user", "ann@example.com"),
          "one user")


def test_policy_test(_env, it):
    g = it.g
    g.ctl("user", "add", "gina@example.com", "--role", "developer",
          "--allow", "perf:other*")
    done = g.ctl_run("policy", "test", "--user", "gina@example.com",
                     "--server", "perf", "--tool", "echo")
    check("deny" in (done.stdout + done.stderr).lower() and
          "custom" in (done.stdout + done.stderr), done)
    done = g.ctl_run("policy", "test", "--user", "ann@example.com",
                     "--server", "perf", "--tool", "echo")
    same(done.returncode, 0, f"allowed: {done}")
    check("allow" in done.stdout.lower(), done.stdout)
    exit_code(g, 3, "policy", "test", "--user", "nobody@example.com")


def test_audit(_env, it):
    g = it.g
    it.open().call("perf__echo", {"message": "find me"})
    wait_for(lambda: "find me" in g.ctl_run(
        "audit", "tail", "-n", "5", output="json").stdout, 10, "audit tail")
    found = g.ctl_json("audit", "search", "--user", "ann@example.com",
                       "--server", "perf", "--decision", "allow")
    check(len(found) >= 1, found)
    same(len(g.ctl_json("audit", "search", "--user", "nobody@example.com")), 0,
         "rows of nobody")
    exit_code(g, 0, "audit", "verify")


def test_shm_dump(_env, it):
    check("slot" in it.g.ctl("shm", "dump"), "shm dump")


def test_without_daemon(env, it):
    """Administration works on the database alone; status says what is wrong."""
    g = env.gateway({}, start=False)
    exit_code(g, 0, "user", "add", "zoe@example.com", "--role", "dba")
    done = exit_code(g, 5, "status")
    check("omni2d" in done.stderr, done.stderr)
    g.config["database"]["url"] = "host=/nowhere user=omni2 dbname=omni2"
    g.write_config()
    exit_code(g, 5, "user", "list")
    os.remove(g.conf)
    exit_code(g, 7, "user", "list")


def test_control_socket_is_private(_env, it):
    path = os.path.join(it.g.run_dir, "control.sock")
    same(oct(os.stat(path).st_mode & 0o777), "0o660", "mode")
