"""omni2ctl as the manual says: exit codes, help, and every example."""
import json
import os
import re
import shlex
import socket
import subprocess

from harness import SOURCE, Skip, check, same, wait_for
from servers import http_server

PAGES = ("db.1", "server.1", "user.1", "key.1", "tool.1", "policy.1",
         "audit.1", "shm.1")
DOCUMENTS = ("quickstart.md", "production.md", "adding-a-server.md",
             "monitoring.md", "troubleshooting.md", "upgrading.md")


class Setting:
    def __init__(self, env):
        self.up = env.c_upstream()
        self.g = env.gateway()


def setup(env):
    return Setting(env)


def read(*names):
    with open(os.path.join(SOURCE, *names), encoding="utf-8") as f:
        return f.read()


def commands():
    """(name, synopsis, help) of every command."""
    return re.findall(r'^CMD\("([^"]*)", "([^"]*)", "([^"]*)"',
                      read("src", "ctl", "commands.def"), re.M)


def code(g, want, *args, output=None):
    done = g.ctl_run(*args, output=output)
    same(done.returncode, want, f"omni2ctl {' '.join(map(str, args))}: "
         f"{done.stdout}{done.stderr}\nexit code")
    if want:
        check(done.stderr.startswith(("omni2ctl: ", "usage: ", "/")) or
              done.stdout, f"omni2ctl {args} failed without a word")
    return done


# Exit codes, each as in omni2ctl(1) and omni2d(8)

def test_code_2_usage(_env, it):
    for args in ((), ("nonsense",), ("user",), ("user", "nonsense"),
                 ("user", "add"), ("user", "add", "a@example.org"),
                 ("user", "add", "a b", "--role", "dba"),
                 ("user", "add", "a@example.org", "--role", "dba",
                  "--limit", "many"),
                 ("user", "show"), ("user", "show", "a@b", "c@d"),
                 ("key", "revoke", "x"), ("key", "create"),
                 ("key", "create", "a@b", "--expires", "soon"),
                 ("key", "create", "a@b", "--expires", "0"),
                 ("token", "a@b", "--lifetime", "0s"),
                 ("user", "set", "a@b"),
                 ("server", "add", "x"), ("server", "add", "x", "--url"),
                 ("server", "add", "x", "--url", "ftp://127.0.0.1/"),
                 ("server", "add", "a__b", "--url", "http://127.0.0.1/"),
                 ("server", "add", "x", "--env", "novalue", "--command", "y"),
                 ("server", "add", "x", "--env", "=y", "--command", "y"),
                 ("server", "add", "x", "--env", "A=b", "--url", it.up.url),
                 ("server", "add", "x", "--header", "A: b", "--command", "y"),
                 ("server", "add", "x", "--header", ": b", "--url", it.up.url),
                 ("server", "add", "x", "--header", "a b: c", "--url",
                  it.up.url),
                 ("server", "add", "x", "--header", "host: b", "--url",
                  it.up.url),
                 ("policy", "test"), ("status", "--nonsense"),
                 ("top", "--once=1"), ("status", "-o", "xml"),
                 ("audit", "search", "--decision", "maybe"),
                 ("audit", "tail", "-n", "0"), ("help", "nonsense"),
                 ("-x", "status"), ("-c",), ("-o", "xml", "status")):
        code(it.g, 2, *args)


def test_code_0_and_6(_env, it):
    g = it.g
    code(g, 0, "server", "add", "there", "--url", it.up.url)
    code(g, 6, "server", "add", "there", "--url", it.up.url)
    code(g, 0, "user", "add", "there@example.org", "--role=dba")
    code(g, 6, "user", "add", "THERE@example.org", "--role", "dba")
    g.config["users"] = [{"email": "file@example.org", "role": "dba"}]
    g.config["mcps"] = [http_server("filed", it.up.url)]
    g.write_config()
    code(g, 0, "reload")
    code(g, 6, "user", "set", "file@example.org", "--limit", "3")
    code(g, 6, "server", "remove", "filed")
    code(g, 0, "user", "disable", "file@example.org")
    same(g.ctl_json("user", "show", "file@example.org")["active"], False,
         "active")
    code(g, 0, "user", "enable", "file@example.org")


