"""Administration over HTTP: the REST API, and omni2ctl --url in front of it."""
import http.client
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import urllib.parse
import time

from harness import SOURCE, check, free_port, http_get, same, wait_for
from servers import http_server

ROOT = "boss@example.org"
PROBLEM = "application/problem+json"


class Remote:
    """A gateway from elsewhere."""

    def __init__(self, env, g):
        self.env, self.g = env, g
        g.user(ROOT, "admin")
        self.url = f"http://127.0.0.1:{g.port}"
        self.token = self.token_file(ROOT)

    def token_file(self, email, text=None):
        path = os.path.join(self.env.make_dir(
            "tokens", self.g.name, mode=0o755), email or "wrong")
        with open(path, "w", encoding="ascii") as f:
            f.write((text or self.g.key(email)) + "\n")
        return path

    def remote(self, *args, output=None, token=None, url=None, more=(), **env):
        """omni2ctl --url, without any configuration of the machine."""
        command = [self.env.omni2ctl, "--url", url or self.url,
                   "--token-file", token or self.token, *more]
        if output:
            command += ["-o", output]
        return subprocess.run(
            [*command, *map(str, args)], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=60, check=False, cwd="/",
            env=self.env.clean_environment(**env), **self.env.as_user())

    def code(self, want, *args, **kw):
        done = self.remote(*args, **kw)
        same(done.returncode, want, f"omni2ctl --url {' '.join(map(str, args))}"
             f": {done.stdout}{done.stderr}\nexit code")
        if want:
            check(done.stderr.startswith(("omni2ctl: ", "/")) or done.stdout,
                  f"{args} failed without a word")
        return done

    def json(self, *args):
        return json.loads(self.code(0, *args, output="json").stdout)

    def http(self, method, path, body=None, key=None, headers=None, raw=None):
        """(status, headers, the JSON)"""
        h = {"Authorization": f"Bearer {key or self.g.key(ROOT)}"}
        if body is not None:
            h["Content-Type"] = "application/json"
            raw = json.dumps(body)
        h.update(headers or {})
        c = http.client.HTTPConnection("127.0.0.1", self.g.port, timeout=30)
        try:
            c.request(method, path, body=raw, headers={
                k: v for k, v in h.items() if v is not None})
            r = c.getresponse()
            text = r.read()
            return (r.status, {k.lower(): v for k, v in r.getheaders()},
                    json.loads(text) if text else None)
        finally:
            c.close()

    def problem(self, want, code, *args, **kw):
        status, headers, body = self.http(*args, **kw)
        same(status, want, f"{args} {body}: status")
        same(headers["content-type"], PROBLEM, "content type")
        same((body["status"], body["code"]), (want, code), f"{args} {body}")
        check(body["detail"], "a problem without a word")
        return body["detail"], headers


class Setting(Remote):
    def __init__(self, env):
        self.up = env.c_upstream()
        super().__init__(env, env.gateway(
            {"mcps": [http_server("perf", self.up.url)]}))
        self.g.user("ann@example.org", "dba", "--allow", "perf")
        wait_for(lambda: "perf__echo" in self.g.ctl("tool", "list"), 10,
                 "discovery")


def setup(env):
    return Setting(env)


def steady(value):
    """Without what changes from one moment to the next."""
    if isinstance(value, list):
        return [steady(v) for v in value]
    if isinstance(value, dict):
        return {k: steady(v) for k, v in value.items() if k not in (
            "milliseconds", "latency_us", "uptime_seconds", "requests",
            "seconds", "served", "connections", "workers_idle", "workers",
            "audit_spool_bytes", "processes", "reloads", "calls", "state")}
    return value


# The same answers as on the machine

