"""The suites' client scenarios: omni2 as the client of an upstream. The suite is
the server, tests/conformance/client-driver.mjs starts an omni2d in front of it
and plays the scenario through that. All but auth/*."""
import glob
import json
import os
import re
import shlex
import subprocess

from harness import check

LIMIT_S = 240
# (package, what `list` is given, what each run is given)
SUITES = {
    "0.1.16": ("0.1.16", (), ()),
    "2025-11-25": ("0.2.0-alpha.12", ("--requirements", "2025-11-25"),
                   ("--spec-version", "2025-11-25")),
    "2026-07-28": ("0.2.0-alpha.12", ("--requirements", "2026-07-28"),
                   ("--spec-version", "2026-07-28")),
}
# Reported by the suites, scored in none.
MORE = {"2025-11-25": ["json-schema-2020-12-preservation"],
        "2026-07-28": ["json-schema-2020-12-preservation"]}


class Setting:
    def __init__(self, env):
        self.env = env
        subprocess.run([os.path.join(env.conformance, "run.sh"), "--install"],
                       check=True, stdin=subprocess.DEVNULL, env=dict(
                           os.environ, CACHE=self.cache))
        # its database is what is wanted; each driver starts its own omni2d
        self.g = env.gateway(start=False)

    @property
    def cache(self):
        return os.path.join(self.env.cache, "conformance")

    def suite(self, package, *args, **more):
        return subprocess.run(
            [self.env.node, os.path.join(
                self.cache, "node_modules", f"conformance-{package}", "dist",
                "index.js"), *args],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, cwd=self.env.dir, timeout=120,
            env=dict(os.environ, **more))

    def scenarios(self, name):
        package, listed, _ = SUITES[name]
        text = self.suite(package, "list", "--client", *listed).stdout
        text = text.split("Client scenarios")[1].split("\n\n")[0]
        found = [s for s in re.findall(r"^  - (\S+)", text, re.M)
                 if not s.startswith("auth/")]
        check(found, f"{name}: no client scenarios in {text}")
        return found + MORE.get(name, [])

    def play(self, name, scenario, downstream):
        """The checks that failed, as text."""
        package, _, given = SUITES[name]
        out = os.path.join(self.env.dir, "client", name)
        done = self.suite(
            package, "client", "--scenario", scenario, *given, "--timeout",
            "60000", "-o", out, "--command",
            shlex.join([self.env.node, os.path.join(
                self.env.conformance, "client-driver.mjs")]),
            OMNI2D=self.env.omni2d, NODE_MODULES_DIR=self.env.npm,
            DOWNSTREAM=downstream, DATABASE_URL=self.env.pg.url(self.g.database),
            OMNI2_UID=str(self.env.uid), OMNI2_GID=str(self.env.gid))
        found = sorted(glob.glob(os.path.join(
            glob.escape(out), "**", "checks.json"), recursive=True),
            key=os.path.getmtime)
        found = [f for f in found if scenario in f]
        if not found:
            return f"it wrote no results:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        with open(found[-1], encoding="utf-8") as f:
            checks = json.load(f)
        wrong = [f"{c['status']} {c['id']}: {c.get('errorMessage')}"
                 for c in checks if c["status"] in ("FAILURE", "WARNING")]
        if not any(c["status"] == "SUCCESS" for c in checks):
            wrong.append("nothing was checked")
        if "CLIENT EXITED WITH ERROR" in done.stdout or \
                "CLIENT TIMED OUT" in done.stdout:
            wrong.append("the driver failed")
        if wrong:
            errors = os.path.join(os.path.dirname(found[-1]), "stderr.txt")
            if os.path.exists(errors):
                with open(errors, encoding="utf-8", errors="replace") as f:
                    wrong.append(f.read()[-1500:])
        return "\n".join(wrong)


def setup(env):
    return Setting(env)


def run(it, name, downstream=""):
    wrong, scenarios = [], it.scenarios(name)
    for scenario in scenarios:
        text = it.play(name, scenario, downstream)
        if text:
            wrong.append(f"{scenario}:\n{text}")
    print(f"   | {name}: {len(scenarios) - len(wrong)} of {len(scenarios)} "
          "client scenarios")
    check(not wrong, lambda: "\n\n".join(wrong)[:8000])


def test_suite_0_1_16(_env, it):
    run(it, "0.1.16")


def test_suite_2025_11_25(_env, it):
    run(it, "2025-11-25")


def test_suite_2026_07_28(_env, it):
    run(it, "2026-07-28")


def test_modern_client_2025_11_25(_env, it):
    run(it, "2025-11-25", "modern")


def test_legacy_client_2026_07_28(_env, it):
    run(it, "2026-07-28", "legacy")
