"""omni2ctl setup, doctor, backup and restore; what omni2ctl does on a
terminal; YAML and --watch."""
import contextlib
import fcntl
import io
import json
import os
import pty
import pwd
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import tarfile
import termios
import threading
import time

from harness import (SOURCE, Skip, check, free_port, http_get, same,
                     wait_for)
from servers import http_server

SAMPLES = os.path.join(SOURCE, "conf")


class Cluster:
    """A PostgreSQL as distributions set it up: whoever is a system user is
    the role of that name, and nobody else is let in."""

    def __init__(self, env):
        self.env = env
        self.owner = "postgres" if env.is_root else env.user
        try:
            self.pw = pwd.getpwnam(self.owner)
        except KeyError:
            raise Skip(f"there is no user {self.owner}") from None
        self.dir = env.make_dir("peer", mode=0o755)
        if env.is_root:
            os.chown(self.dir, self.pw.pw_uid, self.pw.pw_gid)
        self.initdb = self.program("initdb")
        self.run(self.initdb, "-D", f"{self.dir}/data", "-U", self.owner,
                 "-A", "peer", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        with open(f"{self.dir}/data/postgresql.conf", "a",
                  encoding="ascii") as f:
            f.write("listen_addresses = ''\nfsync = off\n"
                    f"unix_socket_directories = '{self.dir}'\n")
        self.control("start")
        env.helpers.append(self)

    def stop(self):
        self.control("stop")

    @staticmethod
    def program(name):
        return subprocess.run(
            ["bash", "-c", '. "$1/packaging/lib.sh"; pg_program "$2"', "lib",
             SOURCE, name], capture_output=True, text=True,
            check=True).stdout.strip()

    def run(self, *args):
        who = {"user": self.pw.pw_uid, "group": self.pw.pw_gid,
               "extra_groups": []} if self.env.is_root else {}
        done = subprocess.run(
            args, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False, cwd="/", **who)
        check(done.returncode == 0, lambda: f"{args}: {done.stdout}")
        return done.stdout

    def control(self, verb):
        # its output would keep the pipe open
        self.run("bash", "-c", '"$1" -D "$2/data" -l "$2/log" -w "$3" '
                 '>/dev/null', "pg", self.program("pg_ctl"), self.dir, verb)

    def query(self, sql, database="postgres"):
        return self.run(self.program("psql"), "-XqAt", "-v",
                        "ON_ERROR_STOP=1", "-h", self.dir, "-d", database,
                        "-c", sql).strip()


class Setting:
    def __init__(self, env):
        self.env = env
        self.up = env.c_upstream()
        self.pg = Cluster(env)
        self.n = 0
        self.daemons = []

    def place(self):
        """A directory and a port; the configuration is not there yet."""
        self.n += 1
        return Place(self, self.n)


def setup(env):
    return Setting(env)


class Place:
    """A machine to set up, as far as omni2 sees one."""

    def __init__(self, it, n):
        self.it, self.env = it, it.env
        self.dir = it.env.make_dir(f"place{n}", mode=0o755)
        if it.env.is_root:
            os.chown(self.dir, 0, 0)
        self.conf = os.path.join(self.dir, "etc", "omni2.yaml")
        self.port = free_port()
        self.process = None

    def write(self, text):
        os.makedirs(os.path.dirname(self.conf), exist_ok=True)
        with open(self.conf, "w", encoding="utf-8") as f:
            f.write(text)
        os.chmod(self.conf, 0o644)

    def text(self):
        with open(self.conf, encoding="utf-8") as f:
            return f.read()

    def base(self):
        """Only the directories are not those of a package."""
        return (f"server:\n  run_dir: {self.dir}/run\n"
                f"  state_dir: {self.dir}/state\n  #listen: x\n")

    def ctl(self, *args, want=0, text=None, prefix=(), **variables):
        done = subprocess.run(
            [*prefix, self.env.omni2ctl, "-c", self.conf, *args],
            input=text if text is not None else "", capture_output=True,
            text=True, timeout=60, check=False, cwd="/",
            env=self.env.clean_environment(
                PGHOST=self.it.pg.dir, **variables))
        same(done.returncode, want, f"omni2ctl {args}: {done.stdout}"
             f"{done.stderr}\nexit code")
        return done

    def start(self):
        with open(os.path.join(self.dir, "log"), "ab") as out:
            self.process = subprocess.Popen(
                [self.env.omni2d, "-c", self.conf], stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, cwd="/",
                env=self.env.clean_environment(), start_new_session=True)
        self.env.helpers.append(self)
        wait_for(lambda: self.status() == 200 or
                 self.process.poll() is not None, 60, "omni2d is ready")
        check(self.process.poll() is None,
              lambda: open(os.path.join(self.dir, "log"),
                           encoding="utf-8").read())

    def status(self):
        try:
            return http_get(self.port, "/health/ready")[0]
        except OSError:
            return 0

    def stop(self):
        """Also at the end of the file, if a test did not get that far."""
        if self.process.poll() is None:
            self.process.terminate()
            same(self.process.wait(40), 0, "exit status of omni2d")


def drop_database(it):
    it.pg.query("DROP DATABASE IF EXISTS omni2")
    if it.env.is_root:
        it.pg.query("DROP ROLE IF EXISTS omni2")


def states(done):
    return [line.split()[0] for line in done.stdout.splitlines()
            if re.match(r"(ok|done|would) ", line)]


# setup

def test_dry_run(_env, it):
    p = it.place()
    p.write(p.base())
    before = p.text()
    done = p.ctl("setup", "--dry-run", "--listen", f"127.0.0.1:{p.port}")
    check("would  make the database omni2" in done.stdout and
          "would  make the tables" in done.stdout and
          "would  make the administrator" in done.stdout and
          f"would  add to {p.conf}: database.url, server.listen"
          in done.stdout and "done" not in states(done), done.stdout)
    same(p.text(), before, "the file")
    same(it.pg.query("SELECT count(*) FROM pg_database "
                     "WHERE datname = 'omni2'"), "0", "databases")


def test_from_nothing_to_a_call(env, it):
    p = it.place()
    p.write(p.base())
    done = json.loads(p.ctl("-o", "json", "setup", "--listen",
                            f"127.0.0.1:{p.port}", "--admin",
                            "Root@Example.org").stdout)
    same(done["admin"], "root@example.org", "administrator")
    same(done["url"], f"http://127.0.0.1:{p.port}/mcp", "url")
    check(done["key"].startswith("omni2_"), done)
    role = "omni2" if env.is_root else env.user
    same(it.pg.query("SELECT pg_get_userbyid(datdba) FROM pg_database "
                     "WHERE datname = 'omni2'"), role, "owner")
    check(f"  #listen: x\n  listen: 127.0.0.1:{p.port}\n" in p.text() and
          all(line in p.text() for line in p.base().splitlines(True)),
          p.text())
    if env.is_root:
        check("  user: omni2\n" in p.text(), p.text())
    p.start()
    p.ctl("server", "add", "search", "--url", it.up.url)
    wait_for(lambda: "search__echo" in p.ctl("tool", "list").stdout, 20,
             "discovery")
    status, _, body = post(p.port, done["key"], "search__echo")
    check(status == 200 and b"result" in body, body)

    # again: nothing is left to do, nothing is changed, no key is made
    before = p.text()
    again = p.ctl("setup")
    same(set(states(again)), {"ok"}, again.stdout)
    check("omni2_" not in again.stdout and
          "/health/ready answers 200" in again.stdout, again.stdout)
    same(p.text(), before, "the file")
    dry = p.ctl("setup", "--dry-run")
    check("Nothing is left to do" in dry.stdout, dry.stdout)
    doctor = p.ctl("doctor")
    check("FAIL" not in doctor.stdout and "is ready" in doctor.stdout,
          doctor.stdout)
    p.stop()


def post(port, key, tool):
    import http.client
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    c.request("POST", "/mcp", json.dumps(
        {"jsonrpc": "2.0", "id": 1, "method": "tools/call",
         "params": {"name": tool, "arguments": {"message": "hi"}}}),
        {"Content-Type": "application/json", "Authorization": f"Bearer {key}"})
    r = c.getresponse()
    try:
        return r.status, r.getheaders(), r.read()
    finally:
        c.close()


def test_key_is_shown_also_when_the_rest_fails(_env, it):
    """Another program has the port: the key that was made must not be lost."""
    for output in ("table", "json"):
        drop_database(it)
        p = it.place()
        p.write(p.base())
        with socket.socket() as s:
            s.bind(("127.0.0.1", p.port))
            s.listen()
            done = p.ctl("-o", output, "setup", "--listen",
                         f"127.0.0.1:{p.port}", want=6)
        check("in use" in done.stderr, done.stderr)
        same(done.stdout.count("omni2_"), 1, f"keys in {done.stdout}")
        if output == "json":
            check(json.loads(done.stdout)["key"].startswith("omni2_"),
                  done.stdout)
        same(set(states(p.ctl("setup"))), {"ok"}, "again")


def test_what_an_administrator_wrote_stays(_env, it):
    p = it.place()
    p.write(p.base() + "  listen: 127.0.0.1:1\ndatabase:\n"
            "  url: host=/nowhere dbname=mine password=geheim\n")
    before = p.text()
    for args in (("--local",), ("--database", "host=/x dbname=other"),
                 ("--listen", "127.0.0.1:2")):
        done = p.ctl("setup", *args, want=6)
        check(p.conf in done.stderr and "change it there" in done.stderr and
              "geheim" not in done.stderr, done.stderr)
    done = p.ctl("setup", want=5)       # its own database does not answer
    check("geheim" not in done.stderr, done.stderr)
    same(p.text(), before, "the file")


def test_the_installed_sample(_env, it):
    """Its placeholders become comments; every other line stays."""
    drop_database(it)
    p = it.place()
    os.makedirs(os.path.dirname(p.conf))
    for name in ("omni2.yaml", "mcps.yaml", "users.yaml"):
        shutil.copy(os.path.join(SAMPLES, name), os.path.dirname(p.conf))
    before = p.text()
    p.write(before.replace("#run_dir: /run/omni2", f"run_dir: {p.dir}/run")
            .replace("#state_dir: /var/lib/omni2", f"state_dir: {p.dir}/st"))
    before = p.text()
    done = p.ctl("setup", "--listen", f"127.0.0.1:{p.port}")
    check("done" in states(done), done.stdout)
    after = p.text()
    for line in before.splitlines():
        check(line in after or line.replace("  ", "  #", 1) in after,
              f"{line!r} is gone")
    p.ctl("check")
    p.start()
    p.stop()


def test_password_goes_to_a_file(env, it):
    p = it.place()
    p.write(p.base())
    role = "omni2" if env.is_root else env.user
    url = f"host={it.pg.dir} user={role} dbname=omni2 password='a $b'"
    p.ctl("setup", "--no-start", "--database", "-", text=url + "\n")
    secret = os.path.join(p.dir, "etc", "database-url")
    with open(secret, encoding="ascii") as f:
        same(f.read(), url + "\n", "database-url")
    same(os.stat(secret).st_mode & 0o007, 0, "others may read it")
    check("$b" not in p.text() and "url_file: database-url" in p.text(),
          p.text())
    same(set(states(p.ctl("setup", "--no-start"))), {"ok"}, "again")


def test_setup_refuses(_env, it):
    p = it.place()
    p.write(p.base())
    for args in (("--local", "--database", "x=y"), ("--database", "nonsense"),
                 ("--listen", "nowhere:x"), ("--admin", "nobody"),
                 ("--database", "-"), ("extra",), ("--dry",)):
        p.ctl("setup", *args, want=2)
    done = p.ctl("setup", "--database", "host=/nowhere dbname=x", want=5)
    check("does PostgreSQL run there" in done.stderr, done.stderr)
    same(p.text(), p.base(), "the file")
    done = subprocess.run(
        [p.env.omni2ctl, "-c", p.conf, "setup", "--local"],
        capture_output=True, text=True, check=False, cwd="/",
        env=p.env.clean_environment(PGHOST=p.dir))
    same(done.returncode, 5, f"no socket: {done.stderr}")
    check("--database" in done.stderr, done.stderr)
    p.write("server:\n  lsten: 1\n")
    done = p.ctl("setup", want=7)
    check("lsten" in done.stderr and "listen" in done.stderr, done.stderr)
    same(p.text(), "server:\n  lsten: 1\n", "the file")
    same(os.listdir(os.path.dirname(p.conf)), ["omni2.yaml"], "left over")
    p.write('{"server": {"queue": 100}}')
    done = p.ctl("setup", want=1)
    check("write this yourself" in done.stderr, done.stderr)


def test_not_an_administrator(_env, it):
    p = it.place()
    p.write(p.base())
    p.ctl("setup", "--no-start")
    p.ctl("user", "add", "dev@example.org", "--role", "developer")
    done = p.ctl("setup", "--no-start", "--admin", "dev@example.org", want=6)
    check("omni2ctl user set" in done.stderr, done.stderr)


FAKE_SYSTEMCTL = """#!/bin/sh
echo "$@" >>"$FAKE/calls"
case $1 in
cat)		[ -e "$FAKE/unit" ] ;;
is-active)	[ -e "$FAKE/active" ] ;;
is-enabled)	[ -e "$FAKE/enabled" ] ;;
enable)		[ ! -e "$FAKE/broken" ] || exit 1
		touch "$FAKE/active" "$FAKE/enabled" ;;
show)		cat "$FAKE/show" ;;
esac
"""


def test_with_systemd(env, it):
    """systemctl is a script here; what is asked of it is looked at."""
    if not env.is_root or subprocess.run(
            ["unshare", "-m", "true"], check=False,
            stderr=subprocess.DEVNULL).returncode:
        raise Skip("a mount namespace is needed")
    p = it.place()
    p.write(p.base())
    fake = env.make_dir("fake", mode=0o755)
    with open(f"{fake}/systemctl", "w", encoding="ascii") as f:
        f.write(FAKE_SYSTEMCTL)
    os.chmod(f"{fake}/systemctl", 0o755)
    prefix = ("unshare", "-m", "sh", "-c",
              "mkdir -p /run/systemd && mount -t tmpfs none /run/systemd && "
              "mkdir /run/systemd/system && exec \"$@\"", "sh")

    def ctl(*args, want=0):
        return p.ctl(*args, want=want, prefix=prefix, FAKE=fake,
                     PATH=f"{fake}:{os.environ['PATH']}")

    def calls():
        with open(f"{fake}/calls", encoding="ascii") as f:
            return f.read().splitlines()

    def is_there(*names):
        for name in names:
            with open(f"{fake}/{name}", "w", encoding="ascii"):
                pass

    done = ctl("setup", "--listen", f"127.0.0.1:{p.port}")
    check("no systemd with omni2.service" in done.stdout, done.stdout)
    p.start()                   # what the unit would do
    is_there("unit")
    done = ctl("setup")
    check("enable --now omni2.service" in calls() and
          "done   enable and start omni2.service" in done.stdout and
          "answers 200" in done.stdout, f"{calls()} {done.stdout}")
    done = ctl("setup")
    check("ok     omni2.service is enabled and running" in done.stdout,
          done.stdout)
    same(calls().count("enable --now omni2.service"), 1, "enable")
    same([c for c in calls() if c.startswith("restart")], [], "restarts")
    os.unlink(f"{fake}/active")
    is_there("broken")
    done = ctl("setup", want=1)
    check("systemctl status omni2" in done.stderr, done.stderr)
    p.stop()

    for lines, state, text in (
            ("LoadState=not-found\n", "warn", "knows no"),
            ("LoadState=loaded\nActiveState=failed\nResult=exit-code\n"
             "ExecMainStatus=78\n", "FAIL", "exit-code, exit status 78"),
            ("LoadState=loaded\nActiveState=inactive\n", "warn", "inactive"),
            ("LoadState=loaded\nActiveState=active\nNeedDaemonReload=yes\n",
             "warn", "daemon-reload"),
            ("LoadState=loaded\nActiveState=active\nUnitFileState=disabled\n",
             "warn", "systemctl enable"),
            ("LoadState=loaded\nActiveState=active\nUnitFileState=enabled\n"
             "NRestarts=3\n", "ok", "3 restarts")):
        with open(f"{fake}/show", "w", encoding="ascii") as f:
            f.write(lines)
        done = ctl("doctor", want=1 if state == "FAIL" else 0)
        line = [s for s in done.stdout.splitlines() if " unit " in s]
        check(len(line) == 1 and line[0].startswith(state) and
              text in line[0], f"{lines}: {done.stdout}")


# doctor

def findings(g, want):
    done = g.ctl_run("doctor", output="json")
    same(done.returncode, want, f"doctor: {done.stdout}{done.stderr}")
    check(done.stdout, lambda: f"doctor: {done.stderr}")
    out = json.loads(done.stdout)
    same(out["failures"] > 0, want == 1, out)
    return {(f["check"], f["state"]): f for f in out["findings"]}


def finding(g, want, name, state, text):
    got = findings(g, want)
    check((name, state) in got and text in got[name, state]["text"] +
          (got[name, state]["mend"] or ""), lambda: f"{name} {state}: {got}")


def test_doctor_of_a_healthy_one(env, it):
    g = env.gateway()
    g.server("search", it.up.url)
    wait_for(lambda: "search__echo" in g.ctl("tool", "list"), 10, "discovery")
    got = findings(g, 0)
    for name in ("configuration", "files", "state", "database", "clock",
                 "tables", "daemon", "audit", "descriptors", "server search"):
        check((name, "ok") in got, lambda: f"{name}: {got}")
    it.g = g


def test_doctor_finds(env, it):
    g = it.g
    g.server("dead", "http://127.0.0.1:9/mcp")
    finding(g, 1, "server dead", "FAIL", "omni2ctl server test dead")
    g.ctl("server", "remove", "dead")
    g.server("prog", None, ["no-such-program"])
    finding(g, 1, "server prog", "FAIL", "cannot be run")
    g.ctl("server", "remove", "prog")
    os.chmod(g.state_dir, 0o755)
    finding(g, 0, "state", "warn", "chmod 700")
    os.chmod(g.state_dir, 0o700)
    os.chmod(g.conf, 0o644)             # it holds auth.token_secret
    finding(g, 0, "files", "warn", "chmod o-r")
    os.chmod(g.conf, 0o666)
    finding(g, 1, "files", "FAIL", "chmod o-w")
    os.chmod(g.conf, 0o640)
    g.config["audit"] = {"spool_max": "1000G"}
    g.config["server"]["connections"] = 999999
    g.write_config()
    finding(g, 0, "disk", "warn", "audit.spool_max")
    finding(g, 0, "descriptors", "warn", "LimitNOFILE=1000255")
    del g.config["audit"], g.config["server"]["connections"]
    g.write_config(json.dumps(g.config)[:-1] + ', "nonsense": 1}')
    finding(g, 1, "configuration", "FAIL", "nonsense")
    g.write_config()
    for old, new in (("(SELECT max(version) FROM omni2.schema_migrations)",
                      9999), (9999, "(SELECT count(*) FROM "
                              "omni2.schema_migrations)")):
        env.pg.query(f"UPDATE omni2.schema_migrations SET version = {new} "
                     f"WHERE version = {old}", g.database)
        if new == 9999:
            finding(g, 1, "tables", "FAIL", "newer omni2")
    empty = env.gateway(start=False, database=False)
    env.pg.query(f"CREATE DATABASE {empty.database}")
    finding(empty, 1, "tables", "FAIL", "omni2ctl db migrate")
    g.config["database"]["url"] = "host=/nowhere user=x dbname=y"
    g.write_config()
    finding(g, 1, "database", "FAIL", "host=/nowhere")
    done = subprocess.run(
        [env.omni2ctl, "-c", "/nowhere/omni2.yaml", "doctor"],
        capture_output=True, text=True, check=False, cwd="/")
    same(done.returncode, 1, "no file")
    check("omni2ctl setup" in done.stdout, done.stdout)
    g.config["database"]["url"] = env.pg.url(g.database)
    g.write_config()
    g.stop()
    finding(g, 0, "daemon", "warn", "systemctl start")


class Tls:
    """Shakes hands with whoever comes, with a certificate made for name."""

    def __init__(self, where, name, days):
        self.cert = os.path.join(where, f"{name}-{days}.pem")
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
             self.cert + ".key", "-out", self.cert, "-subj", f"/CN={name}",
             "-addext", f"subjectAltName=DNS:{name}", "-days", str(days)],
            check=True, capture_output=True, cwd="/")
        os.chmod(self.cert, 0o644)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.cert + ".key")
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://localhost:{self.socket.getsockname()[1]}/mcp"
        self.thread = threading.Thread(target=self.serve, args=(context,),
                                       daemon=True)
        self.thread.start()

    def serve(self, context):
        while True:
            try:
                c, _ = self.socket.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), \
                    context.wrap_socket(c, server_side=True) as t:
                t.settimeout(5)
                t.recv(1)

    def stop(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)


