"""HTTPS: server.tls, renewed certificates, and what goes wrong with them."""
import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

from harness import check, free_port, http_get, same, wait_for
from servers import everything_stdio, http_server


class Setting:
    def __init__(self, env):
        self.env = env
        self.dir = env.make_dir("tls", mode=0o755)
        self.ca = self.certificate("one", 1)
        self.port = free_port()
        self.up, self.slow = env.c_upstream(), env.c_upstream("-d", 2000)
        self.g = env.gateway({
            "server": {"tls": self.tls()},
            "limits": {"header_timeout": "3s"},
            "mcps": [http_server("perf", self.up.url),
                     http_server("slow", self.slow.url),
                     everything_stdio(env)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        wait_for(lambda: "everything__echo" in self.open().names(), 20,
                 "discovery")

    def path(self, name):
        return os.path.join(self.dir, name)

    def tls(self, **other):
        return {"listen": [f"127.0.0.1:{self.port}"],
                "certificate": self.path("one.crt"),
                "key": self.path("one.key"), **other}

    def certificate(self, name, serial, days=30):
        """NAME.crt and NAME.key for localhost, by the openssl program; what
        a client needs to trust it."""
        new = {end: self.path(f"new.{end}") for end in ("crt", "key")}
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
             "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(days),
             "-set_serial", str(serial), "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost", "-keyout", new["key"], "-out",
             new["crt"]], check=True, capture_output=True)
        for end, mode in (("key", 0o600), ("crt", 0o644)):
            os.chmod(new[end], mode)
            if self.env.is_root:
                os.chown(new[end], self.env.uid, self.env.gid)
            os.rename(new[end], self.path(f"{name}.{end}"))
        return self.path(f"{name}.crt")

    def renew(self, serial, **more):
        """Both processes look once a second, each at its own time."""
        start = len(self.g.log_text())
        self.ca = self.certificate("one", serial, **more)
        wait_for(lambda: self.g.log_text()[start:].count(
            "one.crt, valid until") == 2, 10, f"certificate {serial}, twice")
        same(self.serial(), serial, "serial number")

    def context(self, ca=None, **limits):
        c = ssl.create_default_context(cafile=ca or self.ca)
        for name, value in limits.items():
            setattr(c, name, value)
        return c

    def client(self, context=None, **more):
        c = self.g.client("ann@example.com", tls=context or self.context(),
                          **more)
        c.port = self.port
        return c

    def open(self, **more):
        return self.client(**more).initialize()

    def serial(self):
        """Of the certificate that is served now."""
        c = ssl.create_default_context()
        c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.port), 10) as s, \
                c.wrap_socket(s, server_hostname="localhost") as t:
            der = t.getpeercert(True)
        done = subprocess.run(
            ["openssl", "x509", "-inform", "DER", "-noout", "-serial"],
            input=der, capture_output=True, check=True)
        return int(done.stdout.split(b"=")[1], 16)


def setup(env):
    return Setting(env)


def test_calls(_env, it):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        context = it.context(minimum_version=version, maximum_version=version)
        context.set_alpn_protocols(["h2", "http/1.1"])
        c = it.open(context=context)
        first = c.connection.sock
        for i in range(50):
            same(c.call("perf__echo", {"message": str(i)}).is_ok, True, "call")
        check(c.connection.sock is first, "the connection was not kept")
        same(first.selected_alpn_protocol(), "http/1.1", "ALPN")
        c.close()
    check(it.g.metric("omni2_tls_handshakes_total") >= 2, "counted")


def test_client_address_is_recorded(_env, it):
    it.open().call("everything__echo", {"message": "who"})
    wait_for(lambda: ["127.0.0.1"] in it.g.rows(
        "server = 'everything'", "client"), 10, "the client's address")


def test_large_both_ways(_env, it):
    text = "0123456789abcdef" * 65536         # 1 MiB
    r = it.open().call("everything__echo", {"message": text})
    check(r.is_ok and text in r.text, lambda: str(r)[:300])


def test_slow_reader(_env, it):
    """Who does not read costs a bounded amount, and gets all of it later."""
    text = "x" * (3 << 20)
    c = it.open()
    body = json.dumps(c.message("tools/call", {
        "name": "everything__echo", "arguments": {"message": text}}, 99))
    c.connection.request("POST", "/mcp", body.encode(), c.headers())
    wait_for(lambda: it.g.rows("server = 'everything' AND "
                               f"request_bytes > {3 << 20}"), 20, "served")
    answer = c.connection.getresponse().read()
    check(text.encode() in answer, "the answer is not whole")


