"""A stdio server of the modern era: tells its one listener what changes.

The tool touch announces an update of the resource it is given; grow adds a
tool and announces that.
"""
import json
import sys

META = "io.modelcontextprotocol/"
SCHEMA = {"type": "object"}
tools = [{"name": n, "inputSchema": SCHEMA} for n in ("touch", "grow")]
listener = {"id": None, "filter": {}}


def send(**m):
    print(json.dumps({"jsonrpc": "2.0", **m}), flush=True)


def tell(method, **params):
    if listener["id"] is not None:
        send(method=method, params={
            **params, "_meta": {META + "subscriptionId": listener["id"]}})


def listed(**lists):
    return {"resultType": "complete", "ttlMs": 0, "cacheScope": "private",
            **lists}


def call(name, arguments):
    if name == "touch":
        if arguments["uri"] in listener["filter"].get(
                "resourceSubscriptions", []):
            tell("notifications/resources/updated", uri=arguments["uri"])
    else:
        tools.append({"name": f"grown{len(tools)}", "inputSchema": SCHEMA})
        if listener["filter"].get("toolsListChanged"):
            tell("notifications/tools/list_changed")
    return {"resultType": "complete", "content": [
        {"type": "text", "text": json.dumps(listener)}]}


def answer(method, params):
    if method == "server/discover":
        return listed(supportedVersions=["2026-07-28"], capabilities={
            "tools": {"listChanged": True},
            "resources": {"subscribe": True, "listChanged": True}},
            serverInfo={"name": "modern", "version": "1"})
    if method == "tools/list":
        return listed(tools=tools)
    if method == "resources/list":
        return listed(resources=[{"uri": "doc://a", "name": "a"}])
    if method == "resources/templates/list":
        return listed(resourceTemplates=[])
    if method == "tools/call":
        return call(params["name"], params.get("arguments", {}))
    return None


for line in sys.stdin:
    m = json.loads(line)
    method, params = m.get("method"), m.get("params", {})
    if method == "notifications/cancelled":
        if params.get("requestId") == listener["id"]:
            listener.update(id=None, filter={})
    elif method == "subscriptions/listen":
        listener.update(id=m["id"], filter=params["notifications"])
        tell("notifications/subscriptions/acknowledged",
             notifications=params["notifications"])
    elif "id" in m:
        result = answer(method, params)
        if result is None:
            send(id=m["id"], error={"code": -32601, "message": "no " + method})
        else:
            send(id=m["id"], result=result)
