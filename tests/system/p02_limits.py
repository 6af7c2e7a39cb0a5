"""Sliding windows: exactly the limit, exactly one more when one leaves, never
more than that under concurrency, and dead workers change nothing."""
import os
import re
import signal
import time

from harness import check, in_parallel, same, wait_for, works
from servers import http_server

WINDOW_S = 4.0
TEXT = (r"Rate limit exceeded\. You've made 20/20 requests in the last hour\. "
        r"Please try again in (\d+) minutes\.")


def make(env, window=None, **more):
    up = env.c_upstream()
    config = {"mcps": [http_server("perf", up.url)], **more}
    if window:
        config["limits"] = {"rate_window": f"{int(window * 1000)}ms"}
    g = env.gateway(config)
    g.up = up
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    wait_for(lambda: "perf__echo" in g.client("ann@example.com").initialize()
             .names(), 10, "discovery")
    return g


def setup(env):
    return make(env)


def contractor(g, name):
    g.user(f"{name}@example.com", "contractor", "--allow-all")
    return g.client(f"{name}@example.com").initialize()


def test_the_21st_call_of_a_contractor(_env, g):
    c = contractor(g, "con")
    before = g.up.count()["calls"]
    for i in range(20):
        check(c.call("perf__echo").is_ok, f"call {i + 1}")
    r = c.call("perf__echo")
    same((r.status, r.error["code"]), (429, -32029), r)
    found = re.fullmatch(TEXT, r.error["message"])
    check(found and found[1] == "59", r)
    check(0 < int(r.headers["retry-after"]) <= 3600, r.headers)
    same(g.up.count()["calls"], before + 20, "calls that arrived")
    check(c.request("ping").is_ok, "other requests are not limited away")


def test_denied_calls_are_not_counted(_env, g):
    g.user("den@example.com", "contractor", "--allow", "perf:nothing")
    c = g.client("den@example.com").initialize()
    for _ in range(25):
        same(c.call("perf__echo").status, 403, "denied")
    g.ctl("user", "set", "den@example.com", "--allow", "perf:*")
    check(c.call("perf__echo").is_ok, "first allowed call")


def test_roles_and_their_limits(_env, g):
    for role, limit in (("read_only", 30), ("junior_dba", 50), ("qa_tester", 50),
                        ("power_user", 100), ("senior_dev", 150), ("dba", 200)):
        g.user(f"{role}@example.com", role, "--allow-all")
        c = g.client(f"{role}@example.com").initialize()
        passed = 0
        while passed <= limit and (r := c.call("perf__echo")).is_ok:
            passed += 1
        same(passed, limit, f"calls of a {role}")
        check(f"{limit}/{limit} requests" in r.error["message"], r)


def test_own_limit_of_a_user(_env, g):
    g.user("five@example.com", "contractor", "--allow-all", "--limit", "5")
    c = g.client("five@example.com").initialize()
    same(sum(c.call("perf__echo").is_ok for _ in range(8)), 5, "calls")


def test_admins_are_not_limited(_env, g):
    g.user("boss@example.com", "admin")
    c = g.client("boss@example.com").initialize()
    check(all(c.call("perf__echo").is_ok for _ in range(250)), "250 calls")


def test_all_connections_share_one_count(_env, g):
    contractor(g, "par")
    clients = [g.client("par@example.com").initialize() for _ in range(64)]
    got = in_parallel([lambda c=c: c.call("perf__echo").is_ok
                       for c in clients])
    same(got.count(True), 20, f"of 64 at once: {got}")


def test_never_over_under_pressure(_env, g):
    for i in range(5):
        contractor(g, f"press{i}")
        clients = [g.client(f"press{i}@example.com").initialize()
                   for _ in range(16)]

        def job(c):
            return sum(c.call("perf__echo").is_ok for _ in range(10))

        got = in_parallel([lambda c=c: job(c) for c in clients])
        same(sum(got), 20, f"round {i}: {got}")


def test_limits_survive_dead_workers(_env, g):
    c = contractor(g, "sur")
    for i in range(10):
        check(c.call("perf__echo").is_ok, f"call {i + 1}")
    for pid in g.pids("worker"):
        works(lambda p=pid: os.kill(p, signal.SIGKILL))
    # a dying worker may have taken the first one's request with it
    wait_for(lambda: works(lambda: g.client(
        "ann@example.com", timeout=8).initialize().call("perf__echo").is_ok),
        10, "new workers")
    same(sum(c.call("perf__echo").is_ok for _ in range(15)), 10, "calls left")