def test_reading_is_the_same(_env, it):
    g = it.g
    for args in (("status",), ("server", "list"), ("server", "show", "perf"),
                 ("server", "test", "perf"), ("tool", "list"),
                 ("tool", "list", "--server", "perf"),
                 ("tool", "list", "--user", "Ann@example.org"),
                 ("user", "list"), ("user", "show", "Ann@example.org"),
                 ("key", "list"), ("key", "list", "ann@example.org"),
                 ("policy", "test", "--user", "ann@example.org"),
                 ("policy", "test", "--user", "ann@example.org", "--server",
                  "perf", "--tool", "echo")):
        same(steady(it.json(*args)), steady(g.ctl_json(*args)),
             f"{args} as JSON")
    for args in (("user", "list"), ("user", "show", ROOT), ("tool", "list"),
                 ("key", "list")):
        same(it.code(0, *args).stdout, g.ctl(*args), f"{args} as a table")
        same(it.code(0, *args, output="yaml").stdout,
             g.ctl_run(*args, output="yaml").stdout, f"{args} as YAML")
    same(it.json("status")["daemon"]["ready"], "yes", "ready")
    check({"api", "worker"} <= {p["role"] for p in it.json("top", "--once")},
          "processes")


def test_changes(_env, it):
    g = it.g
    same(it.json("user", "add", "New@example.org", "--role", "dba", "--allow",
                 "perf:get_*,list_*", "--limit", "7", "--name", "New One"),
         {"email": "new@example.org", "role": "dba"}, "user add")
    row = g.ctl_json("user", "show", "new@example.org")
    same((row["name"], row["per_hour"], row["allowed_mcps"]), ("New One", 7, {
        "servers": {"perf": {"mode": "custom", "tools": ["get_*", "list_*"]}}}),
         "stored")
    it.code(0, "user", "set", "new@example.org", "--limit", "0",
            "--allow-all")
    row = g.ctl_json("user", "show", "new@example.org")
    same((row["per_hour"], row["allowed_mcps"], row["role"]),
         (0, {"all": True}, "dba"), "changed")
    key = it.code(0, "key", "create", "new@example.org", "--name", "k",
                  "--expires", "1h").stdout.strip()
    token = it.code(0, "token", "new@example.org", "--lifetime", "10m"
                    ).stdout.strip()
    for secret in (key, token):
        c = g.client()
        c.authorization = f"Bearer {secret}"
        check(c.initialize().call("perf__echo", {"message": "x"}).is_ok,
              "a call with what was made")
    row = [k for k in it.json("key", "list", "new@example.org")][0]
    check(row["expires_at"] and row["name"] == "k", row)
    it.code(0, "key", "revoke", row["id"])
    it.problem(401, "unauthenticated", "GET", "/api/v1/users", key=key)
    it.code(3, "key", "revoke", row["id"])
    it.code(0, "user", "disable", "new@example.org")
    same(g.ctl_json("user", "show", "new@example.org")["active"], False,
         "active")
    it.code(0, "user", "enable", "new@example.org")
    it.code(0, "server", "add", "other", "--url", it.up.url, "--timeout", "9",
            "--header", "Authorization: Bearer sesame")
    row = g.ctl_json("server", "show", "other")
    same((row["url"], row["timeout_seconds"], row["source"]),
         (it.up.url, 9, "db"), "server")
    wait_for(lambda: "other__echo" in it.code(0, "tool", "list").stdout, 10,
             "discovery")
    it.code(0, "server", "remove", "other")
    it.code(3, "server", "show", "other")
    who = {(a, b) for a, b in g.env.pg.query(
        "SELECT actor, action FROM omni2.change_log WHERE actor LIKE '%api%'",
        g.database)}
    for action in ("user add", "user set", "key create", "token", "key revoke",
                   "user disable", "user enable", "server add",
                   "server remove"):
        check((f"{ROOT} (api)", action) in who, f"{action}: {who}")


