"""Servers that others wrote, as entries of a configuration or as helpers."""
import os

from harness import free_port


def http_server(name, url, **more):
    return {"name": name, "protocol": "http", "url": url, **more}


def stdio_server(name, command, *args, **more):
    return {"name": name, "protocol": "stdio", "command": command,
            "args": list(args), **more}


def npm(env, package):
    return os.path.join(env.npm, "@modelcontextprotocol", package, "dist",
                        "index.js")


def everything_stdio(env, name="everything", **more):
    return stdio_server(name, env.node, npm(env, "server-everything"), "stdio",
                        **more)


def everything_http(env, name="everything_http", **more):
    port = free_port()
    env.helper([env.node, npm(env, "server-everything"), "streamableHttp"],
               port, PORT=port)
    return http_server(name, f"http://127.0.0.1:{port}/mcp", **more)


def everything_sse(env, name="everything_sse", protocol="sse", **more):
    """HTTP+SSE of 2024-11-05; protocol "http": omni2 has to find that out."""
    port = free_port()
    env.helper([env.node, npm(env, "server-everything"), "sse"], port,
               PORT=port)
    return {"name": name, "protocol": protocol,
            "url": f"http://127.0.0.1:{port}/sse", **more}


def everything_websocket(env, name="everything_ws", path="/mcp", **more):
    port = free_port()
    env.helper([env.python, os.path.join(env.fakes, "ws_bridge.py"), str(port),
                env.node, npm(env, "server-everything"), "stdio"], port)
    return {"name": name, "protocol": "websocket",
            "url": f"ws://127.0.0.1:{port}{path}", **more}


def filesystem(env, name="files", **more):
    """server-filesystem over stdio, on a directory with one file."""
    path = env.make_dir(f"files-{name}", mode=0o755)
    with open(os.path.join(path, "hello.txt"), "w", encoding="ascii") as f:
        f.write("hello from a file\n")
    return stdio_server(name, env.node, npm(env, "server-filesystem"), path,
                        **more), path


def fastmcp(env, name="weather", transport="http", **more):
    port = free_port()
    env.helper([env.python, os.path.join(env.fakes, "fastmcp_server.py"),
                str(port), transport], port)
    if transport == "sse":
        return {"name": name, "protocol": "sse",
                "url": f"http://127.0.0.1:{port}/sse", **more}
    return http_server(name, f"http://127.0.0.1:{port}/mcp", **more)


def reference(env, name="reference", **more):
    """The server of tests/conformance: both eras, everything MCP has."""
    port = free_port()
    env.helper([env.node, os.path.join(env.conformance, "reference-server.mjs")],
               port, PORT=port,
               NODE_MODULES_DIR=os.path.join(env.cache, "conformance",
                                             "node_modules"))
    return http_server(name, f"http://127.0.0.1:{port}/mcp", **more)


def reference_stdio(env, name="reference_stdio", **more):
    return stdio_server(
        name, env.node,
        os.path.join(env.conformance, "reference-server.mjs"), "--stdio",
        env={"NODE_MODULES_DIR": os.path.join(
            env.cache, "conformance", "node_modules")}, **more)


def misbehaving_stdio(env, name="odd", log=None, **more):
    args = [os.path.join(env.fakes, "stdio_server.py")]
    if log:
        args.append(log)
        more = {"sandbox": {"writable": [os.path.dirname(log)]}, **more}
    return stdio_server(name, "/usr/bin/python3", *args, **more)


def reference_args(env):
    """The command of reference_stdio() and its environment."""
    s = reference_stdio(env)
    return [s["command"], *s["args"]], s["env"]
