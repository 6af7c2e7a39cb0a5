"""omni2d starts as it should, says precisely why it will not, and stops."""
import os
import subprocess

from harness import check, same, stat_of, wait_for, http_get, is_open

GOOD = """\
server:
  listen: 127.0.0.1:{port}
  run_dir: {dir}
  state_dir: {dir}
auth:
  token_secret: "0123456789abcdef0123456789abcdef"
database:
  url: {database}
"""

# What is appended to GOOD, and what must be said about which line of it
# (line 1 is the first one appended).
BROKEN = {
    "unknown key": ("server2:\n  listen: 1\n", 1, ("server2", "unknown")),
    "did you mean": ("limits:\n  rate_windw: 5s\n", 2,
                     ("limits.rate_windw", "did you mean", "rate_window")),
    "no number": ("limits:\n  rate_principals: nine\n", 2,
                  ("limits.rate_principals", "nine")),
    "out of range": ("breaker:\n  failure_threshold: 0\n", 2,
                     ("breaker.failure_threshold", "0")),
    "not one of": ("audit:\n  sync: sometimes\n", 2,
                   ("audit.sync", "sometimes", "async")),
    "unset variable": ("log:\n  level: ${OMNI2_TEST_UNSET:?say what}\n", 2,
                       ("OMNI2_TEST_UNSET", "say what")),
    "missing secret": ("audit:\n  redact: [a]\nmcps:\n  - name: a\n"
                       "    url: http://127.0.0.1:1/mcp\n    authentication:\n"
                       "      type: bearer\n      token_file: /nowhere/token\n",
                       8, ("token_file", "/nowhere/token")),
    "duplicate key": ("log:\n  level: info\n  level: warn\n", 3, ("level",)),
    "syntax": ("log: [info\nmcp:\n  page_size: 1\n", None, ()),
    "tab": ("log:\n\tlevel: info\n", 2, ()),
    "server name": ("mcps:\n  - name: a__b\n    url: http://127.0.0.1:1/\n", 2,
                    ("a__b",)),
    "two servers": ("mcps:\n  - {name: a, url: 'http://127.0.0.1:1/'}\n"
                    "  - {name: a, url: 'http://127.0.0.1:2/'}\n", 3, ("a",)),
    "unknown role": ("users:\n  - {email: a@example.com, role: drummer}\n", 2,
                     ("drummer",)),
    "unknown server": ("users:\n  - {email: a@example.com, role: dba, "
                       "allowed_mcps: [nobody]}\n", 2, ("nobody",)),
    "stdio by URL": ("mcps:\n  - {name: a, protocol: stdio, "
                     "url: 'http://127.0.0.1:1/'}\n", 2, ("url",)),
}


def setup(env):
    """A database for the checks that need one."""
    g = env.gateway(start=False)
    return env.pg.url(g.database)


def run(env, *args, conf=None):
    command = [env.omni2d, *args] + (["-c", conf] if conf else [])
    return subprocess.run(command, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=30,
                          check=False, cwd="/", env=env.clean_environment(),
                          **env.as_user())


def write(env, text, database="host=/nowhere"):
    path = os.path.join(env.make_dir("conf", mode=0o755), "omni2.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write(text.replace("{port}", "8090").replace(
            "{dir}", os.path.dirname(path)).replace("{database}", database))
    return path


def test_version(env):
    done = run(env, "-V")
    same(done.returncode, 0, "exit status")
    check("omni2" in done.stdout, done.stdout)


def test_usage(env):
    same(run(env, "--nonsense").returncode, 64, "exit status")


def test_missing_file(env):
    done = run(env, "-t", conf="/nowhere/omni2.yaml")
    same(done.returncode, 78, "exit status")
    check("/nowhere/omni2.yaml" in done.stderr, done.stderr)


def test_good_configuration(env, database):
    done = run(env, "-t", conf=write(env, GOOD, database))
    same((done.returncode, done.stderr), (0, ""), "exit status, stderr")
    same(done.stdout.strip().splitlines()[-1], "configuration OK", "stdout")


