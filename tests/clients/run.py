"""Clients that others wrote list and call the demo tools: the two TypeScript SDKs, the Python SDK, the
Inspector's command line, and curl; over HTTP and over standard input and output; in each era they know.

Plain HTTP from this program gives the reference: which tools there are, what arguments their schemas allow, and
what they answer. Every client must list the same tools and get the same answers.

All else that MCP offers is in `features.py`, and the same clients before servers that others wrote, with the gateway between
them, in `upstreams.py`; both run after this.
"""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "support"))
sys.path.insert(0, str(HERE))
import features  # noqa: E402
import upstreams  # noqa: E402
from appliance import BINARY, NODE, PYTHON, TOOLS, Appliance, Tally, clean_environment  # noqa: E402
from modern import MODERN, modern_headers, modern_request, post  # noqa: E402

CLIENT_SECONDS_MAX = 60
TEXT = "Grüße, \"☃\" \\ 𝄞\n\tend"
INSPECTOR = TOOLS / "node_modules" / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"

# What runs it, the eras it knows, and the revision that must come out of each.
SDKS = {
    "TypeScript sdk 1.32": ([NODE, str(TOOLS / "sdk-v1.mjs")], {"legacy": "2025-11-25"}),
    "TypeScript client 2.4": (
        [NODE, str(TOOLS / "sdk-v2.mjs")],
        {"legacy": "2025-11-25", "auto": MODERN, MODERN: MODERN},
    ),
    "Python mcp 2.3": ([PYTHON, str(HERE / "sdk.py")], {"legacy": "2025-11-25", "auto": MODERN, MODERN: MODERN}),
}


def sample(schema):
    """A value that the schema allows; strings are the awkward TEXT, so that escaping is tried everywhere."""
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][-1]
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return sample(schema[choice][-1])
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: sample(value) for name, value in schema.get("properties", {}).items()}
    if kind == "array" and "prefixItems" in schema:
        return [sample(item) for item in schema["prefixItems"]]
    if kind == "array":
        return [sample(schema.get("items", {"type": "string"}))]
    if kind == "string":
        return "é" if schema.get("maxLength") == 1 or "codepoint" in schema.get("description", "") else TEXT
    if kind in ("integer", "number"):
        return schema.get("minimum", 7)
    return {"boolean": True}.get(kind)


def essence(result):
    """What of a result must be the same for every client."""
    return {
        "content": [{key: block.get(key) for key in ("type", "text")} for block in result.get("content", [])],
        "structured": result.get("structuredContent"),
        "error": bool(result.get("isError")),
    }


def run_client(tally, what, command, target, era, version, tools, calls, expected):
    arguments = [json.dumps(value) for value in (target, era, calls)]
    try:
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, stdin=subprocess.DEVNULL
        )
        said = json.loads(done.stdout.strip().splitlines()[-1])
    except (subprocess.TimeoutExpired, json.JSONDecodeError, IndexError) as error:
        output = done.stdout + done.stderr if isinstance(error, (IndexError, json.JSONDecodeError)) else str(error)
        tally.check(what, False, output[-3000:])
        return
    tally.check(f"{what}: agrees on {version}", said["version"] in (version, None), said["version"])
    tally.check(f"{what}: ends well", done.returncode == 0, done.stderr[-2000:])
    tally.check(f"{what}: lists the tools", sorted(said["tools"]) == sorted(tools), said["tools"])
    for call, result, wanted in zip(calls, said["results"], expected):
        tally.check(f"{what}: calls {call['name']}", same(call, essence(result), wanted), f"{result}\nnot {wanted}")


def same(call, got, wanted):
    """Answers that tell the time differ from call to call; all others may not."""
    if "time" in call["name"] or "clock" in call["name"]:
        return not got["error"] and bool(got["content"])
    return got == wanted


