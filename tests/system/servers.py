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


def filesystem(env, name="files", **more):
    """server-filesystem over stdio, on a directory with one file."""
    path = env.make_dir(f"files-{name}", mode=0o755)
    with open(os.path.join(path, "hello.txt"), "w", encoding="ascii") as f:
        f.write("hello from a file\n")
    return stdio_server(name, env.node, npm(env, "server-filesystem"), path,
                        **more), path


def fastmcp(env, name="weather", **more):
    port = free_port()
    env.helper([env.python, os.path.join(env.fakes, "fastmcp_server.py"),
                str(port)], port)
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
    return stdio_server(name, "/usr/bin/python3", *args, *([log] if log else []),
                        **more)