def test_exit_codes(_env, it):
    same(it.g.ctl_run("user", "add", "there@example.org", "--role", "dba"
                      ).returncode, 0, "there")
    for want, args in (
            (2, ("user", "add", "a b", "--role", "dba")),
            (2, ("server", "add", "a__b", "--url", "http://127.0.0.1/")),
            (2, ("server", "add", "x", "--url", "ftp://127.0.0.1/")),
            (2, ("audit", "search", "--decision", "maybe")),
            (3, ("user", "show", "nobody@example.org")),
            (3, ("user", "set", "nobody@example.org", "--limit", "1")),
            (3, ("user", "add", "x@example.org", "--role", "drummer")),
            (3, ("user", "add", "x@example.org", "--role", "dba", "--allow",
                 "nosuch")),
            (3, ("key", "create", "nobody@example.org")),
            (3, ("token", "nobody@example.org")),
            (3, ("server", "show", "nosuch")), (3, ("server", "test", "no")),
            (3, ("tool", "list", "--server", "nosuch")),
            (3, ("policy", "test", "--user", "nobody@example.org")),
            (6, ("user", "add", "there@example.org", "--role", "dba")),
            (6, ("server", "remove", "perf"))):
        it.code(want, *args)
    it.code(0, "server", "add", "dead", "--url", "http://127.0.0.1:9/mcp")
    it.code(5, "server", "test", "dead")
    it.code(0, "server", "remove", "dead")
    it.g.ctl("user", "add", "four@example.org", "--role", "dba", "--allow",
             "perf:get_*")
    it.code(4, "policy", "test", "--user", "four@example.org", "--server",
            "perf", "--tool", "echo")


def test_audit(_env, it):
    g = it.g
    g.row_count()
    for args in (("audit", "search", "-n", "3", "--user", ROOT),
                 ("audit", "search", "--since", "1h", "--decision", "allow",
                  "-n", "2")):
        rows = it.json(*args)
        check(rows and set(rows[0]) >= {"seq", "principal", "method"}, rows)
    same(len(it.json("audit", "tail", "-n", "2")), 2, "tail")
    same(it.json("audit", "verify"), {"findings": 0}, "verify")
    it.code(2, "audit", "search", "-n", "20000")


def another_node(it, first, last, age):
    """Records of a node that is not here: copies, so many seconds old."""
    copy = (f"SELECT now() - interval '{age} s', 'other', n, "
            "gen_random_uuid(), 'tools/call', '{}', '', '' "
            f"FROM generate_series({first}, {last}) AS n")
    it.env.pg.query(
        "BEGIN; INSERT INTO omni2.audit_log (ts, node, seq, id, method, "
        f"record, prev_hash, hash) {copy}; INSERT INTO omni2.audit_chain "
        f"(node, seq, hash) VALUES ('other', {last}, '') ON CONFLICT (node) "
        f"DO UPDATE SET seq = {last}; COMMIT", it.g.database)


def audit_page(it, after, limit):
    query = f"?limit={limit}"
    if after is not None:
        query += "&after=" + urllib.parse.quote(after)
    status, _, page = it.http("GET", "/api/v1/audit/records" + query)
    same(status, 200, page)
    return [(r["node"], r["seq"]) for r in page["items"]], page["next"]


def test_audit_pages_give_each_record_once(env):
    """Whichever node it is of, whenever it began, however many there are."""
    it = Setting(env)
    it.g.row_count()
    another_node(it, 1, 7, 3600)
    want = {(r[0], int(r[1])) for r in it.g.rows(columns="node, seq")}
    got, after = [], "{}"
    while not want <= set(got):
        page, after = audit_page(it, after, 3)
        check(page, f"{want - set(got)} is missing")
        got += page
    same(len(got), len(set(got)), f"records twice in {got}")
    # from the newest on, as tail -f does: nothing that was there before
    page, after = audit_page(it, None, 2)
    same(len(page), 2, "the newest")
    another_node(it, 8, 9, 7200)        # began long ago, ended just now
    page, after = audit_page(it, after, 100)
    check({("other", 8), ("other", 9)} <= set(page), page)
    check(not set(page) & set(got), f"{set(page) & set(got)} again")
    more, _ = audit_page(it, after, 100)
    check(not set(more) & set(page), f"{set(more) & set(page)} again")


