"""What keeps omni2d from starting, or from using its database: one line that
names it and the way out, in the terminal and, by sd_notify, in `systemctl
status`, and exit statuses that can be told apart and stand in omni2d(8)."""
import contextlib
import os
import re
import shutil
import socket
import subprocess

from harness import SOURCE, Skip, check, same, wait_for


class Notified:
    """The socket that systemd would listen on."""

    def __init__(self, env, name):
        self.path = os.path.join(env.make_dir("notify", mode=0o755), name)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.socket.setblocking(False)
        self.lines = []

    def take(self):
        """All lines so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self.lines += self.socket.recv(65536).decode().split("\n")
        return self.lines

    def status(self):
        """What `systemctl status` would show when nothing is being loaded."""
        return ([""] + [s[7:] for s in self.take()
                        if s.startswith("STATUS=") and "Loading" not in s])[-1]


def run(env, g, notified, prefix=()):
    as_user = {} if prefix else env.as_user()
    return subprocess.run(
        [*prefix, env.omni2d, "-c", g.conf], stdin=subprocess.DEVNULL,
        cwd="/", capture_output=True, text=True, timeout=60, check=False,
        env=env.clean_environment(NOTIFY_SOCKET=notified.path), **as_user)


def documented(status):
    with open(os.path.join(SOURCE, "man", "omni2d.8"), encoding="utf-8") as f:
        page = f.read().split(".Sh EXIT STATUS")[1].split(".Sh ")[0]
    return f"\n.It {status}\n" in page


# How each is brought about: (gateway, a context that may be entered, prefix)

@contextlib.contextmanager
def wrong_key(_env, g):
    g.config["limits"] = {"rate_windw": "5s"}
    g.write_config()
    yield ()


@contextlib.contextmanager
def missing_file(_env, g):
    os.unlink(g.conf)
    yield ()


@contextlib.contextmanager
def busy_port(_env, g):
    with socket.socket() as s:
        s.bind(("127.0.0.1", g.port))
        s.listen()
        yield ()


@contextlib.contextmanager
def unreadable_key(env, g):
    path = os.path.join(g.dir, "unreadable")
    with open(path, "w", encoding="ascii") as f:
        f.write("0123456789" * 4 + "\n")
    os.chmod(path, 0)
    if not env.is_root and os.access(path, os.R_OK):
        raise Skip("everything can be read")
    g.config["auth"] = {"token_secret_file": path}
    g.write_config()
    yield ()


@contextlib.contextmanager
def closed_directory(env, g):
    if not env.is_root:
        raise Skip("needs root, to take the directory away")
    os.chown(g.run_dir, 0, 0)
    os.chmod(g.run_dir, 0o755)
    yield ()


@contextlib.contextmanager
def newer_tables(env, g):
    env.pg.query("INSERT INTO omni2.schema_migrations (version, name) "
                 "VALUES (9999, 'later')", g.database)
    yield ()


@contextlib.contextmanager
def full_disk(env, g):
    if not env.is_root or subprocess.run(
            ["unshare", "-m", "true"], check=False,
            stderr=subprocess.DEVNULL).returncode:
        raise Skip("a mount namespace is needed")
    del g.config["auth"]            # it makes a secret of its own
    g.write_config()
    yield ("unshare", "-m", "sh", "-c",
           'mount -t tmpfs -o size=64k,mode=1777 none "$1" && '
           '{ dd if=/dev/zero of="$1/x" bs=4k 2>/dev/null; shift; '
           'exec setpriv --reuid "$1" --regid "$2" --clear-groups "$3" "$4" '
           '"$5"; }', "sh", g.state_dir, str(env.uid), str(env.gid))


@contextlib.contextmanager
def running_already(env, g):
    other = env.gateway({"server": {"run_dir": g.run_dir}}, database=False,
                        start=False)
    other.config["database"] = g.config["database"]
    other.write_config()
    other.start()
    try:
        yield ()
    finally:
        other.stop()


# name: (how, exit status, words of the line, the way out)
NOT_STARTED = {
    "wrong key": (wrong_key, 78, ("limits.rate_windw",), "did you mean"),
    "missing file": (missing_file, 78, ("omni2.yaml", "No such file"), ""),
    "busy port": (busy_port, 71, ("port ", "already in use"), "ss -ltnp"),
    "unreadable key": (unreadable_key, 77, ("auth.token_secret_file", "denied"),
                       "let the user of omni2d read it"),
    "closed directory": (closed_directory, 77, ("omni2d.pid", "denied"),
                         "let the user of omni2d use it"),
    "newer tables": (newer_tables, 76, ("of a newer omni2",), "nstall"),
    "full disk": (full_disk, 74, ("token_secret", "No space left"),
                  "make room there"),
    "running already": (running_already, 78, ("omni2d.pid",),
                        "is running already"),
}


def test_not_started(env):
    skipped = []
    for name, (how, status, words, way_out) in NOT_STARTED.items():
        g = env.gateway({}, start=False)
        notified = Notified(env, name.replace(" ", "-"))
        try:
            with how(env, g) as prefix:
                done = run(env, g, notified, prefix)
        except Skip as e:
            skipped.append(f"{name}: {e}")
            continue
        said = f"{name}: {done.returncode} {done.stderr} {notified.take()}"
        same(done.returncode, status, said)
        check(documented(status), f"{said}: {status} is not in omni2d.8")
        for what, lines in (("terminal", done.stderr.splitlines()),
                            ("status", [notified.status()])):
            check(any(all(w in s for w in (*words, way_out)) for s in lines),
                  f"{said}: {what}")
        check(notified.status().startswith("Not started: "), said)
        check("READY=1" not in notified.lines, said)
    if skipped:
        raise Skip("; ".join(skipped))


def test_checking_tells_nobody(env):
    """-t is no start."""
    g = env.gateway({"limits": {"rate_windw": 1}}, start=False, database=False)
    notified = Notified(env, "check")
    done = subprocess.run(
        [env.omni2d, "-t", "-c", g.conf], stdin=subprocess.DEVNULL,
        capture_output=True, check=False, cwd="/", **env.as_user(),
        env=env.clean_environment(NOTIFY_SOCKET=notified.path))
    same((done.returncode, notified.take()), (78, []), "-t")


# The database may come later: omni2d runs, is not ready, and says why.

def wrong_password(env, g):
    with contextlib.suppress(AssertionError):
        env.pg.query("CREATE ROLE mallory LOGIN PASSWORD 'right'")
    hba = os.path.join(env.pg.dir, "data", "pg_hba.conf")
    with open(hba, encoding="utf-8") as f:
        rules = f.read()
    with open(hba, "w", encoding="utf-8") as f:
        f.write("local all mallory scram-sha-256\n" + rules)
    env.pg.query("SELECT pg_reload_conf()")
    g.config["database"]["url"] = (
        f"host={env.pg.dir} dbname={g.database} user=mallory password=wrong")


def no_such_database(_env, g):
    g.config["database"]["url"] += "_nowhere"


def away(_env, g):
    g.config["database"]["url"] = "host=/nowhere dbname=x"


def older_tables(env, g):
    """As an omni2 of before made them."""
    sql = env.make_dir("sql", mode=0o755)
    for name in ("0001_schema.sql", "0002_audit.sql"):
        shutil.copy(os.path.join(SOURCE, "sql", name), sql)
    no_tables(env, g)
    done = subprocess.run(
        [env.omni2ctl, "-c", g.conf, "db", "init"], capture_output=True,
        text=True, check=False, cwd="/", **env.as_user(),
        env=env.clean_environment(OMNI2_SQL_DIR=sql))
    same(done.returncode, 0, f"{done}")


def no_tables(env, g):
    env.pg.query("DROP SCHEMA omni2 CASCADE", g.database)


NOT_READY = {
    "wrong password": (wrong_password, ("mallory",),
                       "correct the user and password of database.url"),
    "no such database": (no_such_database, ("_nowhere",),
                         "correct database.url"),
    "away": (away, ("/nowhere",), "does PostgreSQL run there?"),
    "older tables": (older_tables, ("tables are of version",), "omni2ctl db migrate"),
    "no tables": (no_tables, ("no tables",), "omni2ctl"),
}


def test_not_ready(env):
    for name, (how, words, way_out) in NOT_READY.items():
        g = env.gateway({}, start=False)
        how(env, g)
        g.write_config()
        notified = Notified(env, name.replace(" ", "-"))
        g.start(ready=False, NOTIFY_SOCKET=notified.path)
        wait_for(lambda n=notified: "READY=1" in n.take(), 15, name)
        said = f"{name}: {notified.lines} {g.log_tail()}"
        check(re.match(r"Running with configuration \d+; ", notified.status()),
              said)
        for text in (g.log_text(), notified.status()):
            check(any(all(w in s for w in (*words, way_out))
                      for s in text.splitlines()), f"{said}: {text}")
        same(g.health("/health/ready"), 503, said)
        if name == "older tables":
            g.ctl("db", "migrate")
            wait_for(lambda n=notified: re.fullmatch(
                r"Running with configuration \d+", n.status()), 10,
                "a status without complaint")
            g.wait_ready()
        check("wrong" not in g.log_text().split("password=")[-1] or
              name != "wrong password", "the password is in the log")
        g.stop()
