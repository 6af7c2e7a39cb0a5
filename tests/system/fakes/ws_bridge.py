"""A stdio server behind WebSocket: ws_bridge.py PORT COMMAND [ARG...]

One process a connection; each line of it is a text message. Spoken by the
websockets package. On the path /break the connection is closed after the
first answer of tools/call.
"""
import asyncio
import contextlib
import json
import sys

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

LINE_MAX = 64 << 20


async def to_process(ws, p):
    async for message in ws:
        p.stdin.write(message.encode() + b"\n")
        await p.stdin.drain()
    p.stdin.close()


async def to_client(ws, p, breaks):
    while line := await p.stdout.readline():
        await ws.send(line.decode().rstrip("\n"))
        if breaks and "content" in json.loads(line).get("result", {}):
            await ws.close(1012, "restarting")
            return


async def bridge(ws):
    p = await asyncio.create_subprocess_exec(
        *sys.argv[2:], stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, limit=LINE_MAX)
    jobs = [asyncio.create_task(to_process(ws, p)),
            asyncio.create_task(to_client(ws, p, ws.request.path == "/break"))]
    with contextlib.suppress(ConnectionClosed):
        await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
    for job in jobs:
        job.cancel()
    with contextlib.suppress(ProcessLookupError):
        p.kill()
    await p.wait()


async def main():
    async with serve(bridge, "127.0.0.1", int(sys.argv[1]),
                     subprotocols=["mcp"], max_size=LINE_MAX):
        await asyncio.get_running_loop().create_future()


asyncio.run(main())