def test_audit_cursor_that_is_none(_env, it):
    for after in ("12", "[]", "{", '{"a":-1}', '{"a":"1"}', '{"a":1.5}', "x"):
        it.problem(422, "invalid", "GET", "/api/v1/audit/records?after=" +
                   urllib.parse.quote(after))


def test_reload(_env, it):
    g = it.g
    same(it.json("reload"), {"ok": True}, "reload")
    g.write_config(json.dumps(g.config)[:-1] + ', "nonsense": 1}')
    try:
        done = it.code(7, "reload")
        check("nonsense" in done.stderr and "keeps running" in done.stderr,
              done.stderr)
        done = it.code(7, "user", "list")
        check("nonsense" in done.stderr, done.stderr)
        it.code(0, "status")
        it.problem(409, "configuration", "POST", "/api/v1/reload")
        findings = it.http("POST", "/api/v1/reload")[2]["findings"]
        check(any("nonsense" in f for f in findings), findings)
    finally:
        g.write_config()
    it.code(0, "reload")


def test_local_only(_env, it):
    for args in (("db", "init"), ("db", "status"), ("setup",), ("stop",),
                 ("backup", "x"), ("restore", "x"), ("shm", "dump"),
                 ("doctor",), ("check",)):
        done = it.code(2, *args)
        check("on the machine of omni2d only" in done.stderr, done.stderr)
    done = subprocess.run(
        [it.env.omni2ctl, "-c", it.g.conf, "db", "status"], check=False,
        capture_output=True, text=True, cwd="/", stdin=subprocess.DEVNULL,
        env=it.env.clean_environment(OMNI2_URL=it.url), **it.env.as_user())
    same(done.returncode, 2, "OMNI2_URL")
    check("unset OMNI2_URL" in done.stderr, done.stderr)


def test_environment(_env, it):
    def run(*args, **variables):
        return subprocess.run(
            [it.env.omni2ctl, *args], check=False, capture_output=True,
            text=True, cwd="/", stdin=subprocess.DEVNULL, timeout=30,
            env=it.env.clean_environment(**variables), **it.env.as_user())

    done = run("user", "list", OMNI2_URL=it.url + "/",
               OMNI2_TOKEN=it.g.key(ROOT))
    same(done.returncode, 0, f"{done}")
    check(ROOT in done.stdout, done.stdout)
    done = run("user", "list", OMNI2_URL=it.url)
    same(done.returncode, 2, "no token")
    check("--token-file" in done.stderr, done.stderr)
    done = run("--url", "http://omni2.example.org", "status",
               OMNI2_TOKEN="x")
    same(done.returncode, 2, "a token in clear text")
    check("https://" in done.stderr, done.stderr)
    done = run("--token-file", it.token, "status")
    same(done.returncode, 2, "a token and no URL")
    done = run("--url", f"http://127.0.0.1:{free_port()}", "--token-file",
               it.token, "status")
    same(done.returncode, 5, "nobody there")
    done = run("--url", it.up.url.removesuffix("/mcp"), "--token-file",
               it.token, "status")
    same(done.returncode, 5, "somebody else")
    check("not as omni2" in done.stderr, done.stderr)
    check(it.g.key(ROOT) not in done.stderr + done.stdout, "the token")


# Who may