def test_code_3_not_found(_env, it):
    for args in (("user", "show", "nobody@example.org"),
                 ("user", "set", "nobody@example.org", "--limit", "1"),
                 ("user", "disable", "nobody@example.org"),
                 ("user", "add", "x@example.org", "--role", "drummer"),
                 ("user", "add", "x@example.org", "--role", "dba",
                  "--allow", "nosuch"),
                 ("key", "create", "nobody@example.org"),
                 ("key", "revoke", "999999"), ("token", "nobody@example.org"),
                 ("key", "list", "nobody@example.org"),
                 ("server", "show", "nosuch"), ("server", "test", "nosuch"),
                 ("server", "remove", "nosuch"),
                 ("tool", "list", "--server", "nosuch"),
                 ("tool", "list", "--user", "nobody@example.org"),
                 ("policy", "test", "--user", "nobody@example.org"),
                 ("policy", "test", "--user", "there@example.org",
                  "--server", "nosuch")):
        code(it.g, 3, *args)


def test_code_4_denied(env, it):
    g = it.g
    g.ctl("user", "add", "four@example.org", "--role", "dba",
          "--allow", "there:get_*")
    test = ("policy", "test", "--user", "Four@example.org", "--server", "there")
    code(g, 0, *test, "--tool", "get_it")
    done = code(g, 4, *test, "--tool", "echo")
    check("deny" in done.stdout and "custom" in done.stdout, done.stdout)
    if not env.is_root:
        raise Skip("only root can be somebody else")
    for want, mode in ((4, 0o640), (4, 0o644)):
        os.chmod(g.conf, mode)
        done = subprocess.run(
            [env.omni2ctl, "-c", g.conf, "status"], stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, cwd="/",
            env=env.clean_environment(), user=65534, group=65534,
            extra_groups=[])
        same(done.returncode, want, f"as nobody, mode {mode:o}: {done}")
    os.chmod(g.conf, 0o640)


def test_code_5_unreachable(env, it):
    g = env.gateway({}, start=False)
    for args in (("status",), ("top", "--once"), ("reload",), ("stop",),
                 ("shm", "dump"), ("tool", "list")):
        done = code(g, 5, *args)
        check("omni2d" in done.stderr, done.stderr)
    code(g, 0, "user", "list")
    code(it.g, 0, "server", "add", "dead", "--url", "http://127.0.0.1:9/mcp")
    code(it.g, 5, "server", "test", "dead")
    g.config["database"]["url"] = "host=/nowhere user=omni2 dbname=omni2"
    g.write_config()
    for args in (("user", "list"), ("db", "status"), ("audit", "verify")):
        code(g, 5, *args)
    code(g, 0, "check")             # the database being away is a warning


def test_code_8_other_tables(env, _it):
    """None, older ones; and 6 for newer ones, 3 for no database."""
    g = env.gateway({}, database=False, start=False)
    code(g, 3, "db", "status")
    done = code(g, 3, "user", "list")
    check("make that database" in done.stderr, done.stderr)
    env.pg.query(f"CREATE DATABASE {g.database}")
    code(g, 8, "db", "status")
    done = code(g, 8, "user", "list")
    check("omni2ctl db init" in done.stderr, done.stderr)
    code(g, 0, "db", "init")
    code(g, 0, "db", "status")
    env.pg.query("CREATE TABLE kept AS TABLE omni2.schema_migrations; "
                 "DELETE FROM omni2.schema_migrations WHERE version > 2",
                 g.database)
    code(g, 8, "db", "status")
    for args in (("user", "list"), ("server", "list")):
        done = code(g, 8, *args)
        check("omni2ctl db migrate" in done.stderr, done.stderr)
    # what it would make is there: said, and not that it should be tried
    done = code(g, 1, "db", "migrate")
    check("0003_" in done.stderr and "already exists" in done.stderr,
          done.stderr)
    done = code(g, 1, "doctor")
    check("FAIL  tables" in done.stdout, done.stdout)
    env.pg.query("INSERT INTO omni2.schema_migrations SELECT * FROM kept "
                 "WHERE version > 2; INSERT INTO omni2.schema_migrations "
                 "(version, name) VALUES (99, 'later')", g.database)
    for args in (("user", "list"), ("db", "status"), ("db", "migrate"),
                 ("setup", "--no-start")):
        done = code(g, 6, *args)
        check("newer omni2" in done.stderr, done.stderr)
    same(daemon(env, g), 76, "exit status of omni2d with newer tables")
    same(daemon(env, g, "-t"), 76, "exit status of omni2d -t")
    env.pg.query("DELETE FROM omni2.schema_migrations WHERE version = 99",
                 g.database)
    code(g, 0, "user", "list")


