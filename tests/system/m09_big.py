"""Results of 100 MiB pass while they come: byte for byte, with the memory of
a few buffers; what breaks off is seen as broken by client and record."""
import contextlib
from http.client import HTTPConnection, IncompleteRead
import json
import os
import socket
import threading

from fakes.big import digest, envelope, pieces
from fake import BEHAVIOURS, Fake, http, response
from harness import MODERN, check, free_port, same, wait_for
from servers import http_server

LIMIT_S = 180
SIZE = 100 << 20
GROWTH = 8 << 20        # of a worker, while 100 MiB pass
LIMIT = 128 << 20       # limits.streamed
HELD = 32 << 20         # limits.result, less than what passes


def head(kind):
    return (b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" % kind)


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def arguments(m):
    return m["params"].get("arguments", {})


def send_json(c, m, **kw):
    c.send(head(b"application/json"))
    for p in envelope(m["id"], pieces(arguments(m)["size"]), **kw):
        c.send(chunk(p))
    c.send(b"0\r\n\r\n")
    return True


def do_big_json(c, m):
    return send_json(c, m)


def do_big_length(c, m):
    """The same with Content-Length."""
    parts = list(envelope(m["id"], pieces(arguments(m)["size"])))
    c.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
           b"Content-Length: %d\r\n\r\n" % sum(map(len, parts)))
    for p in parts:
        c.send(p)
    return True


def do_big_sse(c, m):
    note = {"jsonrpc": "2.0", "method": "notifications/message",
            "params": {"level": "info", "data": "before"}}
    c.send(head(b"text/event-stream"))
    if arguments(m).get("note"):
        c.send(chunk(b"data: " + json.dumps(note).encode() + b"\n\n"))
    c.send(chunk(b"id: 7\ndata: "))
    for p in envelope(m["id"], pieces(arguments(m)["size"])):
        c.send(chunk(p.replace(b"\n", b"\ndata: ")))
    c.send(chunk(b"\n\n"))
    c.send(b"0\r\n\r\n")
    return True


def do_big_order(c, m):
    return send_json(c, m, order=arguments(m)["order"])


def do_big_order_sse(c, m):
    c.send(head(b"text/event-stream") + chunk(b"event: message\ndata: "))
    for p in envelope(m["id"] + arguments(m).get("more", 0),
                      pieces(arguments(m)["size"]), arguments(m)["order"]):
        c.send(chunk(p.replace(b"\n", b"\ndata: ")))
    c.send(chunk(b"\n\n") + b"0\r\n\r\n")
    return True


def do_big_cut(c, m):
    c.send(head(b"application/json"))
    for i, p in enumerate(envelope(m["id"], pieces(arguments(m)["size"]))):
        if i == 40:
            return False
        c.send(chunk(p))
    return False


def do_big_cut_sse(c, m):
    c.send(head(b"text/event-stream") + chunk(b"id: 7\ndata: "))
    for i, p in enumerate(envelope(m["id"], pieces(arguments(m)["size"]))):
        if i == 40:
            return False
        c.send(chunk(p))
    return False


def do_big_wrong_id(c, m):
    return send_json(c, {**m, "id": m["id"] + 1},
                     order=arguments(m).get("order", "id first"))


def do_big_unread(c, m):
    """How much leaves before somebody reads; says so when the call ends."""
    c.fake.sent = 0
    c.send(head(b"application/json"))
    try:
        for p in envelope(m["id"], pieces(arguments(m)["size"])):
            c.send(chunk(p))
            c.fake.sent += len(p)
    except OSError:
        c.fake.ended_call.set()
    return False


NAMES = [n[3:] for n in list(globals()) if n.startswith("do_big")]
BEHAVIOURS.update({n: globals()["do_" + n] for n in NAMES})