def test_who_may(_env, it):
    g = it.g
    wrong = it.token_file(None, "omni2_" + "x" * 43)
    done = it.code(4, "user", "list", token=wrong)
    check("Invalid API key" in done.stderr, done.stderr)
    done = it.code(4, "user", "list", token=it.token_file("ann@example.org"))
    check("may not administrate" in done.stderr, done.stderr)
    for kw, want, code in (
            ({"key": "omni2_" + "y" * 43}, 401, "unauthenticated"),
            ({"headers": {"Authorization": None}}, 401, "unauthenticated"),
            ({"key": g.key("ann@example.org")}, 403, "denied")):
        for method, path in (("GET", "/api/v1/users"),
                             ("POST", "/api/v1/reload"),
                             ("GET", "/api/v1/nothing"),
                             ("DELETE", "/api/v1/keys/1")):
            _, headers = it.problem(want, code, method, path, **kw)
            same(headers.get("www-authenticate"),
                 "Bearer" if want == 401 else None, "WWW-Authenticate")
    same(it.http("GET", "/api/v1/status", headers={
        "Authorization": None, "X-API-Key": g.key(ROOT)})[0], 200,
         "X-API-Key")
    token = g.ctl("token", ROOT).strip()
    same(it.http("GET", "/api/v1/status", key=token)[0], 200, "a token")


def test_bodies_of_strangers_are_not_waited_for(_env, it):
    """Who may not administrate cannot hold up the few processes there are."""
    head = ("POST /api/v1/users HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: application/json\r\n{}: {}\r\n"
            "Authorization: Bearer {}\r\n\r\n")
    held = []
    for size in (("Content-Length", 1000), ("Transfer-Encoding", "chunked")):
        for key, want in (("omni2_wrong", b"401"),
                          (it.g.key("ann@example.org"), b"403")):
            s = socket.create_connection(("127.0.0.1", it.g.port), 5)
            s.sendall(head.format(*size, key).encode())
            answer = s.recv(4096)
            check(answer.startswith(b"HTTP/1.1 " + want) and
                  b"Connection: close" in answer, answer)
            held.append(s)
    s = socket.create_connection(("127.0.0.1", it.g.port), 5)
    s.sendall(head.format("Content-Length", 34, it.g.key(ROOT)).encode())
    s.sendall(b'{"email":"late@example.org",')
    it.code(0, "user", "list")
    s.sendall(b'"x":2}')
    check(s.recv(4096).startswith(b"HTTP/1.1 422"), "the body came later")
    for one in (*held, s):
        one.close()


def test_cross_site(_env, it):
    for headers in ({"Host": "evil.example.com"},
                    {"Origin": "http://evil.example.com"},
                    {"Origin": "null"}):
        it.problem(403, "origin", "GET", "/api/v1/users", headers=headers)
        it.problem(403, "origin", "GET", "/api/v1/openapi.json",
                   headers=headers)
    it.problem(415, "media_type", "POST", "/api/v1/users",
               headers={"Content-Type": "text/plain"},
               raw='{"email":"x@example.org","role":"admin"}')
    same(it.g.ctl_run("user", "show", "x@example.org").returncode, 3, "stored")


def test_commands_are_refused(_env, it):
    """What runs on the machine is added on the machine."""
    for body in ({"name": "evil", "command": "/bin/sh", "args": ["-c", "id"]},
                 {"name": "evil", "url": it.up.url, "args": ["x"]},
                 {"name": "evil", "url": it.up.url, "env": ["A=b"]},
                 {"name": "evil", "url": "unix:/run/docker.sock"}):
        detail, _ = it.problem(403, "denied", "POST", "/api/v1/servers", body)
        check("on the machine itself" in detail, detail)
    done = it.code(4, "server", "add", "evil", "--command", "/bin/sh")
    check("on the machine itself" in done.stderr, done.stderr)
    same(it.g.ctl_run("server", "show", "evil").returncode, 3, "stored")


def test_headers_that_are_refused(_env, it):
    """As in files: no header that frames a message, none that is no header."""
    for header in ("Content-Length: 0", "transfer-encoding: chunked",
                   "HOST: x", "Mcp-Session-Id: x", ": x", "A b: x", "A : x",
                   "A: x\r\nB: y", "A: \u001bx", "A"):
        detail, _ = it.problem(422, "invalid", "POST", "/api/v1/servers", {
            "name": "framed", "url": it.up.url, "header": header})
        check(detail.startswith("header: "), detail)
    same(it.g.ctl_run("server", "show", "framed").returncode, 3, "stored")


