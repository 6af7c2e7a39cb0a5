"""Who may see and call what: the whole matrix, on every path, in both eras.

The expected sets are written out by hand; nothing here repeats the rules of
the product in code.
"""
from fake import Fake
from harness import MODERN, Client, check, same, wait_for
from servers import http_server

TOOLS = ("read_a", "read_b", "write_a", "drop_table", "kill_session",
         "analyze_full_x", "hidden")
ALL = set(TOOLS) - {"hidden"}           # tool_policy hides it from everyone
# blocked_tools: drop_*, kill_session; admin_only_tools: analyze_full_*
USUAL = ALL - {"drop_table", "kill_session", "analyze_full_x"}
READS = {"read_a", "read_b"}

USERS = {       # email: (role, allowed_mcps)
    "super": ("super_admin", "*"),
    "admin": ("admin", []),
    "star": ("power_user", "*"),
    "list": ("dba", ["one", "two"]),
    "inherit": ("dba", {"one": {"mode": "inherit"}}),
    "custom": ("dba", {"one": {"mode": "custom", "tools": ["read_*"],
                               "deny": ["read_b"]}}),
    "all": ("read_only", {"one": {"mode": "all"}, "two": {"mode": "all"}}),
    "none": ("dba", []),
    "empty": ("dba", {"one": {"mode": "custom", "tools": []}}),
    "reader": ("read_only", ["one", "two"]),
    "denied": ("qa_tester", ["one", "two"]),
    "unlisted": ("contractor", ["one", "two"]),
    "only": ("analyst", ["one", "two"]),
    "except": ("developer", ["one", "two"]),
}
# server one restricts roles; server two restricts none
RESTRICTIONS = {
    "dba": {"allow_all": True},
    "read_only": {"allow_only": ["read_*"]},
    "qa_tester": {"deny_all": True},
    "analyst": {"allow_only": ["read_a", "write_?"]},
    "developer": {"deny": ["write_*"]},
}
EXPECTED = {    # email: (tools of one, tools of two)
    "super": (ALL, ALL),
    "admin": (ALL - {"drop_table", "kill_session"},) * 2,
    "star": (USUAL, USUAL),
    "list": (USUAL, USUAL),
    "inherit": (USUAL, set()),
    "custom": ({"read_a"}, set()),
    "all": (USUAL, USUAL),
    "none": (set(), set()),
    "empty": (set(), set()),
    "reader": (READS, USUAL),
    "denied": (set(), USUAL),
    "unlisted": (set(), USUAL),
    "only": ({"read_a", "write_a"}, USUAL),
    "except": (READS, USUAL),
}


class Setting:
    def __init__(self, env):
        self.fakes = {"one": Fake([*TOOLS]), "two": Fake([*TOOLS])}
        policy = {"mode": "allow_all_except", "exclude": ["hid*"]}
        self.g = env.gateway({
            "global": {"blocked_tools": ["drop_*", "kill_session"],
                       "admin_only_tools": ["analyze_full_*"]},
            "mcps": [
                http_server("one", self.fakes["one"].url, tool_policy=policy,
                            role_restrictions=RESTRICTIONS),
                http_server("two", self.fakes["two"].url, tool_policy=policy)],
            "users": [
                {"email": f"{n}@example.com", "role": role, "allowed_mcps": m,
                 "rate_limit": {"requests_per_hour": 0}}
                for n, (role, m) in USERS.items() if role != "super_admin"],
            "super_admins": [{"email": "super@example.com"}]})
        for n in USERS:
            self.g.key(f"{n}@example.com")
        wait_for(lambda: len(self.open("star").names()) == 2 * len(USUAL), 10,
                 "discovery")

    def open(self, name, path="/mcp", version="2025-11-25"):
        return self.g.client(f"{name}@example.com", path, version).initialize()

    def arrived(self):
        return sum(f.calls for f in self.fakes.values())


def setup(env):
    return Setting(env)


def expected_names(name):
    one, two = EXPECTED[name]
    return {f"one__{t}" for t in one} | {f"two__{t}" for t in two}


def check_call(c, it, name, may):
    before = it.arrived()
    r = c.call(name)
    if may:
        check(r.is_ok, f"{c.path} {name}: {r}")
        same(it.arrived(), before + 1, f"{name} arrived")
        return
    same((r.status, r.error["code"]), (403, -32003), f"{c.path} {name}: {r}")
    check(r.error["message"].startswith(f"Access denied to {name}"), r)
    same(it.arrived(), before, f"{name} arrived although it was denied")