class Modern(Fake):
    """The same of 2026-07-28."""

    def answer(self, c, m, name):
        listed = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
        if name == "server/discover":
            c.send(http(response(m, {
                **listed, "supportedVersions": [MODERN],
                "capabilities": {"tools": {}},
                "serverInfo": {"name": "big", "version": "1"}})))
        elif name == "tools/list":
            c.send(http(response(m, {**listed, "tools": self.tools})))
        else:
            return super().answer(c, m, name)
        return True


class Setting:
    def __init__(self, env):
        self.env = env
        self.up, self.modern = Fake(NAMES), Modern(NAMES)
        self.up.ended_call = threading.Event()
        port = free_port()
        env.helper([env.node, os.path.join(env.fakes, "big_sdk.mjs"),
                    str(port)], port, NODE_MODULES_DIR=env.npm)
        self.g = env.gateway({
            "mcps": [{"name": "old", "protocol": "http", "url": self.up.url},
                     {"name": "new", "protocol": "http",
                      "url": self.modern.url},
                     *(http_server("sdk" + kind,
                                   f"http://127.0.0.1:{port}/{kind}")
                       for kind in ("json", "sse"))],
            "limits": {"result": HELD, "streamed": LIMIT},
            # half of these tests break calls
            "breaker": {"failure_threshold": 1000},
            "users": [{"email": "ann@example.com", "role": "power_user",
                       "allowed_mcps": "*",
                       "rate_limit": {"requests_per_hour": 0}}]})
        c = self.client()
        for n in ("old__big_json", "new__big_json", "sdkjson__big",
                  "sdksse__big"):
            wait_for(lambda name=n: name in c.names(), 30, n)

    def client(self, **kw):
        return self.g.client("ann@example.com", **kw).initialize()

    def open(self, client, tool, size, accept=None, **more):
        """A call whose answer is not read yet."""
        return self.open_with(client, tool, {"size": size, **more}, accept)

    def open_with(self, client, tool, given, accept=None):
        client.id += 1
        params = {"name": tool, "arguments": given}
        m = client.message("tools/call", params, client.id)
        h = client.headers("tools/call", m["params"])
        if accept:
            h["Accept"] = accept
        c = http_connection(self.g.port)
        c.request("POST", client.path, json.dumps(m), h)
        return c

    def records(self, object_name):
        """The records of a tool, as they stand in the database."""
        return self.g.rows(f"method = 'tools/call' AND object = "
                           f"'{object_name}'",
                           "result, http_status, response_bytes, error, "
                           "record::text")

    def last_record(self, object_name):
        rows = self.records(object_name)
        return rows[-1] if rows else None


def http_connection(port):
    return HTTPConnection("127.0.0.1", port, timeout=60)


def setup(env):
    return Setting(env)


def high_water(pids):
    out = {}
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    out[pid] = int(line.split()[1]) * 1024
    return out


def forget_high_water(pids):
    for pid in pids:
        with open(f"/proc/{pid}/clear_refs", "w", encoding="ascii") as f:
            f.write("5")


def read_all(r):
    while part := r.read(65536):
        yield part


def sse_body(parts):
    """The data of the last event, from its beginning on."""
    rest = b""
    for p in parts:
        rest += p
        if b'"result"' in rest:
            yield rest[rest.rindex(b"data: ", 0, rest.index(b'"result"')) + 6:]
            break
    yield from parts


def with_end(parts, end):
    yield from parts
    yield end


def expected(message_id, size):
    return digest(envelope(message_id, pieces(size)))


@contextlib.contextmanager
def bounded_memory(it, what):
    """No worker grows while 100 MiB pass through it."""
    workers = it.g.pids("worker")
    forget_high_water(workers)
    before = high_water(workers)
    yield
    after = high_water(it.g.pids("worker"))
    grown = max(after[p] - before.get(p, after[p]) for p in after)
    check(grown < GROWTH, f"a worker grew by {grown >> 10} KiB")
    print(f"   | {what}: a worker grew by {grown >> 10} KiB", flush=True)


def stream(it, tool, accept, sse, version="2025-11-25", **more):
    client = it.client(version=version)
    client.call(tool, {"size": 400000, **more})     # what is allocated once
    with bounded_memory(it, f"{tool} {more or ''}"):
        stream_once(it, client, tool, accept, sse, more)


