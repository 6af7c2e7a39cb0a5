"""Every answer leaves exactly one record; nobody can change one unseen."""
import collections
import json

from harness import check, in_parallel, same, wait_for
from servers import http_server


def make(env, **audit):
    up = env.c_upstream()
    g = env.gateway({"mcps": [http_server("perf", up.url)], "audit": audit})
    g.up = up
    g.user("ann@example.com", "power_user", "--allow-all", "--limit", "0")
    wait_for(lambda: "perf__echo" in g.client("ann@example.com").initialize()
             .names(), 10, "discovery")
    return g


def setup(env):
    return make(env)


def nonces(g):
    """{nonce: how many records}"""
    return collections.Counter(r[0] for r in g.rows(
        "method = 'tools/call' AND record LIKE '%nonce%'",
        r"substring(record from '\"nonce\\*\": *\\*\"([^\"\\]+)')"))


def rejected(g):
    return int(g.env.pg.scalar("SELECT count(*) FROM omni2.audit_rejected",
                               g.database))


def call_many(g, clients, calls, prefix):
    def job(n):
        c = g.client("ann@example.com").initialize()
        sent = []
        for i in range(calls):
            nonce = f"{prefix}-{n}-{i}"
            if c.call("perf__echo", {"nonce": nonce}).is_ok:
                sent.append(nonce)
        return sent

    got = in_parallel([lambda n=n: job(n) for n in range(clients)])
    out = []
    for part in got:
        check(isinstance(part, list), part)
        out += part
    return out


def test_exactly_once(_env, g):
    sent = call_many(g, 16, 100, "once")
    same(len(sent), 1600, "answers")
    g.wait_rows(1600, "record LIKE '%once-%'")
    found = nonces(g)
    same({n: c for n, c in found.items() if c != 1}, {}, "not exactly once")
    same(set(sent) - set(found), set(), "answers without a record")


def test_exactly_once_with_each_sync(env):
    for sync in ("journal", "fsync"):
        g = make(env, sync=sync)
        sent = call_many(g, 8, 50, sync)
        same(len(sent), 400, f"{sync}: answers")
        g.wait_rows(400, f"record LIKE '%{sync}-%'")
        same(g.ctl_run("audit", "verify").returncode, 0, f"{sync}: verify")


def test_what_a_record_says(_env, g):
    c = g.client("ann@example.com").initialize()
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    c.request("tools/call", {"name": "perf__echo", "arguments": {"who": "me"}},
              traceparent=f"00-{trace}-00f067aa0ba902b7-01",
              **{"User-Agent": "tests/1"})
    g.wait_rows(1, "record LIKE '%who%'")
    row = g.rows("record LIKE '%who%'",
                 "principal, role, method, server, object, decision, result, "
                 "client, user_agent, trace_id, credential, rule, "
                 "duration_us, upstream_us, id, record")[0]
    same(row[:7], ["ann@example.com", "power_user", "tools/call", "perf",
                   "echo", "allow", "success"], "who and what")
    same(row[7], "127.0.0.1", "client address")
    same((row[8], row[9]), ("tests/1", trace), "user agent, trace id")
    check(row[10].startswith("key:"), row[10])
    check(row[11], "rule")
    check(0 < int(row[13]) <= int(row[12]) < 10_000_000, row)
    same(json.loads(row[15])["arguments"], {"who": "me"}, "arguments")


def test_secrets_are_redacted(_env, g):
    c = g.client("ann@example.com").initialize()
    c.call("perf__echo", {
        "mark": "redact", "password": "hunter2", "deep": [{"API_KEY": "hunter2",
        "note": "kept"}], "db_password_2": {"x": "hunter2"},
        "Authorization": "hunter2"})
    g.wait_rows(1, "record LIKE '%redact%'")
    record = g.rows("record LIKE '%redact%'", "record")[0][0]
    check("hunter2" not in record, record)
    check("kept" in record and "[redacted]" in record, record)
    for key in g.keys.values():
        same(g.row_count(f"record LIKE '%{key}%'"), 0, "keys in records")


def test_patterns_of_secrets_in_any_case(env):
    g = make(env, redact=["*PassPhrase*", "PIN"])
    g.client("ann@example.com").initialize().call("perf__echo", {
        "mark": "cases", "passphrase": "hunter2", "PASSPHRASE": "hunter2",
        "pin": "hunter2"})
    g.wait_rows(1, "record LIKE '%cases%'")
    record = g.rows("record LIKE '%cases%'", "record")[0][0]
    check("hunter2" not in record, record)


def test_odd_text_is_kept_safely(_env, g):
    c = g.client("ann@example.com").initialize()
    body = (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":'
            b'"perf__echo","arguments":{"odd":"\\u0000\\ud83d\\ude00\\r\\n\\t\'--'
            b'","nonsense":"\xc3\xa4\\\\"}}}')
    check(c.send(body, c.headers()).is_ok, "call")
    g.wait_rows(1, "record LIKE '%nonsense%'")
    same(g.ctl_run("audit", "verify").returncode, 0, "verify")
    found = [json.loads(r["arguments"]) for r in
             g.ctl_json("audit", "tail", "-n", "9999") if r["arguments"]]
    check({"odd": "\0\U0001f600\r\n\t'--", "nonsense": "\xe4\\"} in found,
          found)