def test_limits_survive_a_reload(_env, g):
    c = contractor(g, "rel")
    for _ in range(20):
        check(c.call("perf__echo").is_ok, "call")
    g.ctl("reload")
    same(c.call("perf__echo").status, 429, "after a reload")


def test_two_credentials_of_one_user(_env, g):
    c = contractor(g, "two")
    g.keys.pop("two@example.com")
    d = g.client("two@example.com").initialize()
    for _ in range(10):
        check(c.call("perf__echo").is_ok and d.call("perf__echo").is_ok, "call")
    same((c.call("perf__echo").status, d.call("perf__echo").status),
         (429, 429), "after 20")


def test_who_is_over_the_own_limit_takes_nothing_of_the_servers(env):
    up = env.c_upstream()
    g = env.gateway({"mcps": [http_server(
        "perf", up.url, rate_limit={"requests_per_minute": 10})]})
    g.user("one@example.com", "contractor", "--allow-all", "--limit", "1")
    g.user("all@example.com", "contractor", "--allow-all", "--limit", "0")
    one = g.client("one@example.com").initialize()
    wait_for(lambda: "perf__echo" in one.names(), 10, "discovery")
    check(one.call("perf__echo").is_ok, "the one call")
    for _ in range(20):
        r = one.call("perf__echo")
        check(r.status == 429 and "1/1 requests" in r.error["message"], r)
    c = g.client("all@example.com").initialize()
    same([c.call("perf__echo").status for _ in range(10)], [200] * 9 + [429],
         "what the others have left")
    r = c.call("perf__echo")
    check("Server perf takes 10 requests" in r.error["message"], r)
    check(0 < int(r.headers["retry-after"]) <= 60, r.headers)
    same(up.count()["calls"], 10, "calls that arrived")


def test_window_slides(env):
    """One leaves, one passes: never two."""
    g = make(env, WINDOW_S)
    c = contractor(g, "sli")
    first = time.monotonic()
    check(c.call("perf__echo").is_ok, "call 1")
    after_first = time.monotonic()
    wait_for(lambda: time.monotonic() > first + WINDOW_S / 2, WINDOW_S,
             "half a window")
    for i in range(19):
        check(c.call("perf__echo").is_ok, f"call {i + 2}")
    same(c.call("perf__echo").status, 429, "call 21")

    def try_again():
        before = time.monotonic()
        return before if c.call("perf__echo").is_ok else 0

    again = wait_for(try_again, WINDOW_S, "one more")
    check(first + WINDOW_S - 0.05 <= time.monotonic(), "too early")
    check(again <= after_first + WINDOW_S + 0.5,
          f"{again - after_first:.2f} s after the first")
    for _ in range(20):
        same(c.call("perf__echo").status, 429, "a second one passed")


def test_retry_after_is_true(env):
    g = make(env, WINDOW_S)
    c = contractor(g, "ret")
    for _ in range(20):
        check(c.call("perf__echo").is_ok, "call")
    r = c.call("perf__echo")
    seconds = int(r.headers["retry-after"])
    check(1 <= seconds <= WINDOW_S + 1, r.headers)
    end = time.monotonic() + seconds
    wait_for(lambda: time.monotonic() >= end, seconds + 1, "Retry-After")
    check(c.call("perf__echo").is_ok, "after the time it named")


def test_window_over_many_turns(env):
    """Asked all the time over several windows: at most 20 in any window."""
    g = make(env, 2)
    c = contractor(g, "tur")
    passed, end = [], time.monotonic() + 9
    while time.monotonic() < end:
        before = time.monotonic()
        if c.call("perf__echo").is_ok:
            passed.append((before, time.monotonic()))
    for i, (_, done) in enumerate(passed):
        # those that surely lie within 2 s from the end of this one
        inside = sum(1 for start, _ in passed[i:] if start < done + 2.0 - 0.02)
        check(inside <= 21, f"{inside} calls within a window")
    check(len(passed) >= 80, f"{len(passed)} calls in 9 s")
