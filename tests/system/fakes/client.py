"""Drives a server through the official Python SDK and prints what came.

    client.py MODE URL      MODE: legacy, auto or a modern revision

Environment and output as in client.mjs.
"""
import asyncio
import json
import os
import sys

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client


def plain(value):
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True, exclude_none=True)
    return value


async def operate(client, verb, *args):
    if verb == "tools":
        return [t.name for t in (await client.list_tools()).tools]
    if verb == "call":
        return await client.call_tool(args[0], args[1] if args[1:] else {})
    if verb == "resources":
        return [str(r.uri) for r in (await client.list_resources()).resources]
    if verb == "read":
        return await client.read_resource(args[0])
    if verb == "prompts":
        return [p.name for p in (await client.list_prompts()).prompts]
    if verb == "prompt":
        return await client.get_prompt(args[0], args[1] if args[1:] else {})
    if verb == "ping":
        return await client.send_ping()
    if verb == "abort":
        return await asyncio.wait_for(
            client.call_tool(args[0], args[1]), args[2] / 1000)
    raise ValueError(verb)


def failure(e):
    while isinstance(e, BaseExceptionGroup):
        e = e.exceptions[0]
    error = getattr(e, "error", None)
    return {"error": {"message": str(e) or type(e).__name__,
                      "code": getattr(error, "code", None), "status": None}}


async def main():
    mode, url = sys.argv[1:]
    out = []
    headers = {"Authorization": f"Bearer {os.environ['KEY']}"}
    try:
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            transport = streamable_http_client(url, http_client=http)
            async with Client(transport, mode=mode) as client:
                for verb, *args in json.loads(os.environ["OPS"]):
                    try:
                        out.append({"ok": plain(
                            await operate(client, verb, *args))})
                    except Exception as e:
                        out.append(failure(e))
    except BaseException as e:
        out.append(failure(e))
    print(json.dumps(out))


asyncio.run(main())
