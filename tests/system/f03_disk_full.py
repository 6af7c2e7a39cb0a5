"""The disk of the audit journal is full: calls are refused before they reach a
server, none goes unrecorded; with space again, service resumes at once."""
import contextlib
import os
import subprocess
import time

from harness import Skip, check, same, wait_for
from servers import http_server

LIMIT_S = 120


@contextlib.contextmanager
def small_disk(env, name, size):
    if not env.is_root:
        raise Skip("needs root, to mount a small file system")
    path = env.make_dir(name)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},uid={env.uid},"
         f"gid={env.gid},mode=700", "tmpfs", path], capture_output=True,
        text=True, check=False)
    if done.returncode:
        raise Skip(f"cannot mount: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=False)


def test_full_disk(env):
    with small_disk(env, "disk", "2m") as path:
        up = env.c_upstream()
        g = env.gateway({"mcps": [http_server("perf", up.url)],
                         "server": {"state_dir": path}})
        try:
            fill_and_recover(env, g, up, path)
        finally:
            env.pg.start()
            g.stop()


def fill_and_recover(env, g, up, path):
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "perf__echo" in c.names(), 10, "discovery")
    check(c.call("perf__echo").is_ok, "before")
    env.pg.stop("immediate")        # so that nothing leaves the journal
    passed = refused = 0
    end = time.monotonic() + 30
    while refused < 20 and time.monotonic() < end:
        r = c.call("perf__echo", {"mark": "full", "pad": "x" * 8000})
        if r.is_ok:
            passed += 1
            check(refused == 0 or passed < 5000, "both at once")
        else:
            same((r.status, r.error["code"]), (503, -32053), r)
            refused += 1
    check(refused >= 20, f"never refused; {passed} calls passed")
    arrived = up.count()["calls"]
    for _ in range(20):
        same(c.call("perf__echo").status, 503, "while full")
    same(up.count()["calls"], arrived, "refused calls that reached the server")
    same(g.health("/health/live"), 200, "live")
    check(g.health("/health/ready") in (200, 503), "ready")
    env.pg.start()                  # the journal empties into PostgreSQL
    start = time.monotonic()
    wait_for(lambda: c.call("perf__echo").is_ok, 15, "service again")
    print(f"   | {passed} calls until full, service {time.monotonic() - start:.1f}"
          " s after PostgreSQL was back")
    wait_for(lambda: g.row_count("record LIKE '%\"full\"%'") >= passed, 20,
             "records")
    same(g.row_count("record LIKE '%\"full\"%' AND result = 'success'"), passed,
         "records of calls that passed")
    same(g.ctl_run("audit", "verify").returncode, 0, "audit verify")
    check(os.path.isdir(path), "disk")


def test_spool_limit(env):
    """audit.spool_max refuses calls while PostgreSQL is away, then not."""
    up = env.c_upstream()
    g = env.gateway({"mcps": [http_server("perf", up.url)],
                     "audit": {"spool_max": 1 << 20}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "perf__echo" in c.names(), 10, "discovery")
    env.pg.stop("immediate")
    try:
        wait_for(lambda: c.call("perf__echo", {"pad": "x" * 8000}).status == 503,
                 30, "spool_max", every=0)
    finally:
        env.pg.start()
    wait_for(lambda: c.call("perf__echo").is_ok, 15, "service again")


def test_unrecorded_calls_only_when_asked_for(env):
    """audit.on_failure: allow goes on without records; that is counted."""
    up = env.c_upstream()
    g = env.gateway({"mcps": [http_server("perf", up.url)], "audit": {
        "spool_max": 1 << 20, "on_failure": "allow"}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "perf__echo" in c.names(), 10, "discovery")
    env.pg.stop("immediate")
    try:
        for _ in range(400):
            check(c.call("perf__echo", {"pad": "x" * 8000}).is_ok, "call")
    finally:
        env.pg.start()
