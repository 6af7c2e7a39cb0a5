#!/usr/bin/python3
"""omni2d beside nginx proxy_pass, on the same machine, to the same server, in
turns, with everything on: key, permission, limit, audit into PostgreSQL.

    run.py --prefix DIR --build DIR --cache DIR --user NAME --node PATH
           [--rounds N] [--seconds S]

Every load of omni2d stands next to one of nginx, before or after it in turns:
on a virtual machine the cost of the same work differs by half from one minute
to the next, and only neighbours can be compared. Hence many short rounds.
Prints for 16 and 64 keep-alive connections and for each audit.sync
  r   requests per second divided by the neighbour's (median of the rounds)
  c   CPU time per request of nginx divided by omni2d's (all processes of each)
  c*  the same when what omni2d does later (shipping records into PostgreSQL)
      is counted, too
  own CPU microseconds per request
and checks the floors of r and c for audit.sync: async, and what tools/list costs when 50
of 5,000 tools are visible. Called by tests/run perf.
"""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "system"))
from harness import Env, check, descendants, free_port, wait_for  # noqa: E402
from servers import http_server  # noqa: E402

FLOORS = {16: 0.70, 64: 0.60}       # r and c, with audit.sync: async
SYNCS = ("async", "journal", "fsync")

NGINX = """
daemon off;
worker_processes 2;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 4096; }}
http {{
	access_log off;
	client_body_temp_path {dir}/body;
	proxy_temp_path {dir}/proxy;
	fastcgi_temp_path {dir}/fastcgi;
	uwsgi_temp_path {dir}/uwsgi;
	scgi_temp_path {dir}/scgi;
	keepalive_requests 100000000;
	upstream server {{
		server 127.0.0.1:{upstream};
		keepalive 128;
		keepalive_requests 100000000;
	}}
	server {{
		listen 127.0.0.1:{port};
		location / {{
			proxy_pass http://server;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
		}}
	}}
}}
"""


def cpu_of(root):
    """CPU seconds of a process, all below it, and those they have reaped."""
    tick, total = os.sysconf("SC_CLK_TCK"), 0
    for pid in descendants(root):
        try:
            with open(f"/proc/{pid}/stat", "rb") as f:
                rest = f.read().rpartition(b")")[2].split()
        except OSError:
            continue
        total += sum(int(n) for n in rest[11:15])
    return total / tick


class Target:
    """Something that wrk can load: its process tree and a script for wrk."""

    def __init__(self, env, name, pid, port, path, headers, body):
        self.name, self.pid = name, pid
        self.url = f"http://127.0.0.1:{port}{path}"
        self.script = os.path.join(env.dir, f"{name}.lua")
        self.gateway = None
        lines = [f'wrk.headers["{k}"]="{v}"' for k, v in headers.items()]
        with open(self.script, "w", encoding="ascii") as f:
            f.write('wrk.method="POST"\n' + "\n".join(lines) +
                    f"\nwrk.body=[[{body}]]\n")

    def load(self, connections, seconds):
        """(requests per second, CPU seconds per request, the same with what
        comes after them)"""
        before = cpu_of(self.pid)
        done = subprocess.run(
            ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s",
             "-s", self.script, self.url], capture_output=True, text=True,
            check=True)
        check("Non-2xx" not in done.stdout and "Socket errors" not in
              done.stdout, f"{self.name}: {done.stdout}")
        n = int(re.search(r"(\d+) requests in", done.stdout)[1])
        rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)[1])
        during = (cpu_of(self.pid) - before) / n
        self.settle()
        return rate, during, (cpu_of(self.pid) - before) / n

    def settle(self):
        """Until the records of this load are in PostgreSQL."""
        if self.gateway is None:
            return
        g, last = self.gateway, -1

        def is_stable():
            nonlocal last
            n, last = last, g.row_count()
            return n == last

        wait_for(is_stable, 60, "records in PostgreSQL", every=0.3)