def test_tables_that_come_later(env, _it):
    """It waits for them, says so once a minute, and goes on by itself."""
    g = env.gateway({}, database=False, start=False)
    env.pg.query(f"CREATE DATABASE {g.database}")
    g.start(ready=False)
    g.wait_log("poller WARNING: database: there are no tables")
    check("omni2ctl db init" in g.log_text(), "the way out")
    status = g.ctl_json("status")["daemon"]
    same(status["ready"], "no: Database unavailable", "ready")
    code(g, 0, "db", "init")
    wait_for(lambda: g.ctl_json("status")["daemon"]["ready"] == "yes", 20,
             "ready")
    same(g.log_text().count("poller WARNING: database: there are no tables"), 1,
         "lines")
    g.stop()


def test_code_4_wrong_user(env, _it):
    """Another one than for a database that is away."""
    g = env.gateway({}, start=False)
    g.config["database"]["url"] = g.config["database"]["url"].replace(
        "user=omni2", "user=nobody_of_that_name")
    g.write_config()
    done = code(g, 4, "user", "list")
    check("database.url" in done.stderr, done.stderr)
    done = code(g, 1, "doctor")
    check("FAIL  database" in done.stdout, done.stdout)


def test_code_7_configuration(env, it):
    g = it.g
    g.write_config(json.dumps(g.config)[:-1] + ', "nonsense": 1}')
    for args in (("check",), ("reload",), ("user", "list")):
        done = code(g, 7, *args)
        check("nonsense" in done.stderr, done.stderr)
    code(g, 0, "status")            # still to be seen how it is
    g.write_config()
    code(g, 0, "reload")
    missing = subprocess.run(
        [env.omni2ctl, "-c", "/nowhere/omni2.yaml", "user", "list"],
        capture_output=True, text=True, check=False, cwd="/")
    same(missing.returncode, 7, "no such file")


def daemon(env, g, *args):
    """Exit status of omni2d, which is not to start."""
    return subprocess.run(
        [env.omni2d, *args, "-c", g.conf], stdin=subprocess.DEVNULL, cwd="/",
        capture_output=True, text=True, timeout=30, check=False,
        env=env.clean_environment(), **env.as_user()).returncode


def test_busy_port(env, _it):
    """Found before the daemon is started, and by whom."""
    g = env.gateway({}, start=False)
    with socket.socket() as s:
        s.bind(("127.0.0.1", g.port))
        s.listen()
        done = code(g, 1, "doctor")
        check("FAIL  listen" in done.stdout and "in use" in done.stdout,
              done.stdout)
        same(daemon(env, g), 71, "exit status of omni2d")
    done = code(g, 0, "doctor")
    check("in use" not in done.stdout, done.stdout)


def test_unreadable_files(env, _it):
    g = env.gateway({}, start=False)
    secret = os.path.join(g.dir, "unreadable")
    with open(secret, "w", encoding="ascii") as f:
        f.write("0123456789" * 4 + "\n")
    os.chmod(secret, 0)
    if os.geteuid() != 0 and os.access(secret, os.R_OK):
        raise Skip("everything can be read")
    g.config["auth"] = {"token_secret_file": secret}
    g.write_config()
    same(daemon(env, g), 77, "exit status of omni2d")
    done = code(g, 4, "check")
    check("let the user of omni2d read it" in done.stderr, done.stderr)


def test_unreadable_directory(env, _it):
    """Not the same as an empty one: its files would silently be missing."""
    g = env.gateway({}, start=False)
    conf_d = env.make_dir("conf.d", mode=0)
    if os.geteuid() != 0 and os.access(conf_d, os.R_OK):
        raise Skip("everything can be read")
    g.config["include"] = [conf_d + "/*.yaml"]
    g.write_config()
    same(daemon(env, g), 77, "exit status of omni2d")
    done = code(g, 4, "check")
    check("let the user of omni2d read it" in done.stderr, done.stderr)
    os.chmod(conf_d, 0o700)
    code(g, 0, "check")             # and one without files is fine
    g.config["include"] = [conf_d + "/nowhere/*.yaml"]
    g.write_config()
    code(g, 0, "check")


