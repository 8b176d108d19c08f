"""The features over the Python SDK. Arguments: the target, the era ("legacy", "2026-07-28"), and, where it is servers that
others wrote, which; JSON.

Prints one line of JSON: what each feature observed, or the error it met. `features.py` knows what that has to be.
"""

import asyncio
import base64
import contextlib
import json
import sys
import time
import traceback
import warnings

import anyio
import mcp_types as types
import upstreams_sdk
from mcp import Client, MCPError, StdioServerParameters

# The SDK tells that methods of the legacy era are deprecated; that era is what is tried here.
warnings.simplefilter("ignore")

TARGET, ERA, *UPSTREAMS = (json.loads(text) for text in sys.argv[1:])
IS_MODERN = ERA != "legacy"
WATCHED = "test://watched-resource"
LOG_LEVEL = "io.modelcontextprotocol/logLevel"
# The person fills in forms by the names of their fields, unless told to decline.
ANSWERS = {
    "name": "Ada", "color": "green", "ok": True, "context": "rain", "confirm": True,
    "untitledSingle": "option2", "titledMulti": ["value1", "value3"],
}


class Peer:
    """A client, what was said to it, and how its person behaves."""

    def __init__(self):
        self.levels, self.heard, self.declines = [], set(), False
        server = TARGET.get("url") or StdioServerParameters(command=TARGET["command"][0], args=TARGET["command"][1:])
        self.client = Client(
            server,
            mode=ERA,
            elicitation_callback=self.elicit,
            sampling_callback=self.sample,
            list_roots_callback=self.list_roots,
            logging_callback=self.hear_log,
            message_handler=self.hear,
        )

    async def elicit(self, _context, params):
        if self.declines:
            return types.ElicitResult(action="decline")
        if isinstance(params, types.ElicitRequestURLParams):
            is_known = str(params.url) == "https://example.com/sign-in"
            return types.ElicitResult(action="accept" if is_known else "cancel")
        content = {name: ANSWERS[name] for name in params.requested_schema["properties"] if name in ANSWERS}
        return types.ElicitResult(action="accept", content=content)

    async def sample(self, _context, params):
        content = params.messages[0].content
        content = content[0] if isinstance(content, list) else content
        answer = types.TextContent(type="text", text=f"You said: {content.text}")
        return types.CreateMessageResult(role="assistant", model="echo", content=answer)

    async def list_roots(self, _context):
        return types.ListRootsResult(roots=[types.Root(uri="file:///a", name="A"), types.Root(uri="file:///b")])

    async def hear_log(self, params):
        self.levels.append(params.level)

    async def hear(self, message):
        if isinstance(message, types.ResourceUpdatedNotification):
            self.heard.add(str(message.params.uri))
        for kind, notification in {
            "tools": types.ToolListChangedNotification,
            "prompts": types.PromptListChangedNotification,
            "resources": types.ResourceListChangedNotification,
        }.items():
            if isinstance(message, notification):
                self.heard.add(kind)

    async def call(self, name, arguments=None, **options):
        return await self.client.call_tool(name, arguments or {}, **options)

    async def text(self, name, arguments=None, **options):
        return text_of(await self.call(name, arguments, **options))


def text_of(result):
    return f"error: {result.content[0].text}" if result.is_error else result.content[0].text


async def code_of(refused):
    """The code of the error that an awaitable ends with."""
    try:
        return f"an answer: {await refused}"
    except MCPError as error:
        return error.code


async def progress(peer):
    values = []

    async def note(progress, total, message):
        values.append([progress, total, message])

    return {"text": await peer.text("test_tool_with_progress", progress_callback=note), "values": values}


async def log(peer):
    if not IS_MODERN:
        await peer.client.set_logging_level("warning")
    await peer.call("test_logging_tool", meta={LOG_LEVEL: "warning"} if IS_MODERN else None)
    await anyio.sleep(0.1)
    return peer.levels


async def elicitation(peer):
    answered = await peer.text("test_input_required_result_elicitation")
    peer.declines = True
    declined = await peer.text("test_input_required_result_elicitation")
    peer.declines = False
    return [answered, declined]


async def resources(peer):
    client = peer.client
    listed, templates = await client.list_resources(), await client.list_resource_templates()
    text, binary = await client.read_resource("test://static-text"), await client.read_resource("test://static-binary")
    templated = await client.read_resource("test://template/7/data")
    return {
        "listed": [str(resource.uri) for resource in listed.resources],
        "templates": [template.uri_template for template in templates.resource_templates],
        "text": text.contents[0].text,
        "binary": base64.b64decode(binary.contents[0].blob)[1:4].decode(),
        "templated": json.loads(templated.contents[0].text)["id"],
        "unknown": await code_of(client.read_resource("test://unknown")),
    }


