"""PostgreSQL goes away: calls go on, nothing is lost, unknown keys are not let
in; it comes back: everything arrives once."""
import os
import signal
import time

from harness import Client, check, descendants, http_get, same, wait_for
from load import Load, compare
from servers import http_server, stdio_server

LIMIT_S = 240
QUIET_S = 1.0           # how long nothing must come


def make(env, start=True, **more):
    up = env.c_upstream()
    g = env.gateway({"mcps": [http_server("perf", up.url)], **more},
                    start=start)
    g.up = up
    if start:
        g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
        g.user("con@example.com", "contractor", "--allow-all")
        wait_for(lambda: "perf__echo" in g.client("ann@example.com")
                 .initialize().names(), 10, "discovery")
    return g


def outage(env, g, stop, start, seconds):
    load = Load(g)
    load.go_on()
    stop()
    end = time.monotonic() + seconds
    wait_for(lambda: g.health("/health/ready") == 503, 15, "not ready")
    same(g.health("/health/live"), 200, "live")
    r = Client(g.port, "omni2_" + "A" * 43).request("tools/list")
    check(r.status in (401, 503), f"unknown key: {r}")
    con = g.client("con@example.com").initialize()
    same(sum(con.call("perf__echo").is_ok for _ in range(22)), 20,
         "limits without the database")
    during = len(load.answered)
    wait_for(lambda: time.monotonic() > end, seconds + 5, "the outage")
    check(len(load.answered) > during + 100, "calls during the outage")
    start()
    wait_for(lambda: g.health("/health/ready") == 200, 10, "ready again")
    load.go_on()
    load.stop()
    same(load.failed, [], "failed calls")
    compare(g, load)
    print(f"   | {len(load.answered)} calls, slowest {load.slowest * 1e3:.0f} ms")


def test_stopped_under_load(env):
    g = make(env)
    outage(env, g, lambda: env.pg.stop("immediate"), env.pg.start,
           8 if env.quick else 60)


def test_hanging_under_load(env):
    """The database does not refuse, it says nothing."""
    g = make(env)
    pid = env.pg.pid()
    tree = [pid]

    def stop():
        tree[:] = list(descendants(pid))
        for p in tree:
            os.kill(p, signal.SIGSTOP)

    def start():
        for p in tree:
            os.kill(p, signal.SIGCONT)

    load = Load(g)
    try:
        load.go_on()
        stop()
        before = len(load.answered)
        end = time.monotonic() + (5 if env.quick else 15)
        wait_for(lambda: time.monotonic() > end, 30, "the hang")
        check(len(load.answered) > before + 200, "calls during the hang")
    finally:
        start()
    load.go_on()
    load.stop()
    same(load.failed, [], "failed calls")
    compare(g, load)


def test_backend_is_killed(env):
    """SIGKILL of one backend makes PostgreSQL end all sessions."""
    g = make(env)
    load = Load(g)
    for _ in range(3):
        load.go_on()
        env.pg.wait_up()
        pids = env.pg.query(
            "SELECT pid FROM pg_stat_activity WHERE datname = "
            f"'{g.database}' AND pid <> pg_backend_pid()")
        if pids:
            os.kill(int(pids[0][0]), signal.SIGKILL)
    load.go_on()
    env.pg.wait_up()
    load.stop()
    same(load.failed, [], "failed calls")
    compare(g, load)


def test_down_at_start(env):
    g = make(env)
    key = g.key("ann@example.com")
    g.stop()
    env.pg.stop("immediate")
    g.start(ready=False)
    wait_for(lambda: g.health("/health/live") == 200, 10, "live")
    same(g.health("/health/ready"), 503, "ready")
    status, _, body = http_get(g.port, "/health/ready")
    check(b"atabase" in body, body)
    r = Client(g.port, key).request("tools/list")
    same(r.status, 503, f"a key nobody can look up: {r}")
    check("retry-after" in r.headers, r.headers)
    env.pg.start()
    wait_for(lambda: g.health("/health/ready") == 200, 8, "ready")
    wait_for(lambda: g.client("ann@example.com").initialize().call(
        "perf__echo").is_ok, 8, "calls")


