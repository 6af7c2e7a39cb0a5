"""Servers that fail in every way: an error in time, nothing poisonous passed
on, the breaker counts it, others are not slowed."""
import json
import statistics
import threading
import time

from fake import Fake
from harness import check, free_port, memory_of, same, wait_for
from servers import http_server, misbehaving_stdio

TIMEOUT_S = 2

# tool: codes that may come back; None: its own answer, if it is that
FAILURES = {
    "hang": {-32054}, "close": {-32050}, "half": {-32050},
    "lying_length": {-32050, -32054}, "garbage": {-32050},
    "not_json": {-32050}, "wrong_id": {-32050, -32054},
    "wrong_id_sse": {-32050, -32054}, "empty": {-32050},
    "batch": {-32050, None}, "two": {-32050, None}, "two_http": {-32050, None},
    "500": {-32050}, "redirect": {-32050}, "endless_head": {-32050},
    "sse_cut": {-32050}, "modern_error": {-32050, -32603},
}
FINE = ("ok", "sse", "rpc_error", "tool_error", "cookie")


class Setting:
    def __init__(self, env):
        self.fake = Fake([*FAILURES, *FINE, "endless_body", "big"])
        self.up = env.c_upstream()
        self.g = env.gateway({
            "mcps": [
                http_server("bad", self.fake.url, timeout_seconds=TIMEOUT_S),
                http_server("good", self.up.url),
                misbehaving_stdio(env, "odd", timeout_seconds=TIMEOUT_S)],
            "breaker": {"failure_threshold": 1000},
            "limits": {"result": "8M"}})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        self.c = self.open()
        wait_for(lambda: {"bad__ok", "good__echo", "odd__echo"} <= set(
            self.c.names()), 15, "discovery")

    def open(self):
        return self.g.client("ann@example.com").initialize()


def setup(env):
    return Setting(env)


def test_every_failure_is_an_error_in_time(_env, it):
    wrong = []
    for tool, codes in FAILURES.items():
        start = time.monotonic()
        r = it.c.call(f"bad__{tool}")
        took = time.monotonic() - start
        code = r.message.get("error", {}).get("code")
        if code not in codes:
            wrong.append(f"{tool}: code {code}, want {codes}: {r}")
        if b"POISON" in r.body:
            wrong.append(f"{tool}: somebody else's answer passed: {r}")
        if took > TIMEOUT_S + 1:
            wrong.append(f"{tool}: {took:.1f} s")
        if r.message.get("id") != it.c.id:
            wrong.append(f"{tool}: id {r.message.get('id')}")
        if not it.c.call("good__echo").is_ok:
            wrong.append(f"after {tool} another server fails")
    check(not wrong, "\n".join(wrong))


def test_fine_ones_are_fine(_env, it):
    for tool in ("ok", "sse", "cookie"):
        r = it.c.call(f"bad__{tool}")
        check(r.is_ok, f"{tool}: {r}")
        check(b"POISON" not in r.body, f"{tool}: {r}")
        check("set-cookie" not in r.headers and "x-internal" not in r.headers,
              f"{tool}: {r.headers}")
        check(b"POISON" not in it.c.call("bad__ok").body, "the call after it")


def test_errors_of_the_tool_pass(_env, it):
    r = it.c.call("bad__tool_error")
    same((r.status, r.result["isError"]), (200, True), "isError")
    r = it.c.call("bad__rpc_error")
    same(r.error["message"], "mine", "error of the server")


def test_endless_answer_is_cut(_env, it):
    before = memory_of([it.g.pid, *it.g.children()])
    r = it.c.call("bad__endless_body")
    check(r.error["code"] in (-32050, -32054, -32600), r)
    used = memory_of([it.g.pid, *it.g.children()]) - before
    check(used < 80 << 20, f"{used >> 20} MiB more")


def test_big_answer_passes(_env, it):
    c = it.open()
    r = c.request("tools/call", {"name": "bad__big",
                                 "arguments": {"bytes": 5 << 20}})
    same(len(r.text), 5 << 20, "bytes")


def test_stdio_servers(_env, it):
    c = it.c
    check(c.call("odd__echo", {"message": "x"}).text == "x", "before")
    r = c.call("odd__crash")
    check(r.error["code"] in (-32050, -32054), r)
    wait_for(lambda: c.call("odd__echo").is_ok, 10, "a new process")
    same(c.call("odd__garbage").text, "after garbage", "garbage is skipped")
    r = c.call("odd__wrong_id")
    check(r.error["code"] in (-32054, -32050) and b"POISON" not in r.body, r)
    check(c.call("odd__echo", {"message": "y"}).text == "y", "after wrong id")


