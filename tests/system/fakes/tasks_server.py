"""A server of 2026-07-28 with the tasks extension.  tasks_server.py PORT|--stdio

Tool job: a task that ends when it was asked for twice; with ask it wants input
first, with forever it does not end, with fail it ends with an error. Tool plain: no task. Tool watched: which tasks are listened to. Checks
what a client must send: Mcp-Name is the task's id, the capability stands in
every request. GET /log: all requests. Who listens hears of every change.
"""
import json
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

META = "io.modelcontextprotocol/"
EXTENSION = META + "tasks"
tasks, log, listeners = {}, [], []
TIME = "2026-08-01T00:00:00Z"


class Refused(Exception):
    pass


NO_EXTENSION = (-32021, "Missing required client capability", {
    "requiredCapabilities": {"extensions": {EXTENSION: {}}}})


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
    if task["status"] == "failed":
        out["error"] = {"code": -32077, "message": "it went wrong"}
    if task["status"] == "completed":
        out["result"] = {"content": [{"type": "text", "text": task["text"]}],
                         "taskId": "not one of ours", "isError": False}
    return out


class Listener:
    def __init__(self, message, send):
        params = message["params"]
        self.id, self.send = message["id"], send
        self.filter = dict(params["notifications"])
        if "taskIds" in self.filter and not has_extension(params):
            raise Refused(*NO_EXTENSION)
        self.say("notifications/subscriptions/acknowledged",
                 {"notifications": self.filter})
        listeners.append(self)

    def say(self, method, params):
        self.send({"jsonrpc": "2.0", "method": method, "params": {
            **params, "_meta": {META + "subscriptionId": self.id, "x": 1}}})


def changed(task, status):
    task["status"] = status
    for one in list(listeners):
        if task["id"] in one.filter.get("taskIds", []):
            one.say("notifications/tasks", state(task))


def call(params):
    if params["name"] == "watched":
        watched = sorted({i for one in listeners
                          for i in one.filter.get("taskIds", [])})
        return {"resultType": "complete", "content": [
            {"type": "text", "text": json.dumps(watched)}]}
    if params["name"] == "plain":
        return {"resultType": "complete",
                "content": [{"type": "text", "text": "plain"}]}
    if not has_extension(params):
        raise Refused(*NO_EXTENSION)
    asks = params.get("arguments", {}).get("ask")
    task = {"id": f"task/{len(tasks)} \u00e9", "gets": 0, "text": "done",
            "status": "input_required" if asks else "working",
            "arguments": params.get("arguments", {})}
    tasks[task["id"]] = task
    return {"resultType": "task", **state(task)}


def on_task(method, params):
    task = tasks.get(params["taskId"])
    if task is None:
        raise Refused(-32602, "Task not found")
    if method == "tasks/cancel":
        changed(task, "cancelled")
        return {"resultType": "complete"}
    if method == "tasks/update":
        name = params["inputResponses"]["who"]["content"]["name"]
        task["text"] = f"done for {name}"
        changed(task, "working")
        return {"resultType": "complete"}
    task["gets"] += 1
    if task["gets"] >= 2 and task["status"] == "working" and \
            not task["arguments"].get("forever"):
        changed(task, "failed" if task["arguments"].get("fail")
                else "completed")
    return {"resultType": "complete", **state(task)}


def answer(method, params):
    if method == "server/discover":
        return listed(supportedVersions=["2026-07-28"], capabilities={
            "tools": {}, "extensions": {EXTENSION: {}}},
            serverInfo={"name": "tasks", "version": "1"})
    if method == "tools/list":
        return listed(tools=[{"name": n, "inputSchema": {"type": "object"}}
                             for n in ("job", "plain", "watched")])
    if method == "tools/call":
        return call(params)
    if method in ("tasks/get", "tasks/update", "tasks/cancel"):
        return on_task(method, params)
    raise Refused(-32601, "Method not found")


def error_of(refused):
    code, text, *data = refused.args
    return {"code": code, "message": text, **({"data": data[0]} if data else {})}


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
            if m["method"] == "subscriptions/listen":
                self.listen(m)
                return
            if "taskId" in params and name != params["taskId"]:
                status = 400
                raise Refused(-32020, "Mcp-Name differs")
            out["result"] = answer(m["method"], params)
        except Refused as e:
            out["error"] = error_of(e)
            if "data" in out["error"]:
                status = 400
        self.reply(status, out)

    def listen(self, message):
        events = queue.Queue()
        one = Listener(message, events.put)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                try:
                    text = b"data: " + json.dumps(events.get(timeout=0.2)
                                                  ).encode()
                except queue.Empty:
                    text = b": here"
                self.wfile.write(text + b"\n\n")
        except OSError:
            listeners.remove(one)


lock = threading.Lock()


def send(message):
    with lock:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def on_line(m):
    params = m.get("params", {})
    if m["method"] == "notifications/cancelled":
        listeners[:] = [one for one in listeners
                        if one.id != params.get("requestId")]
    if "id" not in m:
        return
    out = {"jsonrpc": "2.0", "id": m["id"]}
    try:
        if m["method"] == "subscriptions/listen":
            Listener(m, send)
            return
        out["result"] = answer(m["method"], params)
    except Refused as e:
        out["error"] = error_of(e)
    send(out)


if sys.argv[1] == "--stdio":
    for line in sys.stdin:
        on_line(json.loads(line))
else:
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])),
                        Handler).serve_forever()
