"""Permissions of resources and prompts: listed, read and got by the same rules."""
from fake import Fake, http, response
from harness import LEGACY, MODERN, check, same, wait_for
from servers import http_server, reference

TEXT, BINARY = "test://static-text", "test://static-binary"
SIMPLE, ARGUMENTS = "test_simple_prompt", "test_prompt_with_arguments"

USERS = {       # email: (allowed_mcps, resources that may be read, prompts)
    "all": ("*", {TEXT, BINARY}, {SIMPLE, ARGUMENTS}),
    "none": ([], set(), set()),
    "some": ({"reference": {"mode": "custom", "tools": [],
                            "resources": ["test://static-t*"],
                            "prompts": ["test_simple_*"]}},
             {TEXT}, {SIMPLE}),
    "deny": ({"reference": {"mode": "custom", "tools": ["echo"],
                            "resources": ["test://*"],
                            "deny_resources": ["test://static-b*"],
                            "prompts": []}},
             {TEXT}, set()),
    "exact": ({"reference": {"mode": "custom", "tools": [],
                             "resources": [TEXT], "prompts": [SIMPLE]}},
              {TEXT}, {SIMPLE}),
}


class Library(Fake):
    """Lists these resources; what it reads says who it is."""
    uris = ()

    def answer(self, c, m, name):
        if name == "resources/list":
            result = {"resources": [{"uri": u, "name": u} for u in self.uris]}
        elif name == "resources/read":
            result = {"contents": [{"uri": m["params"]["uri"],
                                    "text": self.url}]}
        elif name == "initialize":
            result = {"protocolVersion": m["params"]["protocolVersion"],
                      "capabilities": {"tools": {}, "resources": {}},
                      "serverInfo": {"name": "library", "version": "1"}}
        else:
            return super().answer(c, m, name)
        c.send(http(response(m, result)))
        return True


class Setting:
    def __init__(self, env):
        self.g = env.gateway({"mcps": [reference(env)], "users": [
            {"email": f"{n}@example.com", "role": "power_user",
             "allowed_mcps": mcps, "rate_limit": {"requests_per_hour": 0}}
            for n, (mcps, _, _) in USERS.items()]})
        for n in USERS:
            self.g.key(f"{n}@example.com")
        wait_for(lambda: "reference__echo" in self.open("all").names(), 20,
                 "discovery")

    def open(self, name, path="/mcp", version="2025-11-25"):
        return self.g.client(f"{name}@example.com", path, version).initialize()


def setup(env):
    return Setting(env)


def error_of(r):
    return (r.status, r.error["code"])


def test_lists(_env, it):
    for version in (LEGACY[-1], MODERN):
        for name, (_, resources, prompts) in USERS.items():
            c = it.open(name, version=version)
            uris = c.names("resources/list", "resources", "uri")
            same({u for u in (TEXT, BINARY) if any(x.endswith(u) for x in uris)},
                 resources, f"{name} {version}: resources in {uris}")
            got = c.names("prompts/list", "prompts")
            same({p for p in (SIMPLE, ARGUMENTS) if f"reference__{p}" in got},
                 prompts, f"{name} {version}: prompts in {got}")


def test_reads(_env, it):
    full = {u: next(x for x in it.open("all").names(
        "resources/list", "resources", "uri") if x.endswith(u))
        for u in (TEXT, BINARY)}
    for version in (LEGACY[-1], MODERN):
        for name, (_, resources, _) in USERS.items():
            c = it.open(name, version=version)
            for uri, exposed in full.items():
                r = c.request("resources/read", {"uri": exposed})
                if uri in resources:
                    check("contents" in r.result, f"{name}: {r}")
                else:
                    same(error_of(r), (403, -32003), f"{name} {uri}: {r}")


def test_prompts(_env, it):
    for version in (LEGACY[-1], MODERN):
        for name, (_, _, prompts) in USERS.items():
            c = it.open(name, version=version)
            for prompt in (SIMPLE, ARGUMENTS):
                r = c.request("prompts/get", {
                    "name": f"reference__{prompt}",
                    "arguments": {"arg1": "a", "arg2": "b"}
                    if prompt == ARGUMENTS else {}})
                if prompt in prompts:
                    check(r.result["messages"], f"{name}: {r}")
                else:
                    same(error_of(r), (403, -32003), f"{name} {prompt}: {r}")


def test_spellings_of_a_denied_resource(_env, it):
    c = it.open("some")
    for uri in ("test://static-binary", "TEST://static-binary",
                "test://static-binary#x", "test://static%2dbinary",
                "test://static-text/../static-binary", "test://x/data",
                "test://static-text/%2E%2e/static-binary"):
        r = c.request("resources/read", {"uri": "reference+" + uri})
        same(error_of(r), (403, -32003), f"{uri}: {r}")


def test_nothing_hides_behind_a_nul(_env, it):
    """Patterns see the whole URI, not what stands before its first NUL."""
    for name, uri in (("exact", TEXT + "\0"), ("exact", TEXT + "\0/../x"),
                      ("some", TEXT + "\0"), ("none", "\0" + TEXT)):
        for path, prefix in (("/mcp", "reference+"),
                             ("/servers/reference/mcp", "")):
            if name == "none" and not prefix:
                continue                # not even the endpoint is its own
            r = it.open(name, path).request("resources/read",
                                            {"uri": prefix + uri})
            same(error_of(r), (403, -32003), f"{name} {path}: {r}")


def test_denials_are_recorded(_env, it):
    n = it.g.row_count("method = 'resources/read' AND decision = 'deny'")
    it.open("none").request("resources/read", {"uri": "reference+" + TEXT})
    it.g.wait_rows(n + 1, "method = 'resources/read' AND decision = 'deny'")


def test_own_uri_of_two_servers(env):
    """It names a server only if one lists it of those one may use."""
    a, b = Library(["t"]), Library(["t"])
    a.uris, b.uris = ["demo://both"], ["demo://both", "demo://b"]
    g = env.gateway({
        "mcps": [http_server("a", a.url), http_server("b", b.url)],
        "users": [{"email": f"{n}@example.com", "role": "power_user",
                   "allowed_mcps": mcps} for n, mcps in
                  {"all": ["a", "b"], "b": ["b"], "none": []}.items()]})
    c = {n: g.client(f"{n}@example.com").initialize()
         for n in ("all", "b", "none")}
    wait_for(lambda: len(c["all"].names()) == 2, 10, "discovery")
    for name, uri, want in (("all", "demo://b", b), ("b", "demo://b", b),
                            ("b", "demo://both", b), ("all", "a+demo://both", a),
                            ("all", "b+demo://both", b),
                            ("all", "demo://both", None),
                            ("none", "demo://both", None),
                            ("none", "demo://b", None)):
        r = c[name].request("resources/read", {"uri": uri})
        if want:
            same(r.result["contents"][0]["text"], want.url, f"{name} {uri}")
        else:
            same(error_of(r), (200, -32602), f"{name} {uri}: {r}")
