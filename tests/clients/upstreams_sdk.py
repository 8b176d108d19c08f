"""What the Python SDK does with servers that others wrote, alone or behind the gateway: `upstreams.py` compares."""

import asyncio
import functools
import json

from mcp import MCPError

TEXT = 'Grüße, "☃" \\ 𝄞'


def features_of(upstreams):
    """`servers` says which there are, `prefixes` what stands before the names of the first kind, `file` what can be read."""
    features = {"tools": tools}
    if "everything" in upstreams["servers"]:
        for prefix in upstreams["prefixes"]:
            features[f"{prefix}everything"] = functools.partial(everything, prefix=prefix)
            features[f"{prefix}questions"] = functools.partial(questions, prefix=prefix)
    if "files" in upstreams["servers"]:
        features["files"] = functools.partial(files, file=upstreams["file"])
    if "time" in upstreams["servers"]:
        features["time"] = time
    return features


async def tools(peer):
    names, cursor = [], None
    while True:
        page = await peer.client.list_tools(cursor=cursor)
        names += [tool.name for tool in page.tools]
        cursor = page.next_cursor
        if cursor is None:
            return sorted(names)


async def refused(call):
    try:
        return (await call).is_error
    except MCPError:
        return True


async def everything(peer, prefix):
    # As in upstreams.mjs: the server asks for roots a moment after its handshake.
    await asyncio.sleep(0.6)
    values = []

    async def note(progress, total, _message):
        values.append([progress, total])

    def text(name, arguments=None, **options):
        return peer.text(prefix + name, arguments, **options)

    long = await text("trigger-long-running-operation", {"duration": 0.3, "steps": 3}, progress_callback=note)
    image = await peer.call(f"{prefix}get-tiny-image")
    structured = await peer.call(f"{prefix}get-structured-content", {"location": "New York"})
    prompt = await peer.client.get_prompt(f"{prefix}args-prompt", {"city": "Bern"})
    resource = await peer.client.read_resource("demo://resource/static/document/features.md")
    templated = await peer.client.read_resource("demo://resource/dynamic/text/7")
    return {
        "echo": await text("echo", {"message": TEXT}),
        "sum": await text("get-sum", {"a": 2, "b": 40}),
        "refused": await refused(peer.call(f"{prefix}get-sum", {"a": "two"})),
        "progress": {"text": long, "values": values[:2]},  # the last may be overtaken by the answer
        "image": [block.type for block in image.content],
        "structured": structured.structured_content,
        "prompt": prompt.messages[0].content.text,
        "resource": resource.contents[0].text[:20],
        "templated": templated.contents[0].text[:10],
    }


async def questions(peer, prefix):
    """The server has these tools only for clients that can be asked."""
    return {
        "sampling": await peer.text(f"{prefix}trigger-sampling-request", {"prompt": "Say it", "maxTokens": 7}),
        "elicitation": await peer.text(f"{prefix}trigger-elicitation-request"),
    }


async def files(peer, file):
    missing = await peer.call("read_text_file", {"path": f"{file}.none"})
    return {
        "text": await peer.text("read_text_file", {"path": file}),
        "size": (await peer.text("get_file_info", {"path": file})).split("\n")[0],
        "missing": missing.is_error,
    }


async def time(peer):
    arguments = {"source_timezone": "Europe/Berlin", "time": "12:00", "target_timezone": "Asia/Tokyo"}
    return {"difference": json.loads(await peer.text("convert_time", arguments))["time_difference"]}
