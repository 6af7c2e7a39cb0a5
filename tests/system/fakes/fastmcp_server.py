"""Ten lines of FastMCP, as somebody would write them:
fastmcp_server.py PORT [http|sse]"""
import sys

from fastmcp import FastMCP

mcp = FastMCP("weather")


@mcp.tool
def forecast(city: str, days: int = 1) -> str:
    """The weather in a city."""
    return f"{city}: sunny for {days} days"


mcp.run(transport=sys.argv[2] if len(sys.argv) > 2 else "http",
        host="127.0.0.1", port=int(sys.argv[1]), show_banner=False)