def test_down_at_start_for_long(env):
    """Who is told that it is ready finds the tools, also of a slow server."""
    slow = stdio_server("slow", "/bin/sh", "-c", 'sleep 1; exec "$@"', "sh",
                        "/usr/bin/python3", f"{env.fakes}/echo_stdio.py")
    g = env.gateway({"mcps": [slow]})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    key = g.key("ann@example.com")
    g.stop()
    env.pg.query("DELETE FROM omni2.mcp_servers", g.database)
    env.pg.stop("immediate")
    g.start(ready=False)
    # longer than calls wait for servers after the start
    wait_for(lambda: g.health("/health/live") == 200 and
             g.metric("omni2_uptime_seconds") >= 6, 15, "it has run for long")
    env.pg.start()
    wait_for(lambda: g.health("/health/ready") == 200, 15, "ready")
    r = Client(g.port, key).initialize().call("slow__echo")
    check(r.is_ok, f"the first call after ready: {r}")


def test_revocation_in_the_database(env):
    """A key revoked behind the back of omni2ctl is refused within 5 s."""
    g = make(env)
    c = g.client("con@example.com").initialize()
    check(c.call("perf__echo").is_ok, "before")
    number = g.ctl_json("key", "list", "con@example.com")[0]["id"]
    env.pg.query(f"UPDATE omni2.api_keys SET revoked_at = now() "
                 f"WHERE id = {number}", g.database)
    wait_for(lambda: c.call("perf__echo").status == 401, 5, "revoked")


def reloads(*gateways):
    return [g.metric("omni2_reloads_total") for g in gateways]


def quiet_count(seconds, *gateways):
    """The counts of reloads when nobody has reloaded for QUIET_S."""
    last = [reloads(*gateways), time.monotonic()]

    def is_quiet():
        now = reloads(*gateways)
        if now != last[0]:
            last[:] = [now, time.monotonic()]
        return time.monotonic() - last[1] > QUIET_S

    wait_for(is_quiet, seconds, "an end of the reloads", every=0.05)
    return last[0]


def test_two_nodes_with_different_files(env):
    """Each writes its file into the database when it is told to load it, and
    neither because the other one did: that would never end."""
    a = make(env)
    b = env.gateway({"mcps": [http_server("other", a.up.url)],
                     "database": {"url": env.pg.url(a.database)}},
                    database=False)
    quiet_count(15, a, b)
    a.reload()
    before = quiet_count(15, a, b)
    # what is changed in the database itself still reaches both
    a.user("eve@example.com", "power_user", "--allow-all", "--limit", "0")
    b.keys.update(a.keys)
    wait_for(lambda: "perf__echo" in a.client("eve@example.com")
             .initialize().names(), 5, "the first one's server")
    wait_for(lambda: "other__echo" in b.client("eve@example.com")
             .initialize().names(), 5, "the second one's server")
    after = quiet_count(15, a, b)
    check(all(n - was <= 4 for n, was in zip(after, before)),
          f"reloads: {before}, then {after}")
    # the one that is told to load writes again
    b.ctl("reload")
    wait_for(lambda: env.pg.query(
        "SELECT name FROM omni2.mcp_servers WHERE source = 'yaml'",
        a.database) == [["other"]], 5, "what the second one wrote")
    quiet_count(15, a, b)
    check(a.client("eve@example.com").initialize().call("perf__echo").is_ok,
          "the first one keeps what its file says")


def test_file_is_written_when_the_database_comes(env):
    """Started while the database is away: its file is written afterwards."""
    g = make(env, start=False)
    env.pg.stop("immediate")
    g.start(ready=False)
    wait_for(lambda: g.health("/health/live") == 200, 10, "live")
    env.pg.start()
    wait_for(lambda: g.health("/health/ready") == 200, 8, "ready")
    same(env.pg.query("SELECT name FROM omni2.mcp_servers "
                      "WHERE source = 'yaml'", g.database), [["perf"]],
         "servers of the file in the database")
