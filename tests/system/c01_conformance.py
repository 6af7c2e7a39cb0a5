"""The official MCP conformance suites against one server behind the gateway.

tests/conformance/expected-failures.txt lists what is known to fail; anything
else must pass, and what passes must leave the list.
"""
import os
import re
import subprocess

from harness import check, wait_for
from servers import reference, reference_stdio

LIMIT_S = 600


def setup(env):
    g = env.gateway({"mcps": [reference(env), reference_stdio(env)]})
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    for name in ("reference", "reference_stdio"):
        wait_for(lambda n=name: "test_simple_text" in g.client(
            "ann@example.com", f"/servers/{n}/mcp").initialize().names(), 20,
            "discovery")
    return g


def expected(env, suite):
    path = os.path.join(env.conformance, "expected-failures.txt")
    with open(path, encoding="ascii") as f:
        words = [line.split("#")[0].split() for line in f]
    return {w[1] for w in words if len(w) == 2 and w[0] == suite}


def run(env, g, suite, server="reference"):
    done = subprocess.run(
        [os.path.join(env.conformance, "run.sh"),
         f"http://127.0.0.1:{g.port}/servers/{server}/mcp"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        cwd=env.dir, env=dict(
            os.environ, SUITE=suite,
            OUT=os.path.join(env.dir, f"{server}-{suite}"),
            CACHE=os.path.join(env.cache, "conformance"),
            AUTHORIZATION=f"Bearer {g.keys['ann@example.com']}"))
    check(done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:])
    scored = done.stdout.split("not scored:")[0]
    failed = set(re.findall(r"^FAIL ([^:]+):", scored, re.M))
    passed = set(re.findall(r"^ok +([^:]+):", scored, re.M))
    print(f"   | {suite}: {len(passed)} of {len(passed | failed)} scenarios, "
          f"{done.stdout.strip().splitlines()[-1]}")
    known = expected(env, suite)
    wrong = failed - known
    check(not wrong, lambda: "\n".join(
        block for block in re.split(r"\n(?=FAIL|ok  )", scored)
        if block.split(":")[0].removeprefix("FAIL ") in wrong)[:6000])
    check(not known & passed,
          f"no longer fail, take them off the list: {sorted(known & passed)}")


def test_suite_0_1_16(env, g):
    run(env, g, "0.1.16")


def test_suite_2025_11_25(env, g):
    run(env, g, "2025-11-25")


def test_suite_2026_07_28(env, g):
    run(env, g, "2026-07-28")


def test_stdio_0_1_16(env, g):
    run(env, g, "0.1.16", "reference_stdio")


def test_stdio_2025_11_25(env, g):
    run(env, g, "2025-11-25", "reference_stdio")


def test_stdio_2026_07_28(env, g):
    run(env, g, "2026-07-28", "reference_stdio")
