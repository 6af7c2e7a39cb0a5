"""A server of 2026-07-28 with the tasks extension.  tasks_server.py PORT

Tool job: a task that ends when it was asked for twice; with ask it wants input
first. Tool plain: no task. Checks what a client must send: Mcp-Name is the
task's id, the capability stands in every request. GET /log: all requests.
"""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

META = "io.modelcontextprotocol/"
EXTENSION = META + "tasks"
tasks, log = {}, []
TIME = "2026-08-01T00:00:00Z"


class Refused(Exception):
    pass


def listed(**more):
    return {"resultType": "complete", "ttlMs": 0, "cacheScope": "private",
            **more}


def has_extension(params):
    caps = params["_meta"][META + "clientCapabilities"]
    return EXTENSION in caps.get("extensions", {})


def state(task):
    out = {"taskId": task["id"], "status": task["status"], "createdAt": TIME,
           "lastUpdatedAt": TIME, "ttlMs": 60000, "pollIntervalMs": 10}
    if task["status"] == "input_required":
        out["inputRequests"] = {"who": {
            "method": "elicitation/create", "params": {
                "mode": "form", "message": "who?", "requestedSchema": {
                    "type": "object", "properties": {
                        "name": {"type": "string"}}}}}}
    if task["status"] == "completed":
        out["result"] = {"content": [{"type": "text", "text": task["text"]}],
                         "taskId": "not one of ours", "isError": False}
    return out


def call(params):
    if params["name"] == "plain":
        return {"resultType": "complete",
                "content": [{"type": "text", "text": "plain"}]}
    if not has_extension(params):
        raise Refused(-32021, "Missing required client capability", {
            "requiredCapabilities": {"extensions": {EXTENSION: {}}}})
    asks = params.get("arguments", {}).get("ask")
    task = {"id": f"task/{len(tasks)} \u00e9", "gets": 0, "text": "done",
            "status": "input_required" if asks else "working"}
    tasks[task["id"]] = task
    return {"resultType": "task", **state(task)}


def on_task(method, params):
    task = tasks.get(params["taskId"])
    if task is None:
        raise Refused(-32602, "Task not found")
    if method == "tasks/cancel":
        task["status"] = "cancelled"
        return {"resultType": "complete"}
    if method == "tasks/update":
        name = params["inputResponses"]["who"]["content"]["name"]
        task.update(status="working", text=f"done for {name}")
        return {"resultType": "complete"}
    task["gets"] += 1
    if task["gets"] >= 2 and task["status"] == "working":
        task["status"] = "completed"
    return {"resultType": "complete", **state(task)}


def answer(method, params):
    if method == "server/discover":
        return listed(supportedVersions=["2026-07-28"], capabilities={
            "tools": {}, "extensions": {EXTENSION: {}}},
            serverInfo={"name": "tasks", "version": "1"})
    if method == "tools/list":
        return listed(tools=[{"name": n, "inputSchema": {"type": "object"}}
                             for n in ("job", "plain")])
    if method == "tools/call":
        return call(params)
    if method in ("tasks/get", "tasks/update", "tasks/cancel"):
        return on_task(method, params)
    raise Refused(-32601, "Method not found")


def decoded(name):
    import base64
    if name.startswith("=?base64?"):
        return base64.b64decode(name[9:-2]).decode()
    return name


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def reply(self, status, value):
        body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.reply(200 if self.path == "/log" else 405, log)

    def do_POST(self):
        m = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        params = m.get("params", {})
        name = decoded(self.headers.get("Mcp-Name", ""))
        log.append([m["method"], params.get("taskId"), name])
        out = {"jsonrpc": "2.0", "id": m.get("id")}
        status = 200
        try:
            if "taskId" in params and name != params["taskId"]:
                status = 400
                raise Refused(-32020, "Mcp-Name differs")
            out["result"] = answer(m["method"], params)
        except Refused as e:
            code, text, *data = e.args
            out["error"] = {"code": code, "message": text}
            if data:
                status, out["error"]["data"] = 400, data[0]
        self.reply(status, out)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