def test_strict(_env, it):
    users = "/api/v1/users"
    for want, code, word, args in (
            (422, "invalid", '"shoe"', ("POST", users, {
                "email": "s@example.org", "role": "dba", "shoe": 42})),
            (422, "invalid", "role: is missing", ("POST", users, {
                "email": "s@example.org"})),
            (422, "invalid", "role: must be a string", ("POST", users, {
                "email": "s@example.org", "role": 1})),
            (422, "invalid", "requests_per_hour", ("POST", users, {
                "email": "s@example.org", "role": "dba",
                "requests_per_hour": 1.5})),
            (422, "invalid", "requests_per_hour", ("POST", users, {
                "email": "s@example.org", "role": "dba",
                "requests_per_hour": -2})),
            (422, "invalid", "allowed_mcps", ("POST", users, {
                "email": "s@example.org", "role": "dba",
                "allowed_mcps": {"al": True}})),
            (422, "invalid", "twice", ("GET", "/api/v1/keys?user=a&user=b")),
            (422, "invalid", '"colour"', ("GET", users + "?colour=red")),
            (422, "invalid", '"x"', ("DELETE", "/api/v1/keys/x")),
            (422, "invalid", "limit", (
                "GET", "/api/v1/audit/records?limit=0")),
            (404, "not_found", "nothing at", ("GET", "/api/v1/shoes")),
            (404, "not_found", "nothing at", ("GET", "/api/v2/users")),
            (404, "not_found", "nothing at", ("GET", users + "/a/b"))):
        detail, _ = it.problem(want, code, *args)
        check(word in detail, f"{args}: {detail}")
    for raw, code in (("{", "not_json"), ("[]", "invalid"),
                      ('{"email":"a@b","email":"c@d"}', "invalid"),
                      ('{"\\u0065mail":"a@b"}', "invalid")):
        it.problem(400 if code == "not_json" else 422, code, "POST", users,
                   raw=raw, headers={"Content-Type": "application/json"})
    _, headers = it.problem(405, "method", "PUT", users, {})
    same(headers["allow"], "GET, HEAD, POST", "Allow")
    it.problem(413, "too_large", "POST", users,
               {"email": "s@example.org", "role": "x" * 300000})
    same(it.http("HEAD", users)[2], None, "HEAD")


def test_openapi(_env, it):
    status, headers, doc = it.http("GET", "/api/v1/openapi.json",
                                   headers={"Authorization": None})
    same((status, headers["content-type"]), (200, "application/json"), "type")
    same(doc["openapi"], "3.1.0", "version")
    check(set(doc["paths"]["/api/v1/users/{email}"]) == {"get", "patch"},
          doc["paths"])
    ids = [op["operationId"] for p in doc["paths"].values()
           for op in p.values()]
    same(len(ids), len(set(ids)), "ids are unique")


def test_each_request_is_recorded(_env, it):
    g = it.g
    columns = "method, principal, decision, result, http_status, object"
    before = g.row_count("source = 'api'")
    it.http("GET", "/api/v1/users/ann@example.org")
    it.problem(404, "not_found", "GET", "/api/v1/users/no@example.org")
    it.problem(403, "denied", "GET", "/api/v1/users",
               key=g.key("ann@example.org"))
    it.problem(401, "unauthenticated", "GET", "/api/v1/users",
               key="omni2_nobody")
    it.http("POST", "/api/v1/servers", {
        "name": "seen", "url": it.up.url, "header": "X-Secret: sesame"})
    it.http("DELETE", "/api/v1/servers/seen")
    g.wait_rows(before + 6, "source = 'api'")
    rows = g.rows("source = 'api'", columns)[-6:]
    same([tuple(r) for r in rows], [
        ("user.show", ROOT, "allow", "success", "200", "ann@example.org"),
        ("user.show", ROOT, "allow", "error", "404", "no@example.org"),
        ("user.list", "ann@example.org", "deny", "denied", "403", ""),
        ("user.list", "", "unauthenticated", "denied", "401", ""),
        ("server.add", ROOT, "allow", "success", "201", "seen"),
        ("server.remove", ROOT, "allow", "success", "200", "seen")], "records")
    records = "\n".join(r[0] for r in g.rows("source = 'api'", "record"))
    check("sesame" not in records and '"name":"seen"' in records, "arguments")