def test_lists(_env, it):
    for name in USERS:
        same(set(it.open(name).names()), expected_names(name), f"{name} sees")
        same(set(it.open(name, version=MODERN).names()), expected_names(name),
             f"{name} sees in {MODERN}")


def test_calls_on_the_aggregate(_env, it):
    for version in ("2025-11-25", MODERN):
        for name in USERS:
            c, may = it.open(name, version=version), expected_names(name)
            for server in it.fakes:
                for tool in TOOLS:
                    full = f"{server}__{tool}"
                    check_call(c, it, full, full in may)


def test_calls_on_the_servers(_env, it):
    for name in USERS:
        for i, server in enumerate(it.fakes):
            c = it.g.client(f"{name}@example.com", f"/servers/{server}/mcp")
            r = c.request("initialize", {
                "protocolVersion": "2025-11-25", "capabilities": {},
                "clientInfo": {"name": "x", "version": "1"}})
            if r.status == 403:
                same(EXPECTED[name][i], set(), f"{name} is kept out of {server}")
                continue
            c.session = r.headers.get("mcp-session-id")
            same(set(c.names()), EXPECTED[name][i], f"{name} sees of {server}")
            for tool in TOOLS:
                check_call(c, it, tool, tool in EXPECTED[name][i])


def test_names_are_exact(_env, it):
    """A spelling that another parser might take for an allowed name."""
    c = it.open("custom")
    before = it.arrived()
    for name in ("one__READ_A", "one__read_a\u0000", "one__read_a ", "ONE__read_a",
                 "one__ read_a", "one__read_ſ", "two__read_a", "one__write_a",
                 "one__read_a\n", "one____read_a", "one__one__read_a"):
        r = c.call(name)
        check("error" in r.message, f"{name!r}: {r}")
    same(it.arrived(), before, "calls that arrived")


def test_denials_are_recorded(_env, it):
    n = it.g.row_count("decision = 'deny'")
    it.open("none").call("one__read_a")
    it.g.wait_rows(n + 1, "decision = 'deny'")
    row = it.g.rows("decision = 'deny'",
                    "principal, server, object, result, http_status, rpc_code, "
                    "rule")[-1]
    same(row[:6], ["none@example.com", "one", "read_a", "denied", "403",
                   "-32003"], "row")
    check(row[6], "the deciding rule is missing")


def test_policy_test_agrees(_env, it):
    """omni2ctl policy test says what the gateway does."""
    for name in USERS:
        for i, server in enumerate(it.fakes):
            for tool in ("read_b", "write_a") if name != "super" else TOOLS:
                done = it.g.ctl_run("policy", "test", "--user",
                                    f"{name}@example.com", "--server", server,
                                    "--tool", tool)
                may = tool in EXPECTED[name][i]
                same(done.returncode, 0 if may else 4,
                     f"{name} {server} {tool}: {done.stdout}{done.stderr}")


def test_permission_taken_away_holds_at_once(_env, it):
    it.g.user("temp@example.com", "power_user", "--limit", "0", "--allow",
              "one:read_*")
    c = it.open("temp")
    check_call(c, it, "one__read_a", True)
    it.g.ctl("user", "set", "temp@example.com", "--allow", "one:write_*")
    check_call(c, it, "one__read_a", False)
    check_call(c, it, "one__write_a", True)


def test_nobody_without_a_key(_env, it):
    before = it.arrived()
    for key in (None, "omni2_" + "A" * 43):
        for path in ("/mcp", "/servers/one/mcp"):
            r = Client(it.g.port, key, path).call("one__read_a")
            same(r.status, 401, f"{path} {key}: {r}")
    same(it.arrived(), before, "calls that arrived")


def test_unlisted_roles_may_only_if_the_configuration_says_so(env, it):
    g = env.gateway({
        "permissions": {"unlisted": "allow"},
        "mcps": [http_server("one", it.fakes["one"].url,
                             role_restrictions=RESTRICTIONS)],
        "users": [{"email": "unlisted@example.com", "role": "contractor",
                   "allowed_mcps": ["one"]}]})
    g.key("unlisted@example.com")
    c = g.client("unlisted@example.com").initialize()
    wait_for(lambda: "one__read_a" in c.names(), 10, "allowed")
    check(c.call("one__read_a").is_ok, "call")