def test_half_a_surrogate_pair_hides_nothing(_env, g):
    """Neither its own record nor, in a search, those of others."""
    c = g.client("ann@example.com").initialize()
    for text in (b'"name":"perf__echo","arguments":{"half":"\\ud800"}',
                 b'"name":"perf__\\udc00half","arguments":{}'):
        c.send(b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{'
               + text + b"}}", c.headers())
    n = g.row_count()
    same(len(g.ctl_json("audit", "tail", "-n", "9999")), n, "records found")
    same(rejected(g), 0, "records that are no rows")


def test_long_arguments_are_cut_and_marked(_env, g):
    c = g.client("ann@example.com").initialize()
    check(c.call("perf__echo", {"long": "x" * 200000}).is_ok, "call")
    g.wait_rows(1, "record LIKE '%\"long%' OR record LIKE '%long\\\\\"%'")
    size, record = g.rows("record LIKE '%long%' AND length(record) > 10000",
                          "length(record), record")[0]
    check(int(size) < 40000, f"{size} bytes")
    check("cut" in record, record[:300])


def test_every_kind_of_answer(_env, g):
    """Refusals are recorded, too, with what was decided."""
    g.user("none@example.com", "read_only", "--allow", "perf:nothing")
    g.user("con@example.com", "contractor", "--allow-all", "--limit", "1")
    g.client("none@example.com").initialize().call("perf__echo", {"k": "deny"})
    c = g.client("con@example.com").initialize()
    c.call("perf__echo", {"k": "allow"})
    c.call("perf__echo", {"k": "limit"})
    for who, decision, result in (("none", "deny", "denied"),
                                  ("con", "allow", "success"),
                                  ("con", "limit", None)):
        where = (f"principal = '{who}@example.com' AND method = 'tools/call' "
                 f"AND decision = '{decision}'")
        g.wait_rows(1, where)
        if result:
            same(g.rows(where, "result")[0][0], result, decision)


def test_unauthenticated_requests_are_recorded(_env, g):
    from harness import Client
    n = g.row_count("http_status = 401")
    Client(g.port, "omni2_" + "A" * 43).call("perf__echo")
    g.wait_rows(n + 1, "http_status = 401")


def test_answer_that_cannot_be_delivered_is_recorded(_env, g):
    """The client goes away during the call: one record all the same."""
    import socket
    c = g.client("ann@example.com").initialize()
    body = json.dumps(c.message("tools/call", {
        "name": "perf__echo",
        "arguments": {"left": 1, "delay_ms": 400}}, 9)).encode()
    head = f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{g.port}\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in c.headers().items())
    before = g.up.count()["calls"]
    with socket.create_connection(("127.0.0.1", g.port)) as s:
        s.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body)
                  + body)
        wait_for(lambda: g.up.count()["calls"] > before, 5, "call arrived")
    g.wait_rows(1, "record LIKE '%\"left\"%'")


def test_verify_finds_every_change(env):
    """One record altered, removed, or swapped with another: found."""
    g = make(env)
    call_many(g, 4, 25, "tamper")
    g.wait_rows(100, "record LIKE '%tamper-%'")
    same(g.ctl_run("audit", "verify").returncode, 0, "before")
    copy = "CREATE TABLE saved AS SELECT * FROM omni2.audit_log"
    env.pg.query(copy, g.database)
    middle = int(g.rows("true", "seq")[50][0])
    changes = {
        "altered": f"UPDATE omni2.audit_log SET record = replace(record, "
                   f"'tamper-', 'tampex-') WHERE seq = {middle}",
        "principal altered": f"UPDATE omni2.audit_log SET principal = "
                             f"'eve@example.com' WHERE seq = {middle}",
        "removed": f"DELETE FROM omni2.audit_log WHERE seq = {middle}",
        "first removed": "DELETE FROM omni2.audit_log WHERE seq = "
                         "(SELECT min(seq) FROM omni2.audit_log)",
        "last removed": "DELETE FROM omni2.audit_log WHERE seq = "
                        "(SELECT max(seq) FROM omni2.audit_log)",
        "swapped": f"UPDATE omni2.audit_log SET seq = CASE seq WHEN {middle} "
                   f"THEN {middle + 1} ELSE {middle} END WHERE seq IN "
                   f"({middle}, {middle + 1})",
        "hash altered": f"UPDATE omni2.audit_log SET hash = prev_hash WHERE "
                        f"seq = {middle}",
    }
    for name, sql in changes.items():
        try:
            env.pg.query(sql, g.database)
        except AssertionError:
            if name != "swapped":       # the primary key may refuse it
                raise
            continue
        done = g.ctl_run("audit", "verify")
        same(done.returncode, 1, f"{name}: {done.stdout}{done.stderr}")
        check((done.stdout + done.stderr).strip(), f"{name}: no word")
        env.pg.query("TRUNCATE omni2.audit_log; INSERT INTO omni2.audit_log "
                     "SELECT * FROM saved", g.database)
        same(g.ctl_run("audit", "verify").returncode, 0, f"after {name}")
