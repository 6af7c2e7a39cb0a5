"""Large results of servers that answer all their calls over one connection:
stdio, HTTP+SSE, WebSocket. They pass with the memory of a few buffers, and who
reads slowly, leaves or gets too much does not touch the others."""
import contextlib
import json
import os

from fakes.big import digest, envelope, pieces
from f03_disk_full import small_disk
from harness import check, descendants, free_port, in_parallel, same, wait_for
from http.client import IncompleteRead
from m09_big import (JSON_ONLY, SIZE, SSE_FIRST, forget_high_water,
                     high_water, http_connection, read_all)
from servers import stdio_server

LIMIT_S = 240
GROWTH = 8 << 20        # of any process, while 100 MiB pass
STREAMED = 128 << 20    # limits.streamed
SPOOL = 160 << 20       # limits.spool
ROOTS = {"roots": {}}
KINDS = ("pipe", "sse", "ws")
OWNED = ("pipe", {}), ("sse", ROOTS), ("ws", ROOTS)     # not by a worker


def servers(env):
    script = os.path.join(env.fakes, "big_links.py")
    sse, ws = free_port(), free_port()
    env.helper(["/usr/bin/python3", script, "sse", str(sse)], sse)
    env.helper([env.python, script, "ws", str(ws)], ws)
    return [stdio_server("pipe", "/usr/bin/python3", script, "stdio"),
            {"name": "sse", "protocol": "sse",
             "url": f"http://127.0.0.1:{sse}/sse"},
            {"name": "ws", "protocol": "websocket",
             "url": f"ws://127.0.0.1:{ws}/mcp"}]


def gateway(env, mcps, **more):
    return env.gateway({
        "mcps": mcps,
        "limits": {"result": 32 << 20, "streamed": STREAMED, "spool": SPOOL},
        "breaker": {"failure_threshold": 1000},
        "users": [{"email": "ann@example.com", "role": "power_user",
                   "allowed_mcps": "*",
                   "rate_limit": {"requests_per_hour": 0}}], **more})


class Setting:
    def __init__(self, env):
        self.env = env
        self.g = gateway(env, servers(env))
        c = self.client()
        for kind in KINDS:
            wait_for(lambda k=kind: f"{k}__big" in c.names(), 30, kind)

    def client(self, capabilities=None):
        return self.g.client("ann@example.com", timeout=60,
                             capabilities=capabilities).initialize()


def setup(env):
    return Setting(env)


def again(c):
    """The same session on another connection, so perhaps another worker."""
    other = type(c)(c.port, c.key, c.path, c.version, timeout=60)
    other.session, other.id = c.session, c.id + 1000
    return other


def start(client, tool, accept=JSON_ONLY, **given):
    """A call whose answer is not read yet."""
    client.id += 1
    params = {"name": tool, "arguments": given}
    m = client.message("tools/call", params, client.id)
    c = http_connection(client.port)
    c.request("POST", client.path, json.dumps(m),
              {**client.headers("tools/call", m["params"]),
               "Accept": accept})
    return c


def finish(c, client, kind, size):
    r = c.getresponse()
    same(r.status, 200, "status")
    parts = list(read_all(r))
    c.close()
    check(len(parts) > 10, f"a small answer: {parts}")
    got = digest(parts)
    want = digest(p.replace(b"\n", b" ") if kind == "pipe" else p
                  for p in envelope(client.id, pieces(size)))
    same(got, want, "SHA-256 and bytes of the answer")


def error_of(client, tool, **given):
    with contextlib.closing(start(client, tool, **given)) as c:
        body = c.getresponse().read()
    m = json.loads(body) if len(body) < 10000 else {}
    check("error" in m, f"no error: {body[:300]}")
    return m["error"]["message"]


def ours(g):
    """All processes of omni2d; stdio servers are none."""
    found = []
    for pid in descendants(g.pid):
        with contextlib.suppress(OSError):
            if os.path.basename(os.readlink(f"/proc/{pid}/exe")).startswith(
                    "omni2d"):
                found.append(pid)
    check(len(found) > 5, found)
    return found


def spooled(g):
    """Files without names in state_dir that anybody holds, and their size."""
    found = set()
    for pid in ours(g):
        with contextlib.suppress(OSError):
            for fd in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    path = f"/proc/{pid}/fd/{fd}"
                    at = os.readlink(path)
                    if at.startswith(g.config["server"]["state_dir"]) and \
                            at.endswith(" (deleted)"):
                        s = os.stat(path)
                        found.add((s.st_ino, s.st_size))
    return found