def test_full_disk_of_the_output(env, it):
    """A key that nobody got to see must not look like success."""
    key = "key", "create", "there@example.org"
    for args in (("user", "list"), ("-o", "json", "user", "list"),
                 ("-o", "yaml", "user", "list"), key, ("top", "--once"),
                 ("check",), ("--version",)):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run(
                [env.omni2ctl, "-c", it.g.conf, *args], stdout=full,
                stderr=subprocess.PIPE, text=True, check=False, cwd="/",
                timeout=30, env=env.clean_environment(), **env.as_user())
        same(done.returncode, 9, f"{args}: {done}")
        check("standard output: No space" in done.stderr, done.stderr)


def test_full_disk(env, it):
    if not env.is_root or subprocess.run(
            ["unshare", "-m", "true"], check=False,
            stderr=subprocess.DEVNULL).returncode:
        raise Skip("a mount namespace is needed")
    full = env.make_dir("full", mode=0o755)
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c",
         'mount -t tmpfs -o size=64k,mode=1777 none "$1" && '
         '{ dd if=/dev/zero of="$1/x" bs=4k 2>/dev/null; '
         'exec "$2" -c "$3" backup "$1/b"; }', "sh", full, env.omni2ctl,
         it.g.conf], capture_output=True, text=True, check=False, cwd="/",
        env=env.clean_environment())
    same(done.returncode, 9, f"{done}")
    check("make room there" in done.stderr, done.stderr)
    g = env.gateway({}, start=False)
    del g.config["auth"]            # it makes a secret of its own
    g.write_config()
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c",
         'mkdir -p "$1" && mount -t tmpfs -o size=64k,mode=1777 none "$1" && '
         '{ dd if=/dev/zero of="$1/x" bs=4k 2>/dev/null; '
         'exec setpriv --reuid "$4" --regid "$5" --clear-groups '
         '"$2" -c "$3"; }', "sh", g.state_dir, env.omni2d, g.conf,
         str(env.uid), str(env.gid)], capture_output=True, text=True,
        check=False, cwd="/", timeout=30, env=env.clean_environment())
    same(done.returncode, 74, f"{done}")
    check("make room there" in done.stderr, done.stderr)


def test_code_1_findings(_env, it):
    """A trail with findings."""
    g = it.g
    g.user("five@example.org", "dba", "--allow-all")
    g.client("five@example.org").initialize()
    wait_for(lambda: g.row_count() > 0, 10, "records")
    code(g, 0, "audit", "verify")
    g.env.pg.query("UPDATE omni2.audit_log SET record = "
                   "replace(record, 'five@', 'mallory@')", g.database)
    done = code(g, 1, "audit", "verify")
    check("altered" in done.stdout, done.stdout)


def test_daemon_codes(env, it):
    def run(*args):
        return subprocess.run(
            [env.omni2d, *args], stdin=subprocess.DEVNULL, cwd="/",
            capture_output=True, text=True, timeout=30, check=False,
            env=env.clean_environment(), **env.as_user()).returncode

    same(run("-t", "-c", it.g.conf), 0, "good")
    same(run("-h"), 0, "-h")
    same(run("-x"), 64, "usage")
    same(run("-t", "something"), 64, "an argument")
    same(run("-t", "-c", "/nowhere/omni2.yaml"), 78, "no such file")
    same(run("-c", it.g.conf), 71, "the address is in use")


# Help

def test_help_at_each_level(_env, it):
    g = it.g
    top = code(g, 0, "--help").stdout
    same(code(g, 0, "help").stdout, top, "help")
    for name, _, text in commands():
        words = name.split()
        check(name in top and text in top, f"{name} is not in --help")
        done = code(g, 0, *words, "--help")
        check(done.stdout.startswith(f"usage: omni2ctl {name}") and
              text in done.stdout, done.stdout)
        same(code(g, 0, "help", *words).stdout, done.stdout, "help")
        too_long = [s for s in done.stdout.splitlines() if len(s) > 80]
        check(not too_long, f"longer than 80 columns: {too_long}")
        if len(words) == 2:
            group = code(g, 0, words[0], "--help").stdout
            check(name in group, group)


