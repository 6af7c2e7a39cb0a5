"""SIGKILL storms under load: only what was in flight in the dead process may
fail, nothing is lost, nothing comes twice, nothing is left hanging."""
import os
import random
import signal
import time

from harness import (check, is_open, processes, same, still_alive, title_of,
                     wait_for)
from load import Load, compare
from servers import http_server, misbehaving_stdio

LIMIT_S = 240
SECONDS = 12
CLIENTS = 16


def make(env, **more):
    """A breaker that opens for failures we cause would hide what we measure."""
    up = env.c_upstream()
    g = env.gateway({
        "mcps": [http_server("perf", up.url), misbehaving_stdio(env, "pipe")],
        "server": {"workers": {"min_spare": 16, "max_spare": 24, "max": 64}},
        "breaker": {"failure_threshold": 1000}, **more})
    g.up = up
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    wait_for(lambda: {"perf__echo", "pipe__echo"} <= set(
        g.client("ann@example.com").initialize().names()), 15, "discovery")
    return g


def storm(env, role, every, allowed_per_kill, tool="perf__echo", seconds=None):
    """Kills one process of a role again and again."""
    seconds = seconds or (8 if env.quick else SECONDS)
    g = make(env)
    load = Load(g, tool, CLIENTS, 0.002)
    load.go_on()
    kills, slowest_respawn, end = 0, 0.0, time.monotonic() + seconds
    while time.monotonic() < end:
        pids = g.pids(role)
        if pids:
            victim = random.choice(pids)
            os.kill(victim, signal.SIGKILL)
            start, kills = time.monotonic(), kills + 1
            wait_for(lambda n=len(pids), v=victim: v not in (
                r := g.pids(role)) and len(r) >= min(n, 16), 5,
                f"{role} again")
            slowest_respawn = max(slowest_respawn, time.monotonic() - start)
        again = time.monotonic() + every
        wait_for(lambda t=again: time.monotonic() >= t, every + 1, "next kill")
    load.go_on()
    load.stop()
    check(kills >= 3, f"{kills} kills")
    print(f"   | {kills} kills of {role}: {len(load.answered)} answered, "
          f"{len(load.failed)} failed, slowest call {load.slowest:.2f} s, "
          f"slowest respawn {slowest_respawn:.2f} s")
    check(len(load.failed) <= kills * allowed_per_kill,
          f"{len(load.failed)} failed calls in {kills} kills: {load.failed[:5]}")
    check(load.slowest < 5, f"a call took {load.slowest:.1f} s")
    compare(g, load)
    same(g.metric("omni2_bugs_total"), 0, "bugs")
    return g


def test_workers(env):
    """One worker may hold every client's call."""
    storm(env, "worker", 0.5, CLIENTS)


def test_auditor(env):
    storm(env, "auditor", 1.0, 0)


def test_poller(env):
    storm(env, "poller", 1.0, 0)


def test_keeper(env):
    """It holds every idle connection, so each client may lose one call."""
    storm(env, "keeper", 2.0, CLIENTS)


def test_stdiod(env):
    storm(env, "stdiod", 2.0, CLIENTS, "pipe__echo")


def test_stdiod_does_not_touch_others(env):
    storm(env, "stdiod", 2.0, 0, "perf__echo", 8)


def test_all_children_at_random(env):
    seconds = 6 if env.quick else SECONDS
    g = make(env)
    load = Load(g, "perf__echo", CLIENTS, 0.002)
    load.go_on()
    kills, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        victims = list(g.children())
        if victims:
            try:
                os.kill(random.choice(victims), signal.SIGKILL)
                kills += 1
            except ProcessLookupError:
                pass
        again = time.monotonic() + 0.2
        wait_for(lambda t=again: time.monotonic() >= t, 2, "next kill")
    load.go_on(150, 30)
    load.stop()
    print(f"   | {kills} kills: {len(load.answered)} answered, "
          f"{len(load.failed)} failed")
    compare(g, load)


def test_master(env):
    """Everything dies with it within a second; the next start loses nothing."""
    for round_number in range(2 if env.quick else 4):
        g = make(env)
        load = Load(g, "perf__echo", CLIENTS, 0.002)
        load.go_on()
        tree = g.kill()
        start = time.monotonic()
        wait_for(lambda: not still_alive(tree), 1.0, "children gone")
        gone = time.monotonic() - start
        same(is_open(g.port), False, "port")
        load.running = False
        start = time.monotonic()
        g.start()
        ready = time.monotonic() - start
        load.stop()
        print(f"   | round {round_number}: gone in {gone:.2f} s, ready in "
              f"{ready:.2f} s, {len(load.answered)} answered")
        check(ready < 4, f"ready after {ready:.1f} s")
        compare(g, load)


def test_grandchildren_and_zombies(env):
    """stdio servers that crash, stay deaf or leave children: all are reaped."""
    g = make(env)
    c = g.client("ann@example.com").initialize()
    rounds = 4 if env.quick else 7
    for i in range(rounds):
        c.call("pipe__crash")
        wait_for(lambda: c.call("pipe__echo", {"message": "x"}).is_ok, 20,
                 f"a new process, round {i}")
    # It says what it is in its own namespace; here it has another number.
    check(c.call("pipe__grandchild").is_ok, "grandchild")
    check(c.call("pipe__deaf").is_ok, "deaf")
    wait_for(lambda: sleepers(g), 5, "the grandchild runs")
    grandchildren = sleepers(g)
    stdiod = g.pids("stdiod")[0]
    zombies = [p for p, s in processes().items()
               if s[0] == stdiod and s[2] == "Z"]
    same(zombies, [], "zombies")
    files = len(os.listdir(f"/proc/{stdiod}/fd"))
    check(files < 60, f"stdiod holds {files} descriptors")
    g.stop()
    wait_for(lambda: not still_alive(grandchildren), 6,
             "the grandchild is gone")


def sleepers(g):
    return {pid: start for pid, start in g.children().items()
            if title_of(pid) == "sleep 1000"}