def nothing_left(g):
    wait_for(lambda: not spooled(g), 10, "the end of the file")
    for name in os.listdir(g.config["server"]["state_dir"]):
        check(not name.startswith(".large"), name)


@contextlib.contextmanager
def bounded_memory(g, what):
    forget_high_water(ours(g))
    before = high_water(ours(g))
    yield
    after = high_water(ours(g))
    grown = {p: after[p] - before.get(p, after[p]) for p in after}
    print(f"   | {what}: {max(grown.values()) >> 10} KiB at most", flush=True)
    for pid, n in grown.items():
        check(n < GROWTH, f"{what}: process {pid} grew by {n >> 10} KiB")


def works(client, kind):
    r = client.call(f"{kind}__echo", {"text": "still here"})
    same(r.result["content"][0]["text"], "still here", "echo")


def pass_through(it, kind, **given):
    for capabilities in ({}, ROOTS):
        client = it.client(capabilities)
        tool = f"{kind}__big"
        first = start(client, tool, size=1 << 20, **given)
        finish(first, client, kind, 1 << 20)    # what is allocated once
        with bounded_memory(it.g, f"{kind} {given} {capabilities}"):
            c = start(client, tool, size=SIZE, **given)
            finish(c, client, kind, SIZE)
        nothing_left(it.g)
        works(client, kind)


def test_stdio(_env, it):
    pass_through(it, "pipe", order="id first")
    pass_through(it, "pipe", order="result first")


def test_http_sse(_env, it):
    pass_through(it, "sse", order="id first")
    pass_through(it, "sse", order="version first")


def test_websocket(_env, it):
    pass_through(it, "ws", order="id first")
    pass_through(it, "ws", order="result first", frames=True)


