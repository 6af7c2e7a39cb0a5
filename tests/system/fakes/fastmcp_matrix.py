"""FastMCP with what a tool can do in the middle of a call:
fastmcp_matrix.py PORT|stdio"""
import asyncio
import sys

import mcp_types as types
from fastmcp import Context, FastMCP

mcp = FastMCP("matrix")


@mcp.tool
def echo(message: str) -> str:
    return message


@mcp.tool
async def slow(ms: int, ctx: Context) -> str:
    for t in range(0, ms, 100):
        await ctx.report_progress(t, ms)
        await asyncio.sleep(0.1)
    return f"slept {ms} ms"


def is_modern(ctx):
    return ctx._is_modern_protocol()    # FastMCP's own way to know


@mcp.tool
async def ask(ctx: Context):
    """In both eras, each in its own way."""
    if not is_modern(ctx):
        answer = await ctx.elicit("who?", response_type=str)
        return f"{answer.action} {getattr(answer, 'data', '')}"
    if ctx.input_responses is None:
        return types.InputRequiredResult(input_requests={
            "who": types.ElicitRequest(params=types.ElicitRequestFormParams(
                message="who?", requested_schema={
                    "type": "object",
                    "properties": {"name": {"type": "string"}}}))})
    answer = ctx.input_responses["who"]
    return f"{answer.action} {answer.content}"


QUESTION = [types.SamplingMessage(role="user", content=types.TextContent(
    type="text", text="say"))]


@mcp.tool
async def sample(ctx: Context):
    if not is_modern(ctx):
        answer = await ctx.session.create_message(QUESTION, max_tokens=10)
        return answer.content.text
    if ctx.input_responses is None:
        return types.InputRequiredResult(input_requests={
            "it": types.CreateMessageRequest(
                params=types.CreateMessageRequestParams(
                    messages=QUESTION, max_tokens=10))})
    return ctx.input_responses["it"].content.text


@mcp.tool
async def elicit(ctx: Context) -> str:
    """As most write it: for the legacy era only."""
    answer = await ctx.elicit("who?", response_type=str)
    return f"{answer.action} {getattr(answer, 'data', '')}"


@mcp.tool
async def complete(ctx: Context) -> str:
    """Likewise."""
    answer = await ctx.session.create_message(QUESTION, max_tokens=10)
    return answer.content.text


@mcp.tool
def era(ctx: Context) -> str:
    return "modern" if is_modern(ctx) else f"legacy {ctx.session_id}"


@mcp.resource("doc://a")
def doc() -> str:
    return "a"


if sys.argv[1] == "stdio":
    mcp.run(transport="stdio", show_banner=False)
else:
    mcp.run(transport="http", host="127.0.0.1", port=int(sys.argv[1]),
            show_banner=False)