def test_stdio_environment_is_clean(_env, it):
    """No secret and no descriptor of omni2d reaches the server."""
    text = it.c.call("odd__environment").text
    for word in ("token_secret", "PGPASSWORD", "secret of the tests"):
        check(word not in text, text)


def test_server_that_is_down(env, it):
    port = free_port()
    g = env.gateway({"mcps": [
        http_server("down", f"http://127.0.0.1:{port}/mcp", timeout_seconds=2),
        http_server("good", it.up.url)]})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: "good__echo" in c.names(), 10, "discovery of the other")
    same(g.health(), 200, "ready without one server")
    check(c.call("good__echo").is_ok, "the other")
    d = g.client("ann@example.com", "/servers/down/mcp")
    r = d.request("initialize", {"protocolVersion": "2025-11-25",
                                 "capabilities": {}, "clientInfo": {
                                     "name": "x", "version": "1"}})
    check(r.status in (200, 502, 503), r)


def test_breaker(env, it):
    """Five failures open it; then calls fail at once; it closes again."""
    fake = Fake(["ok", "close"])
    g = env.gateway({
        "mcps": [http_server("bad", fake.url, timeout_seconds=1),
                 http_server("good", it.up.url)],
        "breaker": {"failure_threshold": 5, "timeout": "2s"},
        "mcp": {"health_interval": "60s"}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: {"bad__ok", "good__echo"} <= set(c.names()), 10,
             "discovery")
    for i in range(5):
        r = c.call("bad__close")
        same(r.error["code"], -32050, f"failure {i}: {r}")
    arrived = fake.calls
    start = time.monotonic()
    r = wait_for(lambda: (lambda a: a if a.message["error"]["code"] == -32052
                          else None)(c.call("bad__close")), 1, "open breaker")
    check(0 < r.error["data"]["retry_after_seconds"] <= 2, f"open: {r}")
    check(fake.calls - arrived <= 2, "calls that arrived while open")
    check(time.monotonic() - start < 1, "an open breaker must fail fast")
    check(c.call("good__echo").is_ok, "the other server")
    check(g.metric("omni2_breaker_refused_total") >= 1, "metric")
    wait_for(lambda: c.call("bad__ok").is_ok, 6, "half open, then closed")
    check(c.call("bad__ok").is_ok, "closed")


def test_hanging_server_does_not_slow_others(env, it):
    fake = Fake(["ok", "hang"])
    g = env.gateway({
        "mcps": [http_server("bad", fake.url, timeout_seconds=5),
                 http_server("good", it.up.url)],
        "server": {"workers": {"min_spare": 4, "max_spare": 16, "max": 64}}})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    c = g.client("ann@example.com").initialize()
    wait_for(lambda: {"bad__ok", "good__echo"} <= set(c.names()), 10,
             "discovery")

    def p99():
        times = []
        for _ in range(300):
            start = time.perf_counter()
            check(c.call("good__echo").is_ok, "good")
            times.append(time.perf_counter() - start)
        return statistics.quantiles(times, n=100)[98]

    quiet = p99()
    jobs = [threading.Thread(target=lambda: g.client(
        "ann@example.com").initialize().call("bad__hang"), daemon=True)
        for _ in range(24)]
    for j in jobs:
        j.start()
    wait_for(lambda: fake.count("hang") >= 24, 5, "hanging calls")
    busy = p99()
    print(f"   | p99 {quiet * 1e3:.2f} ms alone, {busy * 1e3:.2f} ms beside "
          "24 hanging calls")
    check(busy < max(3 * quiet, 0.02), f"{busy * 1e3:.1f} ms")
    for j in jobs:
        j.join()


def test_results_too_large_for_one_batch(_env, it):
    """Each alone is within limits.result; the answer is JSON all the same."""
    c = it.g.client("ann@example.com", version="2025-03-26").initialize()

    def send(n):
        return c.send(json.dumps([c.message("tools/call", {
            "name": "bad__big", "arguments": {"bytes": 3 << 20}}, i)
            for i in range(n)]).encode(), c.headers())
    same([len(m["result"]["content"][0]["text"]) for m in send(2).message],
         [3 << 20] * 2, "two")
    r = send(4)
    same([m["id"] for m in r.message if "result" in m], [0, 1], "what fits")
    same([(m["id"], m["error"]["code"]) for m in r.message if "error" in m],
         [(2, -32600), (3, -32600)], "what does not")
    same(it.g.row_count("method='tools/call' AND result='error' AND "
                        "object='big' AND rpc_code=-32600"), 2, "records")
    check(it.c.call("good__echo").is_ok, "service goes on")