async def changes(peer):
    """What is heard while somebody listens, and after."""
    async with contextlib.AsyncExitStack() as listening:
        if IS_MODERN:
            await listening.enter_async_context(peer.client.listen(
                tools_list_changed=True, prompts_list_changed=True, resources_list_changed=True,
                resource_subscriptions=[WATCHED],
            ))
        else:
            await peer.client.subscribe_resource(WATCHED)
            listening.push_async_callback(peer.client.unsubscribe_resource, WATCHED)
        await anyio.sleep(0.2)  # the legacy client opens its stream in the background
        await peer.call("test_trigger_resource_change", {"uri": "test://static-text"})  # nobody asked for this one
        for what in ("resource_change", "tool_change", "prompt_change", "resource_list_change"):
            await peer.call(f"test_trigger_{what}")
        with anyio.move_on_after(5):
            while len(peer.heard) < 4:
                await anyio.sleep(0.05)
        during = sorted(peer.heard)
    await anyio.sleep(0.2)  # the modern client gives its stream up in the background
    peer.heard.clear()
    await peer.call("test_trigger_resource_change")
    await anyio.sleep(0.3)
    return {"during": during, "after": sorted(peer.heard)}


async def prompts(peer):
    client = peer.client
    listed = await client.list_prompts()
    filled = await client.get_prompt("test_prompt_with_arguments", {"arg1": "one", "arg2": "two"})
    picture = await client.get_prompt("test_prompt_with_image")
    asking = await client.get_prompt("test_input_required_result_prompt")
    return {
        "listed": sorted(prompt.name for prompt in listed.prompts),
        "filled": filled.messages[0].content.text,
        "picture": [message.content.type for message in picture.messages],
        "asking": asking.messages[0].content.text,
        "missing": await code_of(client.get_prompt("test_prompt_with_arguments", {"arg1": "one"})),
    }


async def completion(peer):
    prompt = types.PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
    word = await peer.client.complete(prompt, {"name": "arg1", "value": "pa"})
    template = types.ResourceTemplateReference(type="ref/resource", uri="test://template/{id}/data")
    number = (await peer.client.complete(template, {"name": "id", "value": ""})).completion
    return {"word": word.completion.values, "number": [len(number.values), number.total, number.has_more]}


async def headers(peer):
    """A client of the modern era repeats these arguments in headers, once it has seen the tool's schema."""
    await peer.client.list_tools()
    return (await peer.call("test_x_mcp_header", {"region": "Zürich", "limit": 7})).structured_content


async def cancellation(peer):
    begun, outcome = time.monotonic(), "given up"
    with anyio.CancelScope() as scope:

        async def enough(*_):
            scope.cancel()

        await peer.call("slow_compute", {"seconds": 25}, progress_callback=enough)
        outcome = "answered"
    soon = time.monotonic() - begun < 10
    return {"outcome": outcome, "soon": soon, "next": await peer.text("greet", {"name": "Ada"})}


async def undeclared(_):
    server = TARGET.get("url") or StdioServerParameters(command=TARGET["command"][0], args=TARGET["command"][1:])
    async with Client(server, mode=ERA) as other:
        try:
            result = await other.call_tool("test_missing_capability", {})
        except MCPError as error:
            return {"code": error.code, "names": "sampling" in error.data["requiredCapabilities"]}
        return {"isError": result.is_error, "names": "sampling" in result.content[0].text}


async def reconnection(peer):
    """The server lets the stream go in the middle of the call; the SDK comes back for the rest."""
    values = []

    async def note(progress, *_):
        values.append(progress)

    return {"text": await peer.text("test_reconnection", progress_callback=note), "values": values}


FEATURES = {
    "progress": progress,
    "log": log,
    "elicitation": elicitation,
    "choices": lambda peer: peer.text("test_elicitation_sep1330_enums"),
    "page": lambda peer: peer.text("test_elicitation_url"),
    "sampling": lambda peer: peer.text("test_sampling", {"prompt": "Say it"}),
    "roots": lambda peer: peer.text("test_input_required_result_list_roots"),
    "several at once": lambda peer: peer.text("test_input_required_result_multiple_inputs"),
    "several rounds": lambda peer: peer.text("test_input_required_result_multi_round"),
    "state": lambda peer: peer.text("test_input_required_result_request_state"),
    "resources": resources,
    "changes": changes,
    "prompts": prompts,
    "completion": completion,
    "headers": headers,
    "cancellation": cancellation,
    "undeclared": undeclared,
} | ({"reconnection": reconnection} if "url" in TARGET and not IS_MODERN else {})


async def main():
    peer, observed = Peer(), {}
    features = upstreams_sdk.features_of(*UPSTREAMS) if UPSTREAMS else FEATURES
    async with peer.client:
        for name, feature in features.items():
            try:
                with anyio.fail_after(30):
                    observed[name] = await feature(peer)
            except Exception:  # one feature that fails must not hide the others
                observed[name] = {"error": traceback.format_exc()}
    print(json.dumps(observed))


asyncio.run(main())