def test_many_wrong_credentials(env, _it):
    g = env.gateway({})
    other = Remote(env, g)
    seen = [other.http("GET", "/api/v1/users", key=f"omni2_{i}")[0]
            for i in range(40)]
    same(set(seen), {401, 429}, "statuses")
    same(seen[0], 401, "the first")
    same(other.http("GET", "/api/v1/users")[0], 200, "good ones are heard")
    g.stop()


# What goes wrong around it

def test_killed(_env, it):
    g = it.g
    for _ in range(3):
        for pid in g.pids("api"):
            os.kill(pid, signal.SIGKILL)
        it.code(0, "user", "list")
    wait_for(lambda: len(g.pids("api")) == 2, 5, "both are back")


def test_busy_workers_and_one_connection(_env, it):
    """Both kinds of requests on one connection, each where it belongs."""
    g = it.g
    c = g.client(ROOT).initialize()
    for _ in range(20):
        check(c.call("perf__echo", {"message": "x"}).is_ok, "a call")
        c.connection.request("GET", "/api/v1/users", headers={
            "Authorization": f"Bearer {g.key(ROOT)}"})
        r = c.connection.getresponse()
        same((r.status, json.loads(r.read())["items"] != []), (200, True),
             "the API on a connection that a worker holds")
    served = {p["role"] for p in g.ctl_json("status")["processes"]
              if p["served"] > 0}
    check("api" in served, served)


def test_database_away(env, it):
    g = env.gateway({"mcps": [http_server("perf", it.up.url)],
                     "database": {"timeout": "1s"}})
    other = Remote(env, g)
    c = g.client(ROOT).initialize()
    wait_for(lambda: c.call("perf__echo", {"message": "x"}).is_ok, 10, "calls")
    env.pg.query(f"ALTER DATABASE {g.database} ALLOW_CONNECTIONS false")
    env.pg.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                 f"WHERE datname = '{g.database}'")
    try:
        for path in ("/api/v1/users", "/api/v1/keys", "/api/v1/servers"):
            detail, headers = other.problem(503, "unavailable", "GET", path)
            check("database" in detail and headers["retry-after"], detail)
        other.problem(503, "unavailable", "POST", "/api/v1/users",
                      {"email": "x@example.org", "role": "dba"})
        same(other.http("GET", "/api/v1/status")[0], 200, "status")
        check(c.call("perf__echo", {"message": "x"}).is_ok, "a call")
    finally:
        env.pg.query(f"ALTER DATABASE {g.database} ALLOW_CONNECTIONS true")
    same(other.http("GET", "/api/v1/users")[0], 200, "afterwards")
    g.stop()


def locked(env, g):
    """The table of users is locked until the process gets no more input."""
    lock = subprocess.Popen(
        ["psql", "-XqAt", "-d", env.pg.url(g.database)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd="/",
        **env.as_user())
    lock.stdin.write("BEGIN; LOCK omni2.users; SELECT 'locked';\n")
    lock.stdin.flush()
    same(lock.stdout.readline(), "locked\n", "psql")
    return lock


def wait_blocked(env, g, n):
    wait_for(lambda: int(env.pg.scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = "
        f"'Lock' AND datname = '{g.database}'")) >= n, 10, "they wait")


def ask_users(g):
    c = http.client.HTTPConnection("127.0.0.1", g.port, timeout=30)
    c.request("GET", "/api/v1/users", headers={
        "Authorization": f"Bearer {g.key(ROOT)}"})
    return c


