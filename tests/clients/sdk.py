"""The Python SDK. Arguments: the target, the era ("legacy", "auto", "2026-07-28"), the calls; all JSON.

Prints one line of JSON: the revision agreed on, the tools listed, the results.
"""

import asyncio
import json
import sys

from mcp import Client, StdioServerParameters


async def main():
    target, era, calls = (json.loads(text) for text in sys.argv[1:])
    if "url" in target:
        server = target["url"]
    else:
        server = StdioServerParameters(command=target["command"][0], args=target["command"][1:])
    async with Client(server, mode=era) as client:
        listed = await client.list_tools()
        results = [await client.call_tool(call["name"], call["arguments"]) for call in calls]
        print(json.dumps({
            "version": client.protocol_version,
            "tools": [tool.name for tool in listed.tools],
            "results": [result.model_dump(mode="json", by_alias=True, exclude_none=True) for result in results],
        }))


asyncio.run(main())