def test_options_are_explained(_env, it):
    for name, synopsis, _ in commands():
        text = code(it.g, 0, *name.split(), "--help").stdout
        for option in set(re.findall(r"(?<![\w-])--?[a-z-]+", synopsis)):
            check(re.search(rf"^  {option} ", text, re.M),
                  f"{name} --help does not explain {option}")


def test_json(_env, it):
    g = it.g
    for args in (("user", "list"), ("key", "list"), ("server", "list"),
                 ("tool", "list"), ("audit", "tail"), ("shm", "dump"),
                 ("policy", "test", "--user", "five@example.org"),
                 ("top", "--once")):
        check(isinstance(g.ctl_json(*args), list), f"{args} gives no array")
    status = g.ctl_json("status")
    same(set(status), {"daemon", "servers", "processes"}, "status")
    same(status["daemon"]["pid"], g.pid, "pid")
    for args in (("user", "show", "five@example.org"),
                 ("server", "show", "there"), ("db", "status")):
        check(isinstance(g.ctl_json(*args), dict), f"{args} gives no object")
    same(json.loads(code(g, 0, "reload", "-o", "json").stdout), {"ok": True},
         "-o behind the command")


def test_hostile_text_cannot_steer_a_terminal(_env, it):
    g = it.g
    add = ("user", "add", "esc@example.org", "--role", "dba", "--name")
    done = g.ctl_run(*add, "\x1b[31mred")
    same(done.returncode, 2, "exit code")
    check("name: has a control character" in done.stderr, done.stderr)
    g.ctl(*add, "red")
    g.env.pg.query("UPDATE omni2.users SET name = E'\\x1b[31mred\\r\\n\\u009b' "
                   "WHERE email = 'esc@example.org'", g.database)
    for args in (("user", "list"), ("user", "show", "esc@example.org")):
        text = g.ctl(*args)
        check(not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", text), repr(text))


# Examples

class Examples:
    """Runs lines of pages and documents against a gateway of their own."""

    def __init__(self, env, upstream):
        self.env, self.up = env, upstream
        self.g = env.gateway()
        self.n = 0

    def run(self, line):
        line = line.replace("http://127.0.0.1:8300/mcp", self.up.url).replace(
            "/etc/omni2/omni2.yaml", self.g.conf).replace(
                "/var/backups", self.g.dir)
        words = shlex.split(line, comments=True)
        if words[0] == "omni2ctl":
            words[0:1] = [self.env.omni2ctl, "-c", self.g.conf]
        elif words[0] == "omni2d" and "-t" in words:
            words[0] = self.env.omni2d
        else:
            raise AssertionError(f"not to be run: {line}")
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=30, check=False, cwd="/",
            env=self.env.clean_environment(), **self.env.as_user())
        same(done.returncode, 0, f"{line}: {done.stdout}{done.stderr}\nexit code")
        self.n += 1
        return done.stdout


def unroff(text):
    return re.sub(r"\\([-e&])", lambda m: {"-": "-", "e": "\\"}.get(m[1], ""),
                  text)


def page_examples(page):
    return [unroff(line) for line in
            re.findall(r"^\.Dl (omni2(?:ctl|d) .*)$", page, re.M)]


def test_examples_of_pages(env, it):
    e = Examples(env, it.up)
    for name in PAGES:
        page = read("man", f"omni2ctl-{name}")
        examples = page_examples(page)
        check(examples, f"{name} has no examples")
        for line in examples:
            if "tool list" in line or "policy test" in line:
                wait_for(lambda: "search__echo" in e.g.ctl("tool", "list"), 10,
                         "discovery")
            e.run(line)
    for name in ("omni2ctl.1", "omni2d.8", "omni2-shm.7"):
        for line in page_examples(read("man", name)):
            e.run(line)
    print(f"   | {e.n} examples")


