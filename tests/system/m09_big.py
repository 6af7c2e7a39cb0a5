"""Results of 100 MiB pass while they come: byte for byte, with the memory of
a few buffers; what breaks off is seen as broken by client and record."""
import hashlib
from http.client import HTTPConnection, IncompleteRead
import json
import socket
import threading

from fake import BEHAVIOURS, Fake, http, response
from harness import MODERN, check, same, wait_for

LIMIT_S = 180
SIZE = 100 << 20
GROWTH = 8 << 20        # of a worker, while 100 MiB pass
LIMIT = 128 << 20       # limits.streamed
HELD = 32 << 20         # limits.result, less than what passes


def pieces(size):
    """A result as a server may write it: escapes, UTF-8, odd white space."""
    yield b'{ "content":[{"type":"text","text":"'
    block = "abc\\\"d\\\\ \u00e9\\u00e9\\n{[]}:, 0123456789 ".encode() * 1600
    done = 0
    while done < size:
        yield block
        done += len(block)
    yield b'"}],\n "structuredContent" : {"n": 1.50, "a":[ ]},"isError":false }'


def digest(parts):
    h, n = hashlib.sha256(), 0
    for p in parts:
        h.update(p)
        n += len(p)
    return h.hexdigest(), n


def envelope(message_id, parts, order="id first", tail=b"}"):
    if order == "id first":
        yield b'{"jsonrpc":"2.0","id":%d,"result":' % message_id
        yield from parts
        yield tail
    else:
        yield b'{"result":'
        yield from parts
        yield b',"jsonrpc":"2.0","id":%d}' % message_id


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


def do_big_result_first(c, m):
    return send_json(c, m, order="result first")


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
    return send_json(c, {**m, "id": m["id"] + 1})


def do_big_bad_end(c, m):
    return send_json(c, m, tail=b"]")


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
        self.g = env.gateway({
            "mcps": [{"name": "old", "protocol": "http", "url": self.up.url},
                     {"name": "new", "protocol": "http",
                      "url": self.modern.url}],
            "limits": {"result": HELD, "streamed": LIMIT},
            # half of these tests break calls
            "breaker": {"failure_threshold": 1000},
            "users": [{"email": "ann@example.com", "role": "power_user",
                       "allowed_mcps": "*",
                       "rate_limit": {"requests_per_hour": 0}}]})
        c = self.client()
        for n in ("old__big_json", "new__big_json"):
            wait_for(lambda name=n: name in c.names(), 30, n)

    def client(self, **kw):
        return self.g.client("ann@example.com", **kw).initialize()

    def open(self, client, tool, size, accept=None, **more):
        """A call whose answer is not read yet."""
        client.id += 1
        params = {"name": tool, "arguments": {"size": size, **more}}
        m = client.message("tools/call", params, client.id)
        h = client.headers("tools/call", m["params"])
        if accept:
            h["Accept"] = accept
        c = http_connection(self.g.port)
        c.request("POST", client.path, json.dumps(m), h)
        return c

    def last_record(self, object_name):
        """The newest record of a tool, as it stands in the database."""
        rows = self.g.rows(f"method = 'tools/call' AND object = "
                           f"'{object_name}'",
                           "result, http_status, response_bytes, error, "
                           "record::text")
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


def stream(it, tool, accept, sse, version="2025-11-25", **more):
    client = it.client(version=version)
    client.call(tool, {"size": 400000})         # what is allocated once
    workers = it.g.pids("worker")
    forget_high_water(workers)
    before = high_water(workers)
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
    after = high_water(it.g.pids("worker"))
    grown = max(after[p] - before.get(p, after[p]) for p in after)
    check(grown < GROWTH, f"a worker grew by {grown >> 10} KiB")
    print(f"   | {tool} {kind}: a worker grew by {grown >> 10} KiB", flush=True)


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


def test_others_are_collected(_env, it):
    """Another order, or another era: within limits.result all the same."""
    size = 5 << 20
    for tool, version in (("old__big_result_first", "2025-11-25"),
                          ("new__big_json", "2025-11-25")):
        client = it.client(version=version)
        c = it.open(client, tool, size)
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


def broken(it, tool, size, result="error"):
    client = it.client()
    c = it.open(client, "old__" + tool, size)
    r = c.getresponse()
    same(r.status, 200, "status")
    try:
        body = b"".join(read_all(r))
    except IncompleteRead:
        body = None
    check(body is None, "the answer looks complete: "
          f"{body[-100:] if body else body}")
    c.close()
    row = wait_for(lambda: (lambda r: r if r and "incomplete" in r[4]
                            else None)(it.last_record(tool)), 15, "the record")
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
    broken(it, "big_bad_end", 2 << 20)


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