def stream_once(it, client, tool, accept, sse, more):
    c = it.open(client, tool, SIZE, accept, **more)
    r = c.getresponse()
    same(r.status, 200, "status")
    kind = r.getheader("content-type")
    if sse:
        check(kind.startswith("text/event-stream"), kind)
        got, n = digest(sse_body(read_all(r)))
        want, want_n = digest(with_end(
            (p.replace(b"\n", b" ")
             for p in envelope(client.id, pieces(SIZE))), b"\n\n"))
    else:
        check(kind.startswith("application/json"), kind)
        got, n = digest(read_all(r))
        want, want_n = expected(client.id, SIZE)
    same(n, want_n, "bytes")
    same(got, want, "SHA-256 of the answer")
    c.close()


JSON_ONLY = "application/json, text/event-stream"
SSE_FIRST = "text/event-stream, application/json"


def test_json_to_json(_env, it):
    stream(it, "old__big_json", JSON_ONLY, False)


def test_json_with_length(_env, it):
    stream(it, "old__big_length", JSON_ONLY, False)


def test_sse_to_json(_env, it):
    stream(it, "old__big_sse", JSON_ONLY, False)


def test_json_to_sse(_env, it):
    stream(it, "old__big_json", SSE_FIRST, True)


def test_sse_to_sse_after_a_notification(_env, it):
    stream(it, "old__big_sse", JSON_ONLY, True, note=True)


def test_both_sides_modern(_env, it):
    stream(it, "new__big_json", JSON_ONLY, False, version=MODERN)
    stream(it, "new__big_sse", JSON_ONLY, False, version=MODERN)


def test_result_before_the_id(_env, it):
    stream(it, "old__big_order", JSON_ONLY, False, order="result first")
    stream(it, "old__big_order", SSE_FIRST, True, order="version first")
    stream(it, "old__big_order_sse", JSON_ONLY, False, order="result first")