def start_nginx(env, up, body):
    path = env.make_dir("nginx")
    port = free_port()
    conf = os.path.join(path, "nginx.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(NGINX.format(dir=path, upstream=up.port, port=port))
    os.chmod(conf, 0o644)
    h = env.helper(["/usr/sbin/nginx", "-c", conf, "-e",
                    os.path.join(path, "error.log")], port)
    return Target(env, "nginx", h.process.pid, port, "/mcp", {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream"}, body("echo"))


def start_omni2(env, up, body, sync):
    g = env.gateway({
        "mcps": [http_server("perf", up.url)], "audit": {"sync": sync},
        "limits": {"rate_window": "1s"}, "log": {"level": "warn"}})
    g.user("ann@example.com", "power_user", "--allow", "perf:e*",
           "--limit", "131072")     # a second: counted, and never reached
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "perf__echo" in c.names(), 15, "discovery")
    t = Target(env, sync, g.pid, g.port, "/mcp", c.headers(),
               body("perf__echo"))
    t.gateway = g
    return t


def measure(nginx, gateways, rounds, seconds):
    """{(connections, name): [(r, c, c*, CPU microseconds, rate)]}"""
    found = {}
    for n in range(rounds):
        for connections in FLOORS:
            for t in gateways:
                if t.name != "async" and n % 3 != 0:
                    continue        # printed only: a third of the rounds
                got = {}
                for x in (nginx, t) if n % 2 else (t, nginx):
                    got[x.name] = x.load(connections, seconds)
                rate, cpu, _ = got[nginx.name]
                own_rate, own_cpu, own_all = got[t.name]
                found.setdefault((connections, t.name), []).append(
                    (own_rate / rate, cpu / own_cpu, cpu / own_all,
                     own_cpu * 1e6, own_rate))
                found.setdefault((connections, nginx.name), []).append(
                    (1, 1, 1, cpu * 1e6, rate))
    return found


def between(values):
    return f"{min(values):.2f}..{max(values):.2f}"


def report(found):
    failed = 0
    for (connections, name), rounds in found.items():
        r, c, later, own, rate = (statistics.median(v) for v in zip(*rounds))
        print(f"   | {connections:3} connections  {name:8} r {r:.2f} "
              f"({between([v[0] for v in rounds])})  c {c:.2f} "
              f"({between([v[1] for v in rounds])})  c* {later:.2f}  "
              f"own {own:.1f} us/request  {rate:.0f}/s")
    for connections, floor in FLOORS.items():
        for i, what in enumerate(("throughput", "cpu")):
            value = statistics.median(v[i] for v in found[connections, "async"])
            good = value >= floor
            failed += not good
            print(f"{'ok' if good else 'not ok'} perf.{what}_at_{connections} "
                  f"{'rc'[i]}={value:.2f}, at least {floor}", flush=True)
    return failed


def list_cost(env):
    """tools/list: 50 of 5,000 visible against 50 of 50."""
    many, few = env.c_upstream("-n", 5000), env.c_upstream("-n", 50)
    g = env.gateway({"mcps": [http_server("many", many.url),
                              http_server("few", few.url)]})
    rates = {}
    for name, allow in (("few", "few:*"),
                        ("some", "many:tool_000[0-4]?,echo")):
        g.user(f"{name}@example.com", "power_user", "--limit", "0",
               "--allow", allow)
        c = g.client(f"{name}@example.com").initialize()
        wait_for(lambda c=c: len(c.names()) == 50, 15, f"50 tools for {name}")
        t = Target(env, name, g.pid, g.port, "/mcp", c.headers(), json.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}))
        rates[name] = t
    costs = {name: [] for name in rates}
    for _ in range(3):
        for name, t in rates.items():
            costs[name].append(t.load(4, 2)[1] * 1e6)
    a, b = (statistics.median(costs[n]) for n in ("few", "some"))
    good = b <= a * 5
    print(f"   | tools/list: {a:.0f} us of CPU for 50 of 50, {b:.0f} us for 50 "
          "of 5,000")
    print(f"{'ok' if good else 'not ok'} perf.list_of_few_of_many "
          f"{b / a:.1f} times the cost, at most 5", flush=True)
    return not good


def main():
    p = argparse.ArgumentParser()
    for name in ("prefix", "build", "cache", "user", "node"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--rounds", type=int, default=12)
    p.add_argument("--seconds", type=int, default=1)
    o = p.parse_args()
    env = Env(o.prefix, o.build, o.cache, o.user, o.node)
    failed, keep = 1, True

    def body(tool):
        return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
                           "params": {"name": tool,
                                      "arguments": {"message": "hello"}}})

    try:
        env.pg.start()
        up = env.c_upstream()
        nginx = start_nginx(env, up, body)
        gateways = [start_omni2(env, up, body, s) for s in SYNCS]
        for t in [nginx] + gateways:
            t.load(16, 1)
        failed = report(measure(nginx, gateways, o.rounds, o.seconds))
        failed += list_cost(env)
        for g in env.gateways:
            g.stop()
        keep = False            # a slow machine leaves nothing to look at
    except (AssertionError, subprocess.SubprocessError) as e:
        failed += 1
        print("not ok perf")
        print("   |", str(e)[:2000], flush=True)
    finally:
        for g in env.gateways:
            if g.process is not None and not g.is_dead():
                g.kill()
        env.stop_helpers()
        env.close(keep=keep)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
