"""Load with a nonce in every call, and the comparison of what the clients got
with what the audit log says: every answer has exactly one record."""
import collections
import threading
import time

from harness import check, same, wait_for

NONCE = r"substring(record from '(load-[0-9]+-[0-9]+)')"


class Load:
    """Calls at a steady rate until stop(). failed: (nonce, what came)."""

    def __init__(self, g, tool="perf__echo", clients=8, pause=0.004):
        self.g, self.tool, self.pause = g, tool, pause
        self.running, self.slowest = True, 0.0
        self.answered, self.failed, self.wrong = [], [], []
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(n,),
                                         daemon=True) for n in range(clients)]
        for t in self.threads:
            t.start()

    def run(self, n):
        c, i = self.connect(), 0
        while self.running:
            nonce = f"load-{n}-{i}"
            i += 1
            start = time.monotonic()
            try:
                r = c.call(self.tool, {"message": nonce})
                good = r.is_ok and nonce in r.body.decode()
                is_foreign = r.is_ok and not good
            except Exception as e:      # pylint: disable=broad-except
                good, is_foreign, r = False, False, e
            took = time.monotonic() - start
            with self.lock:
                self.slowest = max(self.slowest, took)
                if good:
                    self.answered.append(nonce)
                else:
                    self.failed.append((nonce, repr(r)[:300]))
                if is_foreign:
                    self.wrong.append((nonce, repr(r)[:300]))
            time.sleep(self.pause)      # a rate, not a wait for something

    def connect(self):
        """A session; tried again while the gateway is being disturbed."""
        for _ in range(50):
            try:
                return self.g.client("ann@example.com", timeout=15,
                                     retry=False).initialize()
            except Exception:           # pylint: disable=broad-except
                time.sleep(0.05)
        raise AssertionError("no session within 50 attempts")

    def go_on(self, n=150, seconds=15):
        """Until n more calls were answered."""
        goal = len(self.answered) + n
        wait_for(lambda: len(self.answered) >= goal, seconds, f"{n} more calls")

    def stop(self):
        self.running = False
        for t in self.threads:
            t.join()
        same(self.wrong, [], "answers that belong to somebody else")
        return self


def compare(g, load, seconds=60):
    """Each answered call has exactly one record; a failed one at most one."""
    answered = set(load.answered)

    def counts():
        return collections.Counter(
            r[0] for r in g.rows(f"{NONCE} IS NOT NULL", NONCE))

    wait_for(lambda: len(answered) <= g.row_count("record LIKE '%load-%'"),
             seconds, f"{len(answered)} records", every=0.3)
    wait_for(lambda: answered <= set(counts()), 10, "a record of every answer")
    found = counts()
    same({n: c for n, c in found.items() if c > 1}, {}, "more than one record")
    check(len(found) <= len(answered) + len(load.failed),
          f"{len(found)} records for {len(answered)} answers and "
          f"{len(load.failed)} failures")
    twice = g.env.pg.query(
        "SELECT id FROM omni2.audit_log GROUP BY id HAVING count(*) > 1",
        g.database)
    same(twice, [], "ids that came twice")
    done = g.ctl_run("audit", "verify")
    same(done.returncode, 0, f"audit verify: {done.stdout}{done.stderr}")