def test_many_at_once(_env, it):
    wrong = []

    def run(i):
        c = it.open()
        for k in range(20):
            text = f"{i}/{k}"
            r = c.call("everything__echo", {"message": text})
            if not r.is_ok or text not in r.text:
                wrong.append(str(r))
        c.close()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(32)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    same(wrong[:3], [], "answers")


def test_stream(_env, it):
    c = it.open()
    c.connection.request("GET", "/mcp", headers={
        **c.headers(), "Accept": "text/event-stream"})
    r = c.connection.getresponse()
    same(r.status, 200, "status")
    same(r.getheader("content-type").split(";")[0], "text/event-stream", "type")
    it.g.server("later", it.up.url)
    try:
        line = r.fp.readline()
        while b"list_changed" not in line:
            check(line != b"", "the stream ended")
            line = r.fp.readline()
    finally:
        it.g.ctl("server", "remove", "later")
        c.close()


def test_what_is_no_tls(_env, it):
    """Plain HTTP, old TLS, rubbish, silence: refused; the next is served."""
    failed = "omni2_tls_handshakes_total{result=\"failed\"}"
    before = it.g.metrics()[failed]
    with contextlib.suppress(OSError):
        check(http_get(it.port, "/health/live")[0] >= 400, "plain HTTP served")
    old = it.context()
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", it.port), 10) as s:
        try:
            old.wrap_socket(s, server_hostname="localhost")
            raise AssertionError("TLS 1.1 was accepted")
        except OSError:
            pass
    with socket.create_connection(("127.0.0.1", it.port), 10) as s:
        s.sendall(os.urandom(4096))
        with contextlib.suppress(ConnectionError):
            while s.recv(4096):
                pass
    with socket.create_connection(("127.0.0.1", it.port), 10) as s:
        same(s.recv(1), b"", "after limits.header_timeout of silence")
    wait_for(lambda: it.g.metrics()[failed] >= before + 4, 5, "counted")
    same(it.open().call("perf__echo", {"message": "x"}).is_ok, True, "next")


def test_renewed(_env, it):
    same(it.serial(), 1, "serial number")
    c = it.open()
    it.renew(2)
    same(c.call("perf__echo", {"message": "x"}).is_ok, True, "old connection")
    same(it.open().call("perf__echo", {"message": "x"}).is_ok, True, "new one")


def test_bad_one_changes_nothing(_env, it):
    """A key of another certificate, by file and by reload."""
    served = it.serial()
    it.certificate("other", 77)
    with open(it.path("one.key"), encoding="ascii") as f:
        good = f.read()
    with open(it.path("other.key"), encoding="ascii") as f:
        other = f.read()
    start = len(it.g.log_text())
    write(it, "one.key", other)
    it.g.wait_log("is not the key of the certificate", 10, start)
    same(it.serial(), served, "serial number")
    start = len(it.g.log_text())
    it.g.reload()
    it.g.wait_log("is not the key of the certificate", 10, start)
    same(it.open().call("perf__echo", {"message": "x"}).is_ok, True, "call")
    write(it, "one.key", good)
    wait_for(lambda: it.g.ctl_run("reload").returncode == 0, 10, "reload")
    same(it.serial(), served, "serial number")


def write(it, name, text, mode=0o600):
    new = it.path("new")
    with open(new, "w", encoding="ascii") as f:
        f.write(text)
    os.chmod(new, mode)
    if it.env.is_root:
        os.chown(new, it.env.uid, it.env.gid)
    os.rename(new, it.path(name))


def test_killed(_env, it):
    c = it.open()
    pids = it.g.pids("tlsd")
    same(len(pids), 2, "processes that end TLS")
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: len(set(it.g.pids("tlsd")) - set(pids)) == 2, 10,
             "new ones")
    c.close()
    same(it.open().call("perf__echo", {"message": "x"}).is_ok, True,
         "after that")


def test_keeper_killed(_env, it):
    it.open()
    os.kill(it.g.pids("keeper")[0], signal.SIGKILL)
    wait_for(lambda: it.open().call("perf__echo", {"message": "x"}).is_ok, 10,
             "a call after the keeper's death")