def run_inspector(tally, what, target, era, tools, calls, expected):
    def ask(*arguments):
        command = [NODE, str(INSPECTOR), "--cli", *target, "--protocol-era", era, "--format", "json", "-q", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, stdin=subprocess.DEVNULL
        )
        try:
            said = json.loads(done.stdout)
        except json.JSONDecodeError:
            said = {}
        return said.get("result", said), (done.stdout + done.stderr)[-3000:]

    said, output = ask("--method", "tools/list")
    tally.check(f"{what}: lists the tools", sorted(tool["name"] for tool in said.get("tools", [])) == sorted(tools), output)
    for call, wanted in zip(calls, expected):
        arguments = ["--tool-name", call["name"], "--tool-args-json", json.dumps(call["arguments"])]
        said, output = ask("--method", "tools/call", *arguments)
        tally.check(f"{what}: calls {call['name']}", same(call, essence(said), wanted), output)


def run_curl(tally, url, calls, expected):
    """The line a person would type."""
    for call, wanted in zip(calls, expected):
        headers = modern_headers("tools/call", call)
        command = ["curl", "-sS", "--max-time", "10", url, "--data-binary", "@-"]
        for name, value in headers.items():
            command += ["-H", f"{name}: {value}"]
        body = json.dumps(modern_request("tools/call", call))
        done = subprocess.run(command, capture_output=True, text=True, input=body)
        try:
            result = json.loads(done.stdout)["result"]
        except (json.JSONDecodeError, KeyError):
            result = {"isError": True}
        tally.check(f"curl: calls {call['name']}", same(call, essence(result), wanted), done.stdout + done.stderr)


def main():
    for script in HERE.glob("*.mjs"):  # a module looks for its imports beside itself
        shutil.copy(script, TOOLS / script.name)
    tally, url = Tally("clients"), sys.argv[1] if len(sys.argv) > 1 else None
    for checks in [check_all] if url else [check_all, features.check_all, lambda tally, _: upstreams.check_all(tally)]:
        try:
            checks(tally, url)
        except Exception:  # one answer that nobody expected must not hide the count
            tally.check("the checks run to their end", False, traceback.format_exc())
    return tally.close()


def check_all(tally, url):
    with Appliance() if url is None else NoAppliance(url) as appliance:
        listed = post(appliance.url, "tools/list", {})["tools"]
        tools = [tool["name"] for tool in listed]
        echo = next((name for name in tools if name.split("_")[-1] == "echo"), None)
        tally.check("the demo has an echo tool", echo is not None, tools)
        calls = [{"name": tool["name"], "arguments": sample(tool["inputSchema"])} for tool in listed]
        expected = [essence(post(appliance.url, "tools/call", call)) for call in calls]
        for call, wanted in zip(calls, expected):
            tally.check(f"plain HTTP: calls {call['name']}", not wanted["error"], f"{call}\n{wanted}")
            if call["name"] == echo:
                tally.check("echo gives back the very text", wanted["content"][0]["text"] == TEXT, wanted)
        run_curl(tally, appliance.url, calls, expected)
        for name, (command, eras) in SDKS.items():
            for era, version in eras.items():
                what = f"{name}, HTTP, {era}"
                run_client(tally, what, command, {"url": appliance.url}, era, version, tools, calls, expected)
        for era in ("legacy", "modern"):
            target = ["--server-url", appliance.url, "--transport", "http"]
            run_inspector(tally, f"Inspector, HTTP, {era}", target, era, tools, calls, expected)
    if url is None:
        tally.check("the appliance drains and exits with 0", appliance.exit_code == 0)
        with tempfile.TemporaryDirectory() as folder:
            over_stdio(tally, tools, calls, expected, folder)


def over_stdio(tally, tools, calls, expected, folder):
    # The clients start the appliance themselves, some with an environment of their own making.
    command = ["env", *(f"{name}={value}" for name, value in clean_environment(folder).items()), BINARY, "stdio"]
    for name, (client, eras) in SDKS.items():
        for era, version in eras.items():
            what = f"{name}, stdio, {era}"
            run_client(tally, what, client, {"command": command}, era, version, tools, calls, expected)
    for era in ("legacy", "modern"):
        run_inspector(tally, f"Inspector, stdio, {era}", command, era, tools, calls, expected)


class NoAppliance:
    """A server that somebody else runs."""

    def __init__(self, url):
        self.url = url

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


if __name__ == "__main__":
    sys.exit(main())
