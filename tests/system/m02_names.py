"""5,000 tools, odd names, the same name twice: listed, callable, and unique."""
import re
import time

from fake import Fake, tool
from harness import check, same, wait_for
from servers import http_server

MANY = 5000
ODD = ["with space", "ünïcode", "a" * 100, "dots.and-dashes", "slash/slash",
       "quote\"s", "x__y", "_", "UPPER", "upper", "emoji😀", "a" * 99 + "b",
       "-", "1"]
CONTROL = ["\u0000nul", "tab\t", "line\nfeed", "\u001b[31mred"]


class Setting:
    def __init__(self, env):
        self.many = Fake(pages=[[tool(f"tool_{i:04}") for i in range(p, p + 500)]
                                for p in range(0, MANY, 500)])
        self.odd = Fake([tool(n) for n in ODD + CONTROL])
        self.twice = Fake([tool("same", title="first"),
                           tool("same", title="second"), tool("other")])
        self.bad = Fake([tool("good"), {"name": 7}, {"name": ""},
                         {"noname": True}, tool("also_good")])
        self.g = env.gateway({"mcps": [
            http_server("many", self.many.url), http_server("odd", self.odd.url),
            http_server("twice", self.twice.url),
            http_server("bad", self.bad.url)]})
        self.g.user("ann@example.com", "power_user", "--allow-all",
                    "--limit", "0")
        wait_for(lambda: len(self.open().names()) >= MANY + len(ODD), 20,
                 "discovery")

    def open(self, path="/mcp"):
        return self.g.client("ann@example.com", path).initialize()


def setup(env):
    return Setting(env)


def test_all_are_listed_once(_env, it):
    names = it.open().names()
    same(len(names), len(set(names)), "unique names")
    same(sum(n.startswith("many__") for n in names), MANY, "the many")
    wrong = [n for n in names if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", n)]
    same(wrong, [], "names outside the safe set")


def test_last_of_many_can_be_called(_env, it):
    check(it.open().call("many__tool_4999").is_ok, "call")
    same(it.many.count("tool_4999"), 1, "arrived")


def test_odd_names_reach_their_tools(_env, it):
    c = it.open()
    exposed = [n for n in c.names() if n.startswith("odd__")]
    same(len(exposed), len(ODD), f"odd names: {exposed}")
    for name in exposed:
        check(c.call(name).is_ok, name)
    for own in ODD:
        same(it.odd.count(own), 1, f"calls of {own!r}")


def test_names_with_control_characters_are_left_out(_env, it):
    own = it.open("/servers/odd/mcp")
    for name in CONTROL:
        check("error" in own.call(name).message, repr(name))
        same(it.odd.count(name), 0, f"calls of {name!r}")


def test_odd_names_on_the_own_endpoint(_env, it):
    c = it.open("/servers/odd/mcp")
    same(sorted(c.names()), sorted(ODD), "own names")
    for own in ODD:
        before = it.odd.count(own)
        check(c.call(own).is_ok, repr(own))
        same(it.odd.count(own), before + 1, f"calls of {own!r}")


def test_second_of_the_same_name_is_left_out(_env, it):
    c = it.open("/servers/twice/mcp")
    tools = c.request("tools/list").result["tools"]
    same([t["name"] for t in tools], ["same", "other"], "names")
    same(tools[0]["title"], "first", "which one")


def test_tools_without_a_name_are_left_out(_env, it):
    same(it.open("/servers/bad/mcp").names(), ["good", "also_good"], "names")


def test_names_do_not_change_when_servers_come_and_go(_env, it):
    before = [n for n in it.open().names() if n.startswith("odd__")]
    it.g.server("extra", it.twice.url)
    c = it.open()
    wait_for(lambda: "extra__other" in c.names(), 5, "added")
    same([n for n in c.names() if n.startswith("odd__")], before, "names")
    it.g.ctl("server", "remove", "extra")


def test_escaped_and_double_members_do_not_fool(_env, it):
    """What was authorised is what is sent."""
    c = it.open()
    before = it.many.calls
    for body in (
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":'
            b'"many__tool_0001","name":"many__tool_0002","arguments":{}}}',
            b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":'
            b'"many__tool_0001","n\\u0061me":"many__tool_0002"}}',
            b'{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call",'
            b'"params":{"name":"many__tool_0001"}}'):
        r = c.send(body, c.headers())
        check(r.status == 400 or "error" in r.message, r)
    same(it.many.calls, before, "calls that arrived")


def test_listing_few_of_many_is_cheap(env, it):
    """50 visible of 5,000 cost no more than 5 times a list of 50."""
    g = it.g
    few = Fake([tool(f"tool_{i:04}") for i in range(50)])
    g.server("few", few.url)
    g.user("few@example.com", "power_user", "--limit", "0", "--allow",
           "few:tool_*")
    g.user("some@example.com", "power_user", "--limit", "0", "--allow",
           "many:tool_00[0-4]?")
    a, b = (g.client(f"{n}@example.com").initialize() for n in ("few", "some"))
    wait_for(lambda: len(a.names()) == 50 and len(b.names()) == 50, 10, "lists")

    def cost(c):
        best = []
        for _ in range(60):
            start = time.perf_counter()
            c.request("tools/list")
            best.append(time.perf_counter() - start)
        return sorted(best)[len(best) // 2]

    cheap, dear = cost(a), cost(b)
    print(f"   | 50 of 50: {cheap * 1e6:.0f} us, 50 of {MANY}: "
          f"{dear * 1e6:.0f} us")
    check(dear <= cheap * 5, f"{dear / cheap:.1f} times the cost")