def test_database_away_is_a_warning(env):
    done = run(env, "-t", conf=write(env, GOOD))
    same(done.returncode, 0, "exit status")
    check("warning" in done.stderr and "/nowhere" in done.stderr, done.stderr)


def test_broken_configurations(env, database):
    base = GOOD.count("\n")
    for name, (text, line, words) in BROKEN.items():
        path = write(env, GOOD + text, database)
        done = run(env, "-t", conf=path)
        said = f"{name}: {done.returncode} {done.stderr}"
        same(done.returncode, 78, said)
        check("configuration OK" not in done.stdout, said)
        if line:
            check(f"{path}:{base + line}:" in done.stderr, said)
        else:
            check(f"{path}:" in done.stderr, said)
        for word in words:
            check(word in done.stderr, f"{said}: {word!r} is not in it")


def test_all_errors_in_one_run(env):
    path = write(env, GOOD + "audit: {sync: x, nosuch: 1}\n"
                             "breaker: {timeout: long}\n")
    done = run(env, "-t", conf=path)
    same(done.returncode, 78, "exit status")
    lines = [s for s in done.stderr.splitlines() if s.startswith(path)]
    check(len(lines) >= 3, done.stderr)
    same(lines, sorted(lines, key=lambda s: [
        int(n) for n in s[len(path) + 1:].split(":")[:2]]), "order of errors")


def test_will_not_start_broken(env):
    done = run(env, "-f", conf=write(env, GOOD + "nonsense: 1\n"))
    same(done.returncode, 78, "exit status")


def test_no_secret_no_start(env):
    """There is no mode without authentication."""
    done = run(env, "-t", conf=write(env, GOOD.replace(
        '"0123456789abcdef0123456789abcdef"', '""')))
    same(done.returncode, 78, "exit status with an empty token_secret")


def test_split_files(env):
    path = write(env, GOOD + "include: [mcps.yaml]\n")
    with open(os.path.join(os.path.dirname(path), "mcps.yaml"), "w",
              encoding="utf-8") as f:
        f.write("mcps:\n  - name: a\n    url: http://127.0.0.1:1/mcp\n"
                "    timout_seconds: 3\n")
    done = run(env, "-t", conf=path)
    same(done.returncode, 78, "exit status")
    check("mcps.yaml:4:" in done.stderr and "timeout_seconds" in done.stderr,
          done.stderr)


def test_lives(env):
    g = env.gateway()
    same(g.health("/health/live"), 200, "/health/live")
    same(g.health("/health/ready"), 200, "/health/ready")
    status, headers, body = http_get(g.port, "/health")
    same(status, 200, "/health")
    check("json" in headers["content-type"], headers)
    check(b'"status"' in body, body)
    with open(os.path.join(g.run_dir, "omni2d.pid"), encoding="ascii") as f:
        same(int(f.read()), g.pid, "pid file")
    for role in ("keeper", "poller", "auditor", "stdiod", "worker"):
        check(role in g.roles(), f"no {role}: {g.roles()}")
    if env.is_root:
        for pid in [g.pid, *g.children()]:
            with open(f"/proc/{pid}/status", encoding="ascii") as f:
                uids = [s for s in f if s.startswith("Uid:")][0].split()[1:]
            check("0" not in uids, f"process {pid} runs as root")


def test_second_one_refuses(env):
    """Two of them must not share a port or a run directory."""
    g = env.gateways[-1]
    done = run(env, "-f", conf=g.conf)
    check(done.returncode != 0 and "in use" in done.stderr, done)
    same(g.health(), 200, "the first one")


def test_stops(env):
    g = env.gateways[-1]
    tree = g.children()
    g.stop()
    check(not os.path.exists(os.path.join(g.run_dir, "omni2d.pid")), "pid file")
    wait_for(lambda: not any(stat_of(p) for p in tree), 3, "children gone")
    same(is_open(g.port), False, "port")
