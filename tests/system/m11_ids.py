"""64 clients use the same JSON-RPC ids at once: no answer reaches another
than who asked, over HTTP and through a stdio server that all share."""
import os
import subprocess

from harness import check, same, wait_for
from servers import http_server, stdio_server

LIMIT_S = 1500
CLIENTS = 64
USERS = ("ann", "bob", "eve", "joe")
# of CLIENTS: path, tool; the rest is called through the aggregate
PLACES = (("/mcp", "perf__echo"), ("/servers/perf/mcp", "echo"),
          ("/mcp", "slow__echo"), ("/mcp", "perf__echo"))


class Setting:
    def __init__(self, env):
        self.env = env
        self.up, self.slow = env.c_upstream(), env.c_upstream("-d", 2)
        self.g = env.gateway({
            "mcps": [http_server("perf", self.up.url),
                     http_server("slow", self.slow.url),
                     stdio_server("pipe", "/usr/bin/python3", os.path.join(
                         env.fakes, "echo_stdio.py"))],
            "audit": {"sync": "async"},
            "users": [{"email": f"{u}@example.com", "role": "power_user",
                       "allowed_mcps": "*",
                       "rate_limit": {"requests_per_hour": 0}}
                      for u in USERS]})
        c = self.g.client("ann@example.com").initialize()
        for n in ("perf__echo", "slow__echo", "pipe__echo"):
            wait_for(lambda name=n: name in c.names(), 30, n)

    def run(self, calls, places):
        """The clients' own program; sessions are opened here."""
        path = os.path.join(self.env.make_dir("ids"), "clients")
        with open(path, "w", encoding="ascii") as f:
            for i in range(CLIENTS):
                where, tool = places[i % len(places)]
                who = USERS[i // len(places) % len(USERS)] + "@example.com"
                c = self.g.client(who, path=where).initialize()
                print(where, self.g.key(who), c.session, tool, file=f)
                c.close()
        done = subprocess.run(
            [os.path.join(self.env.build, "tests", "system", "ids"),
             str(self.g.port), str(calls), path], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=LIMIT_S - 60, check=False)
        got = dict(part.split("=") for part in done.stdout.split())
        print(f"   | {done.stdout.strip()}", flush=True)
        same((got.get("wrong"), got.get("failed"), got.get("good")),
             ("0", "0", str(calls)), f"answers\n{done.stderr[:3000]}")


def setup(env):
    return Setting(env)


def test_http_servers(env, it):
    calls = 100_000 if env.quick else 940_000
    before = it.up.count()["calls"] + it.slow.count()["calls"]
    it.run(calls, PLACES)
    after = it.up.count()["calls"] + it.slow.count()["calls"]
    same(after - before, calls, "calls that arrived")


def test_stdio_server(env, it):
    it.run(6_000 if env.quick else 60_000,
           (("/mcp", "pipe__echo"), ("/servers/pipe/mcp", "echo")))


def test_all_together_while_workers_die(env, it):
    """Who loses its answer fails; nobody gets another's."""
    calls = 10_000 if env.quick else 50_000
    path = os.path.join(it.env.make_dir("ids"), "clients")
    check(os.path.exists(path), "clients of the test before")
    p = subprocess.Popen(
        [os.path.join(env.build, "tests", "system", "ids"), str(it.g.port),
         str(calls), path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True)
    kills = 0
    while p.poll() is None and kills < 10:
        pids = it.g.pids("worker")
        if pids:
            os.kill(pids[kills % len(pids)], 9)
            kills += 1
        try:
            p.wait(0.3)
        except subprocess.TimeoutExpired:
            continue
    out = p.communicate()[0]
    print(f"   | {out.strip()} kills={kills}", flush=True)
    got = dict(part.split("=") for part in out.split())
    same(got["wrong"], "0", "answers of others")
    check(int(got["good"]) > calls // 2, out)
