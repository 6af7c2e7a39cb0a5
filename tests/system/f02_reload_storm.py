"""SIGHUP 20 times a second, every fifth configuration broken: no call fails."""
import os
import time

from harness import check, memory_of, same, wait_for
from load import Load, compare
from servers import http_server

LIMIT_S = 180


def test_reload_storm(env):
    up = env.c_upstream()
    g = env.gateway({
        "mcps": [http_server("perf", up.url)],
        "server": {"workers": {"min_spare": 16, "max_spare": 24, "max": 64}}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    wait_for(lambda: "perf__echo" in g.client("ann@example.com").initialize()
             .names(), 10, "discovery")
    load = Load(g, clients=16, pause=0.002)
    load.go_on()
    processes = len(g.children())
    memory = memory_of([g.pid, *g.children()])
    files = len(os.listdir(f"/proc/{g.pid}/fd"))
    seconds = 8 if env.quick else 20
    i, most, end = 0, 0, time.monotonic() + seconds
    while time.monotonic() < end:
        i += 1
        good = dict(g.config, mcp={"page_size": 900 + i % 100})
        text = None if i % 5 else "server: [broken\n"
        saved, g.config = g.config, good
        g.write_config(text)
        g.config = saved
        g.reload()
        if i % 20 == 0:
            most = max(most, len(g.children()))
        again = time.monotonic() + 0.05
        wait_for(lambda t=again: time.monotonic() >= t, 1, "next", 0.005)
    g.write_config()
    g.reload()
    load.go_on()
    load.stop()
    print(f"   | {i} reloads, {len(load.answered)} calls, slowest "
          f"{load.slowest * 1e3:.0f} ms")
    same(load.failed, [], "failed calls")
    check(most <= processes * 2 + 2, f"{most} processes, {processes} before")
    compare(g, load)
    wait_for(lambda: len(g.children()) <= processes + 24, 10, "processes")
    wait_for(lambda: len(os.listdir(f"/proc/{g.pid}/fd")) <= files + 8, 5,
             "descriptors of the master")
    grown = memory_of([g.pid, *g.children()]) - memory
    check(grown < 64 << 20, f"{grown >> 20} MiB more")