def test_killed_during_a_request(env, it):
    """The master writes the record, and the client is not left waiting."""
    g = it.g
    before = g.row_count("result = 'aborted'")
    lock = locked(env, g)
    try:
        c = ask_users(g)
        wait_blocked(env, g, 1)
        for pid in g.pids("api"):
            os.kill(pid, signal.SIGKILL)
        try:
            check(not c.getresponse().read(), "an answer of nobody")
        except (http.client.HTTPException, OSError):
            pass
    finally:
        lock.communicate()
    g.wait_rows(before + 1, "result = 'aborted'")
    same(g.rows("result = 'aborted'", "source, method, principal")[-1],
         ["api", "user.list", ROOT], "record")
    it.code(0, "user", "list")


def test_slow_database(env, it):
    """Requests that wait for the database never hold up a call."""
    g = env.gateway({"mcps": [http_server("perf", it.up.url)]})
    other = Remote(env, g)
    c = g.client(ROOT).initialize()
    wait_for(lambda: c.call("perf__echo", {"message": "x"}).is_ok, 10, "calls")
    lock, waiting = locked(env, g), []
    try:
        waiting = [ask_users(g) for _ in range(6)]
        wait_blocked(env, g, 2)
        start = time.monotonic()
        for _ in range(50):
            check(c.call("perf__echo", {"message": "x"}).is_ok, "a call")
        check(time.monotonic() - start < 3, "calls were held up")
        same(http_get(g.port, "/health/live")[0], 200, "health")
    finally:
        lock.communicate()
    for w in waiting:
        check(w.getresponse().status in (200, 503), "answered in the end")
        w.close()
    g.stop()


def test_tls(env, it):
    """With a CA of its own; without it nothing is sent."""
    path = env.make_dir("remote-tls", mode=0o755)
    name = os.path.join(path, "one")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout",
         name + ".key", "-out", name + ".crt"], check=True,
        capture_output=True)
    if env.is_root:
        os.chown(name + ".key", env.uid, env.gid)
    port = free_port()
    g = env.gateway({"server": {"tls": {
        "listen": [f"127.0.0.1:{port}"], "certificate": name + ".crt",
        "key": name + ".key"}}})
    url = f"https://localhost:{port}"
    token = os.path.join(path, "token")
    with open(os.path.join(SOURCE, "man", "omni2ctl-remote.1"),
              encoding="utf-8") as f:
        lines = re.findall(r"^\.Dl omni2ctl (.*)$", f.read(), re.M)
    check(len(lines) >= 6, lines)
    for line in lines:
        words = shlex.split(line.replace(
            "https://mcp.example.org", url).replace(
                "~/.omni2-token", token).replace(
                    "/etc/ssl/house.pem", name + ".crt"))
        if "--url" not in words:
            words[:0] = ["-c", g.conf]
        done = subprocess.run(
            [env.omni2ctl, *words], stdin=subprocess.DEVNULL, cwd="/",
            capture_output=True, text=True, timeout=30, check=False,
            env=env.clean_environment(SSL_CERT_FILE=name + ".crt"),
            **env.as_user())
        same(done.returncode, 0, f"{line}: {done.stdout}{done.stderr}\nexit")
        if words[2:4] == ["key", "create"]:
            with open(token, "w", encoding="ascii") as f:
                f.write(done.stdout)
    done = it.code(0, "user", "list", url=url, token=token,
                   more=("--cacert", name + ".crt"))
    check(ROOT in done.stdout, done.stdout)
    done = it.code(5, "user", "list", url=url, token=token)
    check("--cacert" in done.stderr, done.stderr)
    done = it.code(5, "user", "list", url=f"https://127.0.0.1:{port}",
                   token=token, more=("--cacert", name + ".crt"))
    check("--cacert" in done.stderr, done.stderr)
    g.stop()
