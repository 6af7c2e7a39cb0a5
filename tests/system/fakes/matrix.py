"""One row of the matrix: the Python SDK does everything at one server.

    matrix.py TRANSPORT TARGET      environment and output as in matrix.mjs
"""
import asyncio
import contextlib
import json
import os
import sys

import httpx2
import mcp_types as types
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

transport, target = sys.argv[1:]
what = json.loads(os.environ["WHAT"])
asked = []
updated = asyncio.Event()


async def sampling(_context, _params):
    asked.append("sampling")
    return types.CreateMessageResult(
        role="assistant", model="none",
        content=types.TextContent(type="text", text="a sampled answer"))


def value_of(s):
    if "enum" in s:
        return s["enum"][0]
    if "oneOf" in s:
        return s["oneOf"][0]["const"]
    kinds = {"email": "a@example.com", "date": "2026-08-01",
             "date-time": "2026-08-01T00:00:00Z",
             "uri": "http://example.com/"}
    if s.get("type") == "string":
        return kinds.get(s.get("format"), "ann")
    if s.get("type") == "boolean":
        return True
    if s.get("type") == "array":
        items = s.get("items", {})
        return [(items.get("enum") or
                 [x["const"] for x in items.get("anyOf", [])] or ["x"])[0]]
    return s.get("minimum", 5)


async def elicitation(_context, params):
    asked.append("elicitation")
    schema = getattr(params, "requested_schema", None) or {}
    return types.ElicitResult(action="accept", content={
        k: value_of(s) for k, s in schema.get("properties", {}).items()})


async def on_message(message):
    if "resources/updated" in repr(message) or \
            "ResourceUpdated" in type(message).__name__:
        updated.set()


def text(result):
    s = "\n".join(getattr(c, "text", "") for c in result.content)
    if result.is_error:
        raise AssertionError("the tool failed: " + s)
    return s


def holds(s, part):
    if part not in s:
        raise AssertionError(f"{part!r} is not in: {s[:200]}")


async def op_list(c, w):
    names = [t.name for t in (await c.list_tools()).tools]
    for n in w["tools"]:
        if n not in names:
            raise AssertionError(f"no tool {n}")


async def op_call(c, w):
    holds(text(await c.call_tool(w["tool"], w.get("arguments", {}))),
          w["text"])


async def op_progress(c, w):
    seen = []

    async def note(*args):
        seen.append(args)
    text(await c.call_tool(w["tool"], w.get("arguments", {}),
                           progress_callback=note))
    if len(seen) < 2:
        raise AssertionError(f"progress came {len(seen)} times")


async def op_cancel(c, w):
    begun = asyncio.Event()

    async def note(*_):
        begun.set()
    task = asyncio.create_task(c.call_tool(
        w["tool"], w.get("arguments", {}), progress_callback=note))
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(begun.wait(), 1.5)
    task.cancel()
    try:
        await asyncio.wait_for(task, 5)
        raise AssertionError("answered")
    except asyncio.CancelledError:
        pass
    await op_call(c, what["call"])


async def op_elicitation(c, w):
    s = text(await c.call_tool(w["tool"], w.get("arguments", {})))
    if "elicitation" not in asked:
        raise AssertionError("was not asked: " + s[:150])


async def op_sampling(c, w):
    s = text(await c.call_tool(w["tool"], w.get("arguments", {})))
    if "sampling" not in asked:
        raise AssertionError("was not asked: " + s[:150])
    holds(s, "a sampled answer")


async def op_subscribe(c, w):
    updated.clear()
    if c.protocol_version >= "2026":
        async with c.listen(resource_subscriptions=[w["uri"]]) as events:
            if w.get("tool"):
                text(await c.call_tool(w["tool"], {}))

            async def first():
                async for _ in events:
                    return
            await asyncio.wait_for(first(), 12)
        return
    await c.subscribe_resource(w["uri"])
    if w.get("tool"):
        text(await c.call_tool(w["tool"], {}))
    await asyncio.wait_for(updated.wait(), 12)


def reason(e):
    while isinstance(e, BaseExceptionGroup):
        e = e.exceptions[0]
    return (str(e) or type(e).__name__)[:300]


async def main():
    out = {}
    headers = {"Authorization": f"Bearer {os.environ['KEY']}"} \
        if os.environ.get("KEY") else {}
    try:
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            if transport == "stdio":
                command, *args = json.loads(target)
                t = stdio_client(StdioServerParameters(
                    command=command, args=args, env=dict(os.environ)))
            elif transport == "sse":
                t = sse_client(target, headers=headers)
            else:
                t = streamable_http_client(target, http_client=http)
            async with Client(t, mode="auto", sampling_callback=sampling,
                              elicitation_callback=elicitation,
                              message_handler=on_message) as c:
                for name, w in what.items():
                    try:
                        if w is None:
                            raise AssertionError(
                                "the server has nothing for this")
                        await asyncio.wait_for(
                            globals()["op_" + name](c, w), 30)
                        out[name] = None
                    except Exception as e:
                        out[name] = reason(e)
                print(json.dumps(out), flush=True)
                os._exit(0)
    except BaseException as e:
        for name in what:
            out.setdefault(name, "cannot connect: " + reason(e))
    print(json.dumps(out), flush=True)


asyncio.run(main())
