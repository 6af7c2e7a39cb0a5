"""FastMCP with its own tasks extension (fastmcp-tasks):
fastmcp_tasks_server.py PORT|stdio"""
import asyncio
import sys
from datetime import timedelta

import mcp_types as types
from fastmcp import Context, FastMCP
from fastmcp.utilities.tasks import TaskConfig
from fastmcp_tasks import TasksExtension

mcp = FastMCP("research")
mcp.add_extension(TasksExtension(url="memory://"))


@mcp.tool(task=TaskConfig(poll_interval=timedelta(milliseconds=100)))
async def research(topic: str, ctx: Context, ask: bool = False,
                   fail: bool = False, seconds: float = 0.3):
    """Takes a while."""
    if ask and ctx.input_responses is None:
        return types.InputRequiredResult(input_requests={
            "which": types.ElicitRequest(params=types.ElicitRequestFormParams(
                message="which one?", requested_schema={
                    "type": "object",
                    "properties": {"which": {"type": "string"}}}))})
    await asyncio.sleep(seconds)
    if fail:
        raise ValueError("nothing found")
    which = ctx.input_responses["which"].content["which"] if ask else "any"
    return f"{topic}: {which}"


@mcp.tool
def plain() -> str:
    """Needs no task."""
    return "plain"


if sys.argv[1] == "stdio":
    mcp.run(transport="stdio", show_banner=False)
else:
    mcp.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]),
            show_banner=False)
