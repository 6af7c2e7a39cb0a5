"""Reload, drain, and what is left when the master or a worker is killed."""
import os
import signal
import socket
import threading
import time

from harness import (background, check, in_parallel, is_open, raw_status,
                     same, still_alive, wait_for, works)
from servers import http_server


class Setting:
    def __init__(self, env):
        self.up = env.c_upstream()
        self.g = env.gateway({"mcps": [http_server("perf", self.up.url)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        wait_for(lambda: "perf__echo" in self.open().names(), 10, "discovery")

    def open(self):
        return self.g.client("ann@example.com").initialize()


def setup(env):
    return Setting(env)


def test_reload_good(_env, it):
    g = it.g
    c = it.open()
    g.config["mcps"].append(http_server("second", it.up.url))
    g.write_config()
    g.reload()
    wait_for(lambda: "second__echo" in it.open().names(), 5, "new server")
    check(c.call("second__echo").is_ok, "call on the old connection")


def test_reload_bad_changes_nothing(_env, it):
    g = it.g
    c = it.open()
    good = open(g.conf, encoding="utf-8").read()
    mark = len(g.log_text())
    g.write_config(good.replace('"second"', '"sec__ond"'))
    g.reload()
    g.wait_log("sec__ond", after=mark)
    check(c.call("second__echo").is_ok, "old configuration")
    check("second__echo" in it.open().names(), "old list")
    g.write_config("{[")
    g.reload()
    g.ctl_run("check")
    check(c.call("second__echo").is_ok, "old configuration again")
    g.write_config(good)


def test_refused_file_leaves_no_row(env, it):
    """What is found only with the rows of the database, too."""
    def rows():
        return env.pg.query(
            "SELECT email, source, role, active FROM omni2.users UNION ALL "
            "SELECT name, source, url, enabled FROM omni2.mcp_servers "
            "ORDER BY 1", g.database)

    g = it.g
    g.ctl("reload")
    before = rows()
    good = open(g.conf, encoding="utf-8").read()
    g.config["mcps"].pop()
    g.config["users"] = [{"email": "ann@example.com", "role": "read_only"},
                         {"email": "bob@example.com", "role": "drummer"}]
    g.write_config()
    done = g.ctl_run("reload")
    g.config["mcps"].append(http_server("second", it.up.url))
    del g.config["users"]
    same(done.returncode, 7, f"reload of a bad file: {done}")
    check("drummer" in done.stderr, done)
    same(rows(), before, "rows after a file that was refused")
    g.write_config(good)
    g.ctl("reload")
    same(rows(), before, "rows after the good one")
    check(it.open().call("perf__echo").is_ok, "who was in the bad file")


def test_reload_by_control_program(_env, it):
    g = it.g
    g.config["mcps"].pop()
    g.write_config()
    g.ctl("reload")
    wait_for(lambda: "second__echo" not in it.open().names(), 5, "removed")
    g.config["mcps"][0]["nonsense"] = 1
    g.write_config()
    done = g.ctl_run("reload")
    del g.config["mcps"][0]["nonsense"]
    g.write_config()
    same(done.returncode, 7, f"reload of a bad file: {done}")
    check("nonsense" in done.stdout + done.stderr, done)


def test_dead_worker_is_replaced(_env, it):
    g = it.g
    c = it.open()
    for _ in range(5):
        workers = g.pids("worker")
        victim = workers[0]
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda v=victim, w=workers: v not in (r := g.pids("worker"))
                 and len(r) >= min(len(w), 4), 3, "respawn")
        check(c.call("perf__echo").is_ok, "call after the death of a worker")


def test_every_child_is_replaced(_env, it):
    g = it.g
    for role in ("poller", "auditor", "stdiod", "keeper"):
        old = g.pids(role)[0]
        os.kill(old, signal.SIGKILL)
        wait_for(lambda r=role, o=old: (g.pids(r) or [o])[0] != o, 5,
                 f"new {role}")
        wait_for(lambda: works(lambda: it.open().call("perf__echo").is_ok), 5,
                 f"call after the death of the {role}")


def test_slow_requests_are_not_stuck(env):
    """Slow servers and slow clients, without a key, too, cost others nothing."""
    up = env.c_upstream()
    g = env.gateway({"mcps": [http_server("perf", up.url)],
                     "server": {"workers": {"watchdog": "1s"}},
                     "limits": {"body_timeout": "10s"}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "perf__echo" in c.names(), 10, "discovery")
    with socket.create_connection(("127.0.0.1", g.port), timeout=5) as s:
        s.sendall(f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{g.port}\r\n"
                  "Content-Length: 100\r\n\r\n{".encode())
        check(c.call("perf__echo", {"delay_ms": 4000}).is_ok, "a slow call")
        check("is stuck" not in g.log_text(), "killed")
        s.sendall(b" " * 99)
        same(raw_status(s.recv(4096)), 401, "the slow body")


def test_stuck_worker_is_replaced(env):
    """A stopped worker costs its own connection only; the watchdog ends it."""
    up = env.c_upstream()
    g = env.gateway({"mcps": [http_server("perf", up.url)],
                     "server": {"workers": {"watchdog": "2s"}}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "perf__echo" in c.names(), 10, "discovery")
    background(lambda: g.client("ann@example.com", retry=False).initialize()
               .call("perf__echo", {"delay_ms": 60000}))
    busy = wait_for(lambda: [
        p for p in g.ctl_json("status")["processes"] if p["role"] == "worker"
        and p["state"] == "calling"], 5, "the call in flight")[0]["pid"]
    os.kill(int(busy), signal.SIGSTOP)
    check(c.call("perf__echo").is_ok, "other workers")
    wait_for(lambda: int(busy) not in g.pids("worker"), 12, "watchdog")
    check(c.call("perf__echo").is_ok, "afterwards")


def test_workers_are_recycled(env):
    """After max_requests a worker is replaced; its client notices nothing."""
    up = env.c_upstream()
    g = env.gateway({"mcps": [http_server("perf", up.url)],
                     "server": {"workers": {"max_requests": 20}}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com", retry=False).initialize()
    wait_for(lambda: "perf__echo" in c.names(), 10, "discovery")
    first = set(g.pids("worker"))
    check(all(c.call("perf__echo").is_ok for _ in range(300)), "300 calls")
    wait_for(lambda: set(g.pids("worker")) - first, 5, "a new worker")
    check(c.call("perf__echo").is_ok, "afterwards")


def test_idle_workers_are_ended(env):
    """A burst makes workers; when it is over only max_spare stay."""
    up = env.c_upstream()
    g = env.gateway({
        "mcps": [http_server("perf", up.url)],
        "server": {"workers": {"requests": 1, "min_spare": 2, "max_spare": 4,
                               "max": 40}}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "perf__echo" in c.names(), 10, "discovery")
    clients = [g.client("ann@example.com").initialize() for _ in range(30)]
    got = in_parallel([lambda d=d: d.call("perf__echo", {"delay_ms": 500})
                       for d in clients])
    check(all(getattr(r, "is_ok", False) for r in got), str(got)[:500])
    check(up.count()["most"] == 30, "30 calls at once")
    wait_for(lambda: len(g.pids("worker")) <= 6, 30, "fewer workers", 0.1)
    check(c.call("perf__echo").is_ok, "afterwards")


def test_drain(env):
    """SIGTERM lets the call in flight finish; new connections are refused."""
    up = env.c_upstream()
    g = env.gateway({"mcps": [http_server("perf", up.url)]})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "perf__echo" in c.names(), 10, "discovery")
    got = []
    job = threading.Thread(target=lambda: got.append(
        c.call("perf__echo", {"delay_ms": 1500})))
    job.start()
    wait_for(lambda: up.count()["now"] == 1, 5, "call in flight")
    start = time.monotonic()
    g.stop()
    took = time.monotonic() - start
    job.join()
    check(got and got[0].is_ok, f"the call in flight: {got}")
    check(took < 5, f"the drain took {took:.1f} s")
    same(up.count()["calls"], 1, "calls")


def test_drain_has_an_end(env):
    up = env.c_upstream()
    g = env.gateway({"mcps": [http_server("perf", up.url, timeout_seconds=60)],
                     "server": {"drain_timeout": "1s"}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "perf__echo" in c.names(), 10, "discovery")
    background(lambda: c.call("perf__echo", {"delay_ms": 50000}))
    wait_for(lambda: up.count()["now"] == 1, 5, "call in flight")
    start = time.monotonic()
    g.stop()
    check(time.monotonic() - start < 6, "drain_timeout was not kept")


def test_drain_answers_who_has_just_come(env):
    """A client that was let in and has not asked yet gets its answer; one that
    never asks does not hold up the end."""
    g = env.gateway({})
    address = ("127.0.0.1", g.port)
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    used = socket.create_connection(address, timeout=10)
    used.sendall(head)
    same(raw_status(used.recv(65536)), 200, "a connection that is kept")
    fresh = [socket.create_connection(address, timeout=10) for _ in range(9)]
    silent = fresh.pop()
    same(g.health("/health/live"), 200, "the last one: all were let in")
    start = time.monotonic()
    os.kill(g.pid, signal.SIGTERM)
    same(used.recv(1), b"", "the kept one ends between two requests")
    for client in fresh:
        client.sendall(head)
    for client in fresh:
        answer = client.recv(65536)
        same(raw_status(answer), 200, f"one that has just come: {answer}")
        check(b"onnection: close" in answer, answer)
    same(silent.recv(1), b"", "one that says nothing")
    g.stop()
    check(time.monotonic() - start < 5, "the end took long")


def test_killed_master_takes_all_with_it(_env, it):
    g = it.g
    c = it.open()
    check(c.call("perf__echo").is_ok, "before")
    tree = g.kill()
    wait_for(lambda: not still_alive(tree), 1.0, "children gone within 1 s")
    same(is_open(g.port), False, "port")
    start = time.monotonic()
    g.start()
    check(time.monotonic() - start < 4, "start after SIGKILL is slow")
    wait_for(lambda: it.open().call("perf__echo").is_ok, 10,
             "a call after the new start")