def test_refused_settings(env, it):
    """Each is one line that names setting, file and way out."""
    subprocess.run(["openssl", "pkey", "-in", it.path("one.key"), "-aes128",
                    "-passout", "pass:secret", "-out", it.path("locked.key")],
                   check=True, capture_output=True)
    os.chmod(it.path("locked.key"), 0o644)
    it.certificate("third", 3)
    it.certificate("closed", 4)
    os.chmod(it.path("closed.key"), 0)
    cases = [
        ({"certificate": ""}, 78, "server.tls.certificate: is missing"),
        ({"key": it.path("none.key")}, 78, "No such file"),
        ({"key": it.path("third.key")}, 78, "is not the key of the"),
        ({"key": it.path("one.crt")}, 78, "holds no private key in PEM"),
        ({"certificate": it.path("one.key")}, 78, "holds no certificate"),
        ({"key": it.path("locked.key")}, 78, "without pass phrase"),
        ({"key": it.path("closed.key")}, 77, "let the user of omni2d read it"),
        ({"key": "one.key"}, 78, "No such file"),
        ({"listen": ["localhost:x"]}, 78, "has no port number"),
    ]
    for change, status, text in cases:
        g = env.gateway({"server": {"tls": it.tls(**change)}},
                        database=False, start=False)
        done = subprocess.run(
            [env.omni2d, "-t", "-c", g.conf], capture_output=True, text=True,
            check=False, cwd="/", env=env.clean_environment(),
            **env.as_user())
        same(done.returncode, status, f"{change}: {done.stderr}\nexit status")
        check(text in done.stderr, f"{change}: {done.stderr}")


def test_relative_names(env, it):
    """Files that systemd hands over, or beside the configuration."""
    def check_with(more, crt, key):
        g = env.gateway({"server": {"tls": it.tls(
            certificate=crt, key=key)}}, database=False, start=False)
        for end in ("crt", "key"):
            shutil.copy(it.path(f"one.{end}"),
                        os.path.join(os.path.dirname(g.conf), f"near.{end}"))
            os.chmod(os.path.join(os.path.dirname(g.conf), f"near.{end}"),
                     0o644)
        done = subprocess.run(
            [env.omni2d, "-t", "-c", g.conf], capture_output=True, text=True,
            check=False, cwd="/", env={**env.clean_environment(), **more},
            **env.as_user())
        return done.returncode, done.stderr

    given = {"CREDENTIALS_DIRECTORY": os.path.dirname(it.path("one.crt"))}
    for more, crt, key, status in (
            ({}, "near.crt", "near.key", 0), (given, "one.crt", "one.key", 0),
            (given, "near.crt", "near.key", 0), ({}, "one.crt", "one.key", 78)):
        rc, text = check_with(more, crt, key)
        same(rc, status, f"{more} {crt}: {text}\nexit status")


def test_doctor(_env, it):
    def finding():
        done = it.g.ctl_run("doctor", output="json")
        return next(f for f in json.loads(done.stdout)["findings"]
                    if f["check"] == "certificate")

    same(finding()["state"], "ok", "doctor")
    it.renew(5, days=3)
    check("ends on" in finding()["text"], "doctor on one that ends soon")
    it.renew(6)


def test_ended_is_said(env, it):
    """One that has ended is used, and everybody is told."""
    with open(it.path("ca.cnf"), "w", encoding="ascii") as f:
        f.write(f"[ca]\ndefault_ca=d\n[d]\ndatabase={it.path('index')}\n"
                "default_md=sha256\npolicy=p\nrand_serial=yes\n"
                f"new_certs_dir={it.dir}\n[p]\ncommonName=supplied\n")
    with open(it.path("index"), "w", encoding="ascii"):
        pass
    for command in (
            ["req", "-new", "-key", it.path("one.key"), "-subj",
             "/CN=localhost", "-out", it.path("ended.csr")],
            ["ca", "-batch", "-selfsign", "-config", it.path("ca.cnf"),
             "-keyfile", it.path("one.key"), "-in", it.path("ended.csr"),
             "-startdate", "20200101000000Z", "-enddate", "20210101000000Z",
             "-notext", "-out", it.path("ended.crt")]):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    os.chmod(it.path("ended.crt"), 0o644)
    g = env.gateway({"server": {"tls": it.tls(
        certificate=it.path("ended.crt"), listen=[f"127.0.0.1:{free_port()}"])}})
    g.wait_log("has ended on 2021-01-01")
    done = g.ctl_run("doctor")
    check("has ended on 2021-01-01" in done.stdout, done.stdout)
    g.stop()


def test_stops_politely(_env, it):
    """SIGTERM: a call in flight is answered, then everything is gone."""
    c = it.open()
    got = []
    t = threading.Thread(target=lambda: got.append(
        c.call("slow__echo", {"message": "last"})))
    t.start()
    wait_for(lambda: it.slow.count()["now"] == 1, 5, "the call at the server")
    time_of_stop = time.monotonic()
    it.g.stop()
    t.join()
    check(got and got[0].is_ok, lambda: f"{got}")
    check(time.monotonic() - time_of_stop < 20, "the end took long")