def from_sdk(it, tool, accept):
    """The real thing: what the SDK 1.x sends of 100 MiB."""
    block = 'abc"d\\ \u00e9\n{[]}:, 0123456789 '
    n = SIZE // len(block)
    client = it.client()
    client.call(tool, {"blocks": 400000 // len(block)})
    with bounded_memory(it, f"{tool} {accept.split(',')[0]}"):
        c = it.open_with(client, tool, {"blocks": n}, accept)
        r = c.getresponse()
        parts = list(read_all(r))
        c.close()
    check(r.getheader("content-length") is None, "it was not collected")
    body = b"".join(parts)
    if r.getheader("content-type").startswith("text/event-stream"):
        body = body[body.index(b'data: {"') + 6:]
    m = json.loads(body)
    same(sorted(m), ["id", "jsonrpc", "result"], "members")
    same(m["id"], client.id, "id")
    check(m["result"]["content"][0]["text"] == block * n, "another text")


def test_the_sdk_answers_with_json(_env, it):
    from_sdk(it, "sdkjson__big", JSON_ONLY)


def test_the_sdk_answers_with_events(_env, it):
    from_sdk(it, "sdksse__big", JSON_ONLY)
    from_sdk(it, "sdksse__big", SSE_FIRST)


def test_others_are_collected(_env, it):
    """Another order, or another era: within limits.result all the same."""
    size = 5 << 20
    for tool, more in (("old__big_order", {"order": "another first"}),
                       ("new__big_json", {})):
        client = it.client()
        c = it.open(client, tool, size, **more)
        r = c.getresponse()
        got = digest(read_all(r))
        same(got, expected(client.id, size), tool)
        check(r.getheader("content-length"), "with its length")
        c.close()


def test_the_record_comes_after_the_end(_env, it):
    client = it.client()
    c = it.open(client, "old__big_json", 3 << 20)
    same(digest(read_all(c.getresponse())), expected(client.id, 3 << 20), "it")
    c.close()
    it.g.row_count()
    want = digest(pieces(3 << 20))[1]
    row = wait_for(lambda: (lambda r: r if r and r[2] == str(want) else None)(
        it.last_record("big_json")), 10, "the record")
    same(row[:2], ["success", "200"], "the record")
    check("incomplete" not in row[4], row[4])


def broken(it, tool, size, result="error", **more):
    client = it.client()
    it.g.row_count()
    before = len(it.records(tool))
    c = it.open(client, "old__" + tool, size, **more)
    r = c.getresponse()
    same(r.status, 200, "status")
    try:
        body = b"".join(read_all(r))
    except IncompleteRead:
        body = None
    check(body is None, "the answer looks complete: "
          f"{body[-100:] if body else body}")
    c.close()
    row = wait_for(lambda: it.records(tool)[before:], 15, "the record")[-1]
    same(row[0], result, "result in the record")
    check(int(row[2]) > 200000, f"bytes in the record: {row}")
    same(json.loads(row[4])["incomplete"], True, "incomplete")
    return row


def test_a_server_that_breaks_off(_env, it):
    broken(it, "big_cut", SIZE)
    broken(it, "big_cut_sse", SIZE)
    same(it.up.count("big_cut"), 1, "calls: none is repeated")
    same(it.up.count("big_cut_sse"), 1, "calls: none is repeated")


def test_an_end_that_is_none(_env, it):
    broken(it, "big_order", 2 << 20, order="bad end")


def test_an_answer_that_proves_another_one(_env, it):
    """Its id is wrong, but stands at the end: by then it has passed."""
    for tool, more in (("big_wrong_id", {"order": "result first"}),
                       ("big_order_sse", {"order": "result first", "more": 1})):
        row = broken(it, tool, SIZE, **more)
        check("id is not ours" in row[3], row)
    for order in ("no id", "no version", "two ids", "two results",
                  "error too", "a request", "no JSON", "long end"):
        row = broken(it, "big_order", 2 << 20, order=order)
        check("bad answer" in row[3], f"{order}: {row}")
    broken(it, "big_order_sse", 2 << 20, order="no id")
    # the next call has a clean connection
    client = it.client()
    c = it.open(client, "old__big_order", 2 << 20, order="result first")
    same(digest(read_all(c.getresponse())), expected(client.id, 2 << 20), "it")
    c.close()


def test_larger_than_the_limit(_env, it):
    row = broken(it, "big_json", LIMIT + (4 << 20))
    check(int(row[2]) <= LIMIT, row[2])


def test_a_wrong_id_is_seen_before(_env, it):
    r = it.client().call("old__big_wrong_id", {"size": 2 << 20})
    check("id is not ours" in r.error["message"], r)


def test_a_client_that_leaves(_env, it):
    client = it.client()
    it.up.ended_call.clear()
    c = it.open(client, "old__big_unread", SIZE)
    r = c.getresponse()
    r.read(1000)
    # nobody reads: what is on its way is bounded by sockets and buffers
    last = -1
    while it.up.sent != last:
        last = it.up.sent
        try:
            wait_for(lambda n=last: it.up.sent != n, 1, "more")
        except AssertionError:
            break
    check(it.up.sent < 40 << 20, f"{it.up.sent} bytes left the server")
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                      b"\1\0\0\0\0\0\0\0")
    c.close()
    r.close()
    check(it.up.ended_call.wait(10), "the server's connection was not closed")
    row = wait_for(lambda: (lambda r: r if r and "incomplete" in r[4]
                            else None)(it.last_record("big_unread")), 15,
                   "the record")
    same(row[0], "cancelled", "result in the record")


def test_many_at_once(env, it):
    n = 3 if env.quick else 8
    results = [None] * n

    def one(i):
        client = it.client()
        c = it.open(client, "old__big_json", SIZE // 4)
        results[i] = (digest(read_all(c.getresponse())),
                      expected(client.id, SIZE // 4))
        c.close()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for got in results:
        same(got[0], got[1], "an answer among others")