def test_examples_of_documents(env, it):
    for name in DOCUMENTS:
        e = Examples(env, it.up)
        if name != "quickstart.md":     # whose reader has done that one
            e.g.server("search", it.up.url)
            e.g.user("ann@example.org", "developer", "--allow", "search")
        if name == "adding-a-server.md":
            e.g.ctl("server", "remove", "search")
            e.g.ctl("user", "disable", "ann@example.org")
            e.env.pg.query("DELETE FROM omni2.users", e.g.database)
        for block in re.findall(r"^ *```sh\n(.*?)^ *```", read("doc", name),
                                re.M | re.S):
            for line in block.splitlines():
                e.run(line.strip())
        e.g.stop()
        print(f"   | {name}: {e.n} examples")


def test_examples_of_configuration(env, it):
    """Every piece of YAML in pages and documents is accepted."""
    pieces = []
    for name in ("omni2.yaml.5.tail", "omni2-policy.5"):
        for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", read(
                "man", name), re.M | re.S):
            if re.match(r"(database|global|server):\n", block):
                pieces.append((name, unroff(block)))
    for name in sorted(os.listdir(os.path.join(SOURCE, "doc"))):
        if name.endswith(".md"):
            pieces += [(name, block) for block in re.findall(
                r"^```yaml\n(.*?)^```", read("doc", name), re.M | re.S)]
    check(len(pieces) >= 5, f"{len(pieces)} pieces of YAML found")
    path = env.make_dir("examples", mode=0o755)
    for name, text in (("token-secret", "0123456789" * 4 + "\n"),):
        with open(os.path.join(path, name), "w", encoding="ascii") as f:
            f.write(text)
    # the certificate that the documents name
    site = os.path.join(path, "site")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
         "/CN=mcp.example.org", "-keyout", site + ".key", "-out",
         site + ".pem"], check=True, capture_output=True)
    os.chmod(site + ".key", 0o644)
    for name, text in pieces:
        conf = os.path.join(path, "omni2.yaml")
        with open(conf, "w", encoding="utf-8") as f:
            f.write(text.replace("/etc/ssl/mcp.example.org", site))
        done = subprocess.run(
            [env.omni2d, "-t", "-c", conf], stdin=subprocess.DEVNULL, cwd="/",
            capture_output=True, text=True, check=False, **env.as_user(),
            env=env.clean_environment(
                OMNI2_DATABASE_URL="host=/nowhere dbname=omni2"))
        same(done.returncode, 0, f"{name}:\n{text}\n{done.stderr}\nexit code")
        check("no effect" not in done.stderr, f"{name}: {done.stderr}")


def test_policy_page_says_what_is_so(env, it):
    """omni2-policy(5): its configuration, its commands, their output."""
    conf, session = [unroff(b) for b in re.findall(
        r"^\.Bd -literal.*?\n(.*?)^\.Ed", read("man", "omni2-policy.5"),
        re.M | re.S)]
    import_path = os.path.join(env.make_dir("policy", mode=0o755), "page.yaml")
    with open(import_path, "w", encoding="utf-8") as f:
        f.write(conf.replace("http://127.0.0.1:8300/mcp", it.up.url))
    g = env.gateway({"include": [import_path]})
    for block in re.split(r"^\$ ", session, flags=re.M)[1:]:
        line, _, want = block.partition("\n")
        done = g.ctl_run(*shlex.split(line)[1:])
        check(done.returncode in (0, 4), done)
        same(done.stdout, want, line)


def test_mcp_page_says_what_is_so(env, it):
    """The curl examples of omni2-mcp(7) and the documents get a result."""
    e = Examples(env, it.up)
    e.g.server("search", it.up.url)
    key = e.g.user("ann@example.org", "developer", "--allow", "search")
    wait_for(lambda: "search__echo" in e.g.ctl("tool", "list"), 10, "discovery")
    blocks = [unroff(b).replace("$ curl", "curl") for b in re.findall(
        r"^\.Bd -literal.*?\n(\$ curl.*?)^\.Ed", read("man", "omni2-mcp.7"),
        re.M | re.S)]
    blocks += re.findall(r"^```\n(curl .*?)^```", read("doc", "quickstart.md"),
                         re.M | re.S)
    check(len(blocks) >= 3, blocks)
    for block in blocks:
        done = subprocess.run(
            ["bash", "-c", block.replace(":8090/", f":{e.g.port}/")],
            capture_output=True, text=True, timeout=30, check=False,
            env=env.clean_environment(KEY=key))
        check('"result"' in done.stdout, f"{block}\n{done}")
