#!/usr/bin/python3
"""Runs the system tests: one line per test, "ok NAME", "not ok NAME" or "skip
NAME reason", and what went wrong indented below it. Called by tests/run.

    run.py --prefix DIR --build DIR --cache DIR --user NAME --node PATH
           [--quick] [--only PREFIX,PREFIX] [--keep]

A file aNN_what.py has functions test_*(env) or test_*(env, it), where `it` is
what its setup(env) returned. Everything started in between is stopped at the
end of the file, and the line NAME.clean says whether nothing was left over.
"""
import argparse
import importlib
import inspect
import os
import signal
import sys
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from harness import HERE, Env, Skip  # noqa: E402

LIMIT_S = 120           # a test may set LIMIT_S = seconds in its file


class TooLong(Exception):
    pass


def on_alarm(*_):
    raise TooLong("the test took too long")


class Results:
    def __init__(self):
        self.failed = 0

    def line(self, word, name, more=""):
        self.failed += word == "not ok"
        print(f"{word} {name} {more}".rstrip(), flush=True)

    def run(self, name, function, limit=LIMIT_S):
        start = time.monotonic()
        signal.alarm(limit)
        try:
            function()
            signal.alarm(0)
            self.line("ok", name, f"({time.monotonic() - start:.1f} s)")
            return True
        except Skip as e:
            signal.alarm(0)
            self.line("skip", name, str(e))
        except (Exception, KeyboardInterrupt) as e:
            signal.alarm(0)
            self.line("not ok", name)
            for text in "".join(traceback.format_exception(e)).splitlines()[-24:]:
                print("   |", text, flush=True)
            if isinstance(e, KeyboardInterrupt):
                raise
        return False


def run_file(name, env, results):
    module = importlib.import_module(name)
    limit = getattr(module, "LIMIT_S", LIMIT_S)
    it, good = None, True
    try:
        if hasattr(module, "setup"):
            def start():
                nonlocal it
                it = module.setup(env)
            good = results.run(f"{name}.setup", start, limit)
        for test, function in list(vars(module).items()):
            if not good or not test.startswith("test_"):
                continue
            wants_it = len(inspect.signature(function).parameters) > 1
            passed = results.run(
                f"{name}.{test[5:]}",
                lambda f=function, w=wants_it: f(env, it) if w else f(env),
                limit)
            if not passed:
                for g in env.gateways:
                    if g.process is not None and os.path.exists(g.log):
                        for text in g.log_tail(8).splitlines():
                            print("   log |", text[:300], flush=True)
    finally:
        results.run(f"{name}.clean", lambda: clean(env))


def clean(env):
    problems = []
    for g in env.gateways:
        try:
            g.stop()
        except AssertionError as e:
            problems.append(str(e))
    env.gateways.clear()
    env.stop_helpers()
    if not env.pg.started:
        env.pg.start()
    if problems:
        raise AssertionError("; ".join(problems))


def main():
    p = argparse.ArgumentParser()
    for name in ("prefix", "build", "cache", "user", "node"):
        p.add_argument("--" + name, required=True)
    p.add_argument("--quick", action="store_true")
    p.add_argument("--keep", action="store_true")
    p.add_argument("--only", default="")
    o = p.parse_args()
    signal.signal(signal.SIGALRM, on_alarm)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    wanted = tuple(o.only.split(",")) if o.only else ("",)
    files = sorted(f[:-3] for f in os.listdir(HERE)
                   if f.endswith(".py") and f[1:3].isdigit() and
                   f.startswith(wanted))
    env = Env(o.prefix, o.build, o.cache, o.user, o.node, o.quick)
    results = Results()
    try:
        env.pg.start()
        for name in files:
            run_file(name, env, results)
    finally:
        for g in env.gateways:
            if g.process is not None and not g.is_dead():
                g.kill()
        env.stop_helpers()
        env.close(keep=o.keep or results.failed)
        if o.keep or results.failed:
            print(f"kept: {env.dir}", file=sys.stderr)
    return 1 if results.failed else 0


if __name__ == "__main__":
    sys.exit(main())