def test_a_slow_reader_holds_up_nobody(_env, it):
    """Nor do others that come for a large result meanwhile."""
    for kind in KINDS:
        client = it.client(ROOTS)
        c = start(client, f"{kind}__big", size=SIZE // 2, order="result first")
        wait_for(lambda: sum(n for _, n in spooled(it.g)) >= SIZE // 2, 20,
                 "the whole answer in the file")
        works(again(client), kind)
        works(it.client(ROOTS), kind)
        other = again(client)
        second = start(other, f"{kind}__big", size=8 << 20)
        finish(second, other, kind, 8 << 20)
        finish(c, client, kind, SIZE // 2)
        nothing_left(it.g)


def test_larger_than_the_limit(_env, it):
    for kind, capabilities in OWNED:
        client = it.client(capabilities)
        client.call(f"{kind}__pid")
        before = client.call(f"{kind}__pid").text
        for order in ("id first", "result first"):
            text = error_of(client, f"{kind}__big", size=STREAMED + (4 << 20),
                            order=order)
            check("larger than" in text, text)
        same(client.call(f"{kind}__pid").text, before, "the same process")
        nothing_left(it.g)


def test_endless(_env, it):
    """A message that does not end costs its call an error, and others of the
    same connection; the next one works."""
    for kind, capabilities in OWNED:
        for order in ("id first", "result first"):
            client = it.client(capabilities)
            text = error_of(client, f"{kind}__endless", order=order)
            check("longer than" in text or "larger than" in text or
                  "no answer in time" in text, text)
            nothing_left(it.g)
            wait_for(lambda c=client, k=kind: c.call(f"{k}__echo", {
                "text": "x"}).is_ok, 20, "the next call")


def broken(client, tool, **given):
    with contextlib.closing(start(client, tool, **given)) as c:
        try:
            body = b"".join(read_all(c.getresponse()))
        except IncompleteRead:
            return
    check(len(body) < 10000 and "error" in json.loads(body),
          f"looks complete: {body[:200]}")


def test_endless_on_a_link_of_the_worker(_env, it):
    for kind in ("sse", "ws"):
        client = it.client()
        broken(client, f"{kind}__endless")
        works(client, kind)


def test_a_server_that_dies(_env, it):
    for kind in KINDS:
        for capabilities in ({}, ROOTS):
            client = it.client(capabilities)
            for order in ("id first", "result first"):
                broken(client, f"{kind}__die", size=20 << 20, order=order)
                nothing_left(it.g)
                wait_for(lambda c=client, k=kind: c.call(f"{k}__echo", {
                    "text": "x"}).is_ok, 20, "the next call")


def test_a_client_that_leaves(_env, it):
    for kind in KINDS:
        client = it.client(ROOTS)
        c = start(client, f"{kind}__big", size=SIZE // 2)
        r = c.getresponse()
        r.read(1000)
        check(spooled(it.g), "no file")
        r.close()
        c.close()
        nothing_left(it.g)
        works(again(client), kind)


def test_cancelled_half_way(_env, it):
    """The server goes on all the same: what it says then is for nobody."""
    for kind in KINDS:
        for capabilities in ({}, ROOTS):
            for order in ("id first", "result first"):
                client = it.client(capabilities)
                works(client, kind)
                c = start(client, f"{kind}__hold", SSE_FIRST, size=4 << 20,
                          order=order)
                number = client.id
                r = c.getresponse()     # the server has it
                if (kind, capabilities) in OWNED or kind == "pipe":
                    wait_for(lambda: spooled(it.g), 10, "half the answer")
                again(client).notify("notifications/cancelled",
                                     {"requestId": number})
                with contextlib.suppress(IncompleteRead, ConnectionError):
                    r.read()
                c.close()
                works(again(client), kind)
                nothing_left(it.g)


def test_answer_after_one_given_up(_env, it):
    """On a link on which an answer is still owed, what does not say first whose
    it is goes into a file, and to nobody else."""
    for kind in ("sse", "ws"):
        client, seen = it.client(), 0
        for _ in range(100):    # until it meets that link
            c = start(client, f"{kind}__late", SSE_FIRST, size=SIZE // 8,
                      order="result first")
            r = c.getresponse()         # the server has it
            again(client).notify("notifications/cancelled",
                                 {"requestId": client.id})
            with contextlib.suppress(IncompleteRead, ConnectionError):
                r.read()
            c.close()
            client = again(client)
            c = start(client, f"{kind}__big", size=SIZE // 8,
                      order="result first")
            r = c.getresponse()
            seen += len(spooled(it.g))
            same(digest(read_all(r)),
                 digest(envelope(client.id, pieces(SIZE // 8))), "the answer")
            c.close()
            nothing_left(it.g)
            if seen:
                break
        check(seen, "no answer was in a file")


def test_quota(_env, it):
    """limits.spool: one that waits for its client leaves room for no other as
    large; small ones go on."""
    for kind, capabilities in OWNED:
        client = it.client(capabilities)
        c = start(client, f"{kind}__big", size=SIZE)
        wait_for(lambda: sum(n for _, n in spooled(it.g)) >= SIZE, 20,
                 "the whole answer in the file")
        text = error_of(again(client), f"{kind}__big", size=SIZE)
        check("no room for a large answer" in text and "limits.spool" in text,
              text)
        works(again(client), kind)
        finish(c, client, kind, SIZE)
        nothing_left(it.g)
        c = start(client, f"{kind}__big", size=SIZE)
        finish(c, client, kind, SIZE)


def test_many_at_once(env, it):
    def one(kind, capabilities, order):
        client = it.client(capabilities)
        finish(start(client, f"{kind}__big", size=SIZE // 8, order=order),
               client, kind, SIZE // 8)

    jobs = [lambda k=k, c=c, o=o: one(k, c, o) for k in KINDS
            for c in ({}, ROOTS) for o in ("id first", "result first")]
    in_parallel(jobs if not env.quick else jobs[:4])
    nothing_left(it.g)


def test_full_disk(env, it):
    """The journal keeps its room, so nothing else is refused."""
    with small_disk(env, "state", "100m") as path:
        g = gateway(env, [m for m in it.g.config["mcps"]
                          if m["name"] == "pipe"],
                    server={"state_dir": path})
        try:
            client = g.client("ann@example.com", timeout=60).initialize()
            wait_for(lambda: "pipe__big" in client.names(), 30, "discovery")
            text = error_of(client, "pipe__big", size=SIZE)
            check("No space left" in text, text)
            works(client, "pipe")
            c = start(client, "pipe__big", size=4 << 20)
            finish(c, client, "pipe", 4 << 20)
        finally:
            g.stop()