def test_doctor_looks_at_certificates(env, it):
    if shutil.which("openssl") is None:
        raise Skip("there is no openssl")
    where = env.make_dir("tls", mode=0o755)
    servers = {"good": Tls(where, "localhost", 90),
               "soon": Tls(where, "localhost", 5),
               "other": Tls(where, "elsewhere", 90)}
    g = env.gateway({"mcps": [http_server(n, s.url)
                              for n, s in servers.items()] +
                     [http_server("plain", it.up.url.replace("http", "https"))]
                     }, start=False)
    try:
        finding(g, 1, "server good", "FAIL", "self-signed")
        trusted = os.path.join(where, "trusted.pem")
        with open(trusted, "w", encoding="ascii") as out:
            for s in servers.values():
                with open(s.cert, encoding="ascii") as f:
                    out.write(f.read())
        os.chmod(trusted, 0o644)
        done = subprocess.run(
            [env.omni2ctl, "-c", g.conf, "-o", "json", "doctor"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, cwd="/", **env.as_user(),
            env=env.clean_environment(SSL_CERT_FILE=trusted))
        same(done.returncode, 1, f"{done}")
        found = {f["check"]: (f["state"], f["text"])
                 for f in json.loads(done.stdout)["findings"]}
        same(found["server good"][0], "ok", f"{found}")
        for name, state, text in (("soon", "warn", "ends in 4 days"),
                                  ("other", "FAIL", "mismatch"),
                                  ("plain", "FAIL", "speak TLS")):
            got = found[f"server {name}"]
            check(got[0] == state and text in got[1], f"{name}: {got}")
    finally:
        for s in servers.values():
            s.stop()


# backup and restore

def make_round(env, it):
    """A gateway with users, records, an included file and a secret file."""
    g = env.gateway(start=False)
    for name, text in (("more.yaml", "users:\n  - email: y@example.org\n"
                        "    role: dba\n"), ("secret", "0123456789" * 4)):
        path = os.path.join(g.dir, name)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        os.chmod(path, 0o640)
        if env.is_root:
            os.chown(path, env.uid, env.gid)
    g.config["include"] = "more.yaml"
    g.config["auth"] = {"token_secret_file": "secret"}
    g.write_config()
    g.start()
    g.server("search", it.up.url)
    g.user("ann@example.org", "developer", "--allow", "search")
    wait_for(lambda: "search__echo" in g.ctl("tool", "list"), 10, "discovery")
    c = g.client("ann@example.org").initialize()
    for _ in range(20):
        check(c.request("tools/call", {"name": "search__echo", "arguments": {
            "message": "x"}}).is_ok, "a call")
    g.wait_rows(20, "method = 'tools/call'")
    return g


def files_of(path):
    with tarfile.open(path) as t:
        return {m.name.rstrip("/"): m for m in t.getmembers()}


def test_backup(env, it):
    it.round = g = make_round(env, it)
    it.file = os.path.join(env.make_dir("backups"), "b.tar.gz")
    made = json.loads(g.ctl("-o", "json", "backup", it.file))
    same(made["bytes"], os.stat(it.file).st_size, "size")
    same(os.stat(it.file).st_mode & 0o777, 0o600, "mode")
    names = files_of(it.file)
    for name in ("manifest.json", "database.dump", "etc/omni2.yaml",
                 "etc/more.yaml", "etc/secret", "state/journal/id",
                 "state/journal/0000000001.journal"):
        check(name in names, lambda: f"{name} is not in {sorted(names)}")
    same([n for n in os.listdir(g.state_dir) if n.startswith(".")], [],
         "left over in state_dir")
    same(os.listdir(os.path.dirname(it.file)), ["b.tar.gz"], "left over")
    g.ctl("backup", it.file)            # again, over the old one
    check(g.ctl_run("backup", "/nowhere/x").returncode in (1, 4), "no place")
    check(g.ctl_run("backup", g.dir).returncode == 2, "a directory")
    check(g.ctl_run("backup").returncode == 2, "no name")
    check(g.ctl_run("backup", "").returncode == 2, "an empty name")
    done = subprocess.run(
        [env.omni2ctl, "-c", g.conf, "backup", "b.tar.gz"], check=False,
        capture_output=True, text=True, cwd=os.path.dirname(it.file),
        env=env.clean_environment(), **env.as_user())
    same(done.returncode, 0, f"a relative name: {done.stderr}")
    check("database.dump" in files_of(it.file), "a relative name")


def code(g, want, text, *args):
    done = g.ctl_run(*args)
    same(done.returncode, want, f"{args}: {done.stdout}{done.stderr}\nexit code")
    check(text in done.stderr, lambda: f"{text!r} is not in {done.stderr}")


def test_restore_refuses(env, it):
    g, file = it.round, it.file
    code(g, 6, "is running", "restore", file)
    g.stop()
    code(g, 6, "--force replaces them", "restore", file)
    g.config["log"]["level"] = "debug"
    g.write_config()
    code(g, 6, "--keep-config", "restore", file)
    code(g, 6, "the database has tables", "restore", file, "--keep-config")
    rows = g.row_count()
    newer = rewritten(file, env, "newer", manifest=lambda m: dict(
        m, schema=9999))
    code(g, 6, "newer omni2", "restore", newer, "--force")
    other = rewritten(file, env, "format", manifest=lambda m: dict(
        m, format=2))
    code(g, 6, "newer omni2", "restore", other, "--force")
    same(g.row_count(), rows, "rows")
    for name, content in (("empty", b""), ("text", b"no archive"),
                          ("zero", b"\0" * 4096)):
        path = os.path.join(env.dir, "backups", name)
        with open(path, "wb") as f:
            f.write(content)
        code(g, 1, path, "restore", path, "--force")
    with open(file, "rb") as f:
        half = f.read()
    path = os.path.join(env.dir, "backups", "half")
    with open(path, "wb") as f:
        f.write(half[:len(half) // 2])
    code(g, 1, path, "restore", path, "--force")
    code(g, 1, "/nowhere", "restore", "/nowhere")
    same(g.row_count(), rows, "rows")


def rewritten(file, env, name, manifest=None, dump=None, extra=None):
    """The archive with something else in it."""
    path = os.path.join(env.dir, "backups", name)
    with tarfile.open(file) as old, tarfile.open(path, "w:gz") as new:
        for m in old.getmembers():
            data = old.extractfile(m).read() if m.isfile() else None
            if m.name == "manifest.json" and manifest:
                data = json.dumps(manifest(json.loads(data))).encode()
            if m.name == "database.dump" and dump:
                data = dump(data)
            if data is not None:
                m.size = len(data)
            m.sparse = None
            new.addfile(m, io.BytesIO(data) if data is not None else None)
        if extra:
            new.addfile(*extra)
    if env.is_root:
        os.chown(path, env.uid, env.gid)
    return path


def test_hostile_archives(env, it):
    """Nothing outside of the places of a backup is written."""
    g = it.round
    link = tarfile.TarInfo("etc/link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    path = rewritten(it.file, env, "link", extra=(link,))
    code(g, 1, "no file", "restore", path, "--force")
    up = tarfile.TarInfo("etc/../../../evil")
    up.size = 1
    path = rewritten(it.file, env, "up", extra=(up, io.BytesIO(b"x")))
    g.ctl_run("restore", path, "--force")
    check(not os.path.exists("/evil") and not os.path.exists("/tmp/evil"),
          "a member got out")
    path = rewritten(it.file, env, "main", manifest=lambda m: dict(
        m, main="../omni2.yaml"))
    code(g, 1, "damaged", "restore", path, "--force")


def test_failed_restore_changes_nothing(env, it):
    g = it.round
    g.ctl("user", "add", "late@example.org", "--role", "dba")
    path = rewritten(it.file, env, "broken",
                     dump=lambda d: d[:len(d) * 2 // 3])
    code(g, 1, "the database is as it was", "restore", path, "--force")
    check("late@example.org" in g.ctl("user", "list"), "the late user")
    same(env.pg.query("SELECT nspname FROM pg_namespace WHERE nspname "
                      "LIKE 'omni2%'", g.database), [["omni2"]], "schemas")
    # killed in the middle: the next one begins by putting back
    env.pg.query("ALTER SCHEMA omni2 RENAME TO omni2_before_restore",
                 g.database)
    code(g, 6, "", "restore", it.file, "--keep-config")
    check("late@example.org" in g.ctl("user", "list"), "the late user")


def test_round_trip(env, it):
    g = it.round
    g.ctl("restore", it.file, "--force")
    check("late@example.org" not in g.ctl("user", "list"), "the late user")
    it_works_again(g)
    # a machine that has nothing
    g.stop()
    env.pg.query(f"DROP DATABASE {g.database}")
    env.pg.query(f"CREATE DATABASE {g.database}")
    shutil.rmtree(g.state_dir)
    for name in os.listdir(g.dir):
        if name.startswith(("omni2.yaml", "more.yaml", "secret")):
            os.unlink(os.path.join(g.dir, name))
    g.ctl("restore", it.file)
    same(os.stat(g.conf).st_mode & 0o777, 0o640, "mode of the file")
    same(os.stat(os.path.join(g.dir, "secret")).st_mode & 0o777, 0o640,
         "mode of the secret")
    it_works_again(g)
    g.stop()


def it_works_again(g):
    """Same users, same keys, same records; new ones go on behind them."""
    g.start()
    users = [u["email"] for u in g.ctl_json("user", "list")]
    same(sorted(users), ["ann@example.org", "y@example.org"], "users")
    wait_for(lambda: "search__echo" in g.ctl("tool", "list"), 10, "discovery")
    same(g.row_count("method = 'tools/call'"), 20, "records")
    c = g.client("ann@example.org").initialize()
    check(c.request("tools/call", {"name": "search__echo", "arguments": {
        "message": "x"}}).is_ok, "a call with the key of before")
    g.wait_rows(21, "method = 'tools/call'")
    g.ctl("audit", "verify")
    seqs = [int(r[0]) for r in g.rows(columns="seq")]
    same(seqs, list(range(1, len(seqs) + 1)), "numbers of the records")
    g.stop()


def test_backup_under_load(env, it):
    """Records that were shipped, written and removed meanwhile: all of them
    are in the table or in the journal of the backup, and none twice."""
    g = env.gateway()
    g.server("search", it.up.url)
    g.user("ann@example.org", "dba", "--allow-all", "--limit", "0")
    wait_for(lambda: "search__echo" in g.ctl("tool", "list"), 10, "discovery")
    c = g.client("ann@example.org").initialize()
    file = os.path.join(env.dir, "backups", "load.tar.gz")
    backup = subprocess.Popen(
        [env.omni2ctl, "-c", g.conf, "backup", file], cwd="/",
        stdout=subprocess.DEVNULL, env=env.clean_environment(),
        **env.as_user())
    before = 0
    while backup.poll() is None:
        check(c.request("tools/call", {"name": "search__echo", "arguments": {
            "message": "x"}}).is_ok, "a call")
        before += 1
    same(backup.returncode, 0, "exit code of backup")
    g.stop()
    h = env.gateway(start=False, database=False)
    env.pg.query(f"CREATE DATABASE {h.database}")
    h.ctl("restore", file, "--keep-config")
    h.start()
    h.ctl("audit", "verify")
    wait_for(lambda: h.row_count() > 0, 20, "records")
    h.stop()
    seqs = [int(r[0]) for r in h.rows(columns="seq")]
    same(seqs, list(range(1, len(seqs) + 1)), "numbers of the records")
    same(h.row_count("method = 'tools/call'") <= before, True, "records")


def test_interrupted_backup_leaves_nothing(env, it):
    g = it.g
    g.start()
    where = env.make_dir("interrupted")
    # pg_dump waits for the lock that this transaction has
    hold = subprocess.Popen(
        ["psql", "-XqAt", "-d", env.pg.url(g.database), "-c",
         "BEGIN; LOCK TABLE omni2.users IN ACCESS EXCLUSIVE MODE; "
         "SELECT 'locked'; SELECT pg_sleep(60)"], cwd="/",
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, **env.as_user())
    try:
        wait_for(lambda: int(env.pg.scalar(
            "SELECT count(*) FROM pg_locks WHERE "
            "mode = 'AccessExclusiveLock' AND granted AND "
            "relation = 'omni2.users'::regclass", g.database)) > 0, 10,
            "the lock")
        backup = subprocess.Popen(
            [env.omni2ctl, "-c", g.conf, "backup", f"{where}/b"], cwd="/",
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            env=env.clean_environment(), **env.as_user())
        wait_for(lambda: int(env.pg.scalar(
            "SELECT count(*) FROM pg_locks WHERE NOT granted",
            g.database)) > 0, 10, "pg_dump waits")
        backup.terminate()
        same(backup.wait(20), 1, "exit code")
    finally:
        env.pg.query("SELECT pg_terminate_backend(pid) FROM "
                     "pg_stat_activity WHERE query LIKE '%pg_sleep%' AND "
                     "pid <> pg_backend_pid()")
        hold.wait()
    same(os.listdir(where), [], "left over")
    same([n for n in os.listdir(g.state_dir) if n.startswith(".")], [],
         "left over in state_dir")
    g.stop()


# terminals

class Terminal:
    """A command with a terminal of some width."""

    def __init__(self, env, columns, args, **variables):
        try:
            pid, self.fd = pty.fork()
        except OSError as e:
            raise Skip(f"no pseudo terminal: {e}") from e
        if pid == 0:
            try:
                if env.is_root:
                    os.setgroups([])
                    os.setgid(env.gid)
                    os.setuid(env.uid)
                os.chdir("/")
                # not before the size is set
                select.select([0], [], [])
                os.read(0, 1)
                os.execve(args[0], args, env.clean_environment(
                    TERM="xterm", **variables))
            finally:
                os._exit(127)
        self.pid = pid
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ,
                    struct.pack("HHHH", 25, columns, 0, 0))
        attributes = termios.tcgetattr(self.fd)
        attributes[3] &= ~termios.ECHO
        termios.tcsetattr(self.fd, termios.TCSANOW, attributes)
        os.write(self.fd, b"\n")

    def read(self, until=None, seconds=15):
        out, end = b"", time.monotonic() + seconds
        while time.monotonic() < end:
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                more = os.read(self.fd, 65536)
            except OSError:
                break
            if not more:
                break
            out += more
            if until and until(out):
                break
        return out.decode()

    def end(self):
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def on_terminal(g, columns, *args, **variables):
    t = Terminal(g.env, columns, [g.env.omni2ctl, "-c", g.conf, *args],
                 **variables)
    try:
        return t.read()
    finally:
        t.end()


def shown(text):
    """Lines without colours."""
    return [re.sub(r"\x1b\[[0-9;]*[mKHJ]", "", s).rstrip("\r")
            for s in text.split("\n")]


def test_tables_fit_the_terminal(env, it):
    g = it.g
    long_name = "A name that is a good deal longer than a narrow terminal is"
    g.start()
    g.ctl("user", "add", "long@example.org", "--role", "dba", "--name",
          long_name)
    for columns in (40, 60, 80, 132):
        text = on_terminal(g, columns, "user", "list")
        lines = [s for s in shown(text) if s]
        widest = max(map(len, lines))
        if columns >= 60:
            check(widest <= columns, f"{widest} > {columns}: {text}")
        check(("\u2026" in text) == (widest < len(long_name) + 60), text)
    check(long_name in g.ctl("user", "list"), "not cut in a pipe")
    check(long_name in on_terminal(g, 40, "user", "show", "long@example.org"),
          "a record is whole")


def test_colours_only_on_a_terminal(_env, it):
    g = it.g
    check("\x1b[32mup\x1b[0m" in on_terminal(g, 80, "status"), "no colour")
    check("\x1b[" not in on_terminal(g, 80, "status", NO_COLOR="1"),
          "NO_COLOR")
    check("\x1b[" in on_terminal(g, 80, "status", NO_COLOR=""), "empty")
    check("\x1b" not in g.ctl("status"), "colour in a pipe")
    check("\x1b[32m" in on_terminal(g, 80, "doctor"), "doctor")


def test_progress(_env, it):
    """Only on a terminal, and only for what takes longer than a second."""
    g = it.g
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        url = f"http://127.0.0.1:{s.getsockname()[1]}/mcp"
        g.server("silent", url, None, "--timeout", "3")
        text = on_terminal(g, 80, "server", "test", "silent")
        check("connecting to silent ... 1 s" in text and
              "connecting to silent ... 2 s" in text, repr(text))
        done = g.ctl_run("server", "test", "silent")
        check("connecting to" not in done.stderr.replace("omni2ctl: ", "")
              or "..." not in done.stderr, done.stderr)
    g.ctl("server", "remove", "silent")
    check("..." not in on_terminal(g, 80, "db", "migrate"), "quick")


def test_watch(env, it):
    g = it.g
    t = Terminal(env, 100, [env.omni2ctl, "-c", g.conf, "status", "--watch",
                            "200ms"])
    try:
        text = t.read(until=lambda b: b.count(b"uptime_seconds") >= 3)
    finally:
        t.end()
    check(text.count("\x1b[H\x1b[J") >= 3, repr(text[:300]))
    for output, split in (("json", "\n"), ("yaml", "---\n")):
        p = subprocess.Popen(
            [env.omni2ctl, "-c", g.conf, "-o", output, "user", "list",
             "--watch=200ms"], stdout=subprocess.PIPE, text=True, cwd="/",
            env=env.clean_environment(), **env.as_user())
        try:
            got = ""
            while got.count("long@example.org") < 2 or got[-1] != "\n":
                got += p.stdout.readline()
        finally:
            p.kill()
            p.wait()
        check(split in got, repr(got))
        if output == "json":
            for line in got.splitlines()[:2]:
                check(isinstance(json.loads(line), list), line)
    for args in (("status", "--watch", "x"), ("status", "--watch=x"),
                 ("user", "show", "a@b", "--watch")):
        same(g.ctl_run(*args).returncode, 2, f"{args}")
    same(g.ctl_run("-c", "/nowhere", "user", "list", "--watch").returncode,
         7, "a script is told")


def test_yaml(env, it):
    """What is YAML says what is JSON."""
    try:
        import yaml
        load = yaml.safe_load
    except ImportError:
        load = None
    g = it.g
    for args in (("status",), ("user", "list"), ("server", "list"),
                 ("tool", "list"), ("key", "list"), ("audit", "tail"),
                 ("shm", "dump"), ("db", "status"), ("check",), ("doctor",),
                 ("user", "show", "long@example.org"), ("reload",)):
        done = g.ctl_run(*args, output="yaml")
        same(done.returncode, 0, f"{args}: {done.stderr}")
        check(done.stdout and "{\"" not in done.stdout.replace(
            "\"{", ""), done.stdout)
        if load and args[0] not in ("status", "audit", "shm", "doctor"):
            same(load(done.stdout), g.ctl_json(*args), f"{args}")
    text = g.ctl_run("user", "list", output="yaml").stdout
    check("- email: long@example.org\n  name: A name that" in text, text)
    same(g.ctl_run("user", "list", "-o", "yaml").stdout, text, "-o behind")


# The manual

def test_examples_of_pages(env, it):
    """Every example of the pages of these commands."""
    drop_database(it)
    p = it.place()
    p.write(p.base())
    where = env.make_dir("examples", mode=0o777)
    n = 0
    for name in ("setup", "doctor", "backup"):
        with open(os.path.join(SOURCE, "man", f"omni2ctl-{name}.1"),
                  encoding="ascii") as f:
            lines = re.findall(r"^\.Dl (omni2ctl .*)$", f.read(), re.M)
        check(lines, f"omni2ctl-{name}.1 has no examples")
        for line in lines:
            line = line.replace("\\-", "-").replace("\\&", "").replace(
                "/var/backups/omni2", where)
            p.ctl(*line.split()[1:])
            n += 1
            if "restore" in line:
                p.ctl("doctor")
    print(f"   | {n} examples")
