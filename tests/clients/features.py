"""Clients that others wrote use all that MCP offers: progress, log messages, questions of each kind, resources and
their changes, prompts, completion, cancellation, resumption, tasks; over HTTP and over standard input and output.

The server is the conformance component. Each client's program prints what it observed; what that has to be stands
here, once for all of them.

    features.py                 the appliance serves the component
    features.py URL             a server that somebody else runs, with the names of the component
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "support"))
from appliance import (  # noqa: E402
    BINARY, CONFORMANCE_COMPONENT, NODE, PYTHON, TOOLS, Appliance, Tally, clean_environment,
)

CLIENT_SECONDS_MAX = 120
# Nothing that was given up may still be running when the clients have gone: the longest call would take 25.
DRAIN_SECONDS_MAX = 10
INSPECTOR = TOOLS / "node_modules" / "@modelcontextprotocol" / "inspector" / "clients" / "launcher" / "build" / "index.js"
MODERN = "2026-07-28"

SDKS = {
    "TypeScript sdk 1.32": ([NODE, str(TOOLS / "features-v1.mjs")], ["legacy"]),
    "TypeScript client 2.4": ([NODE, str(TOOLS / "features-v2.mjs")], ["legacy", MODERN]),
    "Python mcp 2.3": ([PYTHON, str(HERE / "features_sdk.py")], ["legacy", MODERN]),
}

NAME, COLOR = 'action=accept, content={"name":"Ada"}', 'action=accept, content={"color":"green"}'
PROMPTS = ["simple_prompt", "prompt_with_arguments", "prompt_with_embedded_resource", "prompt_with_image"]
RESOURCES = ["test://static-binary", "test://static-text", "test://watched-resource"]
# What a server in a session asks while the call waits, and a modern one asks between two runs of the call.
LEGACY_ONLY = {
    "several rounds": f"Run 1: {NAME}; {COLOR}",
    "state": 'no earlier run: action=accept, content={"ok":true}',
    "undeclared": {"isError": True, "names": True},
}
MODERN_ONLY = {
    "several rounds": f"Run 3: {NAME}; {COLOR}",
    "state": 'state-ok: action=accept, content={"ok":true}',
    "undeclared": {"code": -32021, "names": True},
}
EXPECTED = {
    "progress": {
        "text": "The work is done",
        "values": [[0, 100, "Begun"], [50, 100, "Half way"], [100, 100, "Done"]],
    },
    "log": ["warning", "error", "critical", "alert", "emergency"],
    "elicitation": ["Hello, Ada!", "Nobody to greet (action=decline, content=none)"],
    "choices": "Elicitation completed: action=accept, "
    'content={"untitledSingle":"option2","titledMulti":["value1","value3"]}',
    "page": "Elicitation completed: action=accept, content=none",
    "sampling": "LLM response: You said: Say it",
    "roots": "2 roots: file:///a, file:///b",
    "several at once": f"{NAME}; You said: Generate a greeting; 2 roots: file:///a, file:///b",
    "resources": {
        "listed": RESOURCES,
        "templates": ["test://template/{id}/data"],
        "text": "This is the content of the static text resource.",
        "binary": "PNG",
        "templated": "7",
        "unknown": -32602,
    },
    "changes": {"during": ["prompts", "resources", "test://watched-resource", "tools"], "after": []},
    "prompts": {
        "listed": sorted(["test_input_required_result_prompt", *(f"test_{name}" for name in PROMPTS)]),
        "filled": "Prompt with arguments: arg1='one', arg2='two'",
        "picture": ["image", "text"],
        "asking": "Answer with this in mind: rain",
        "missing": -32602,
    },
    "completion": {"word": ["paris", "park", "party"], "number": [100, 1000, True]},
    "headers": {"region": "Zürich", "limit": 7},
    "cancellation": {"outcome": "given up", "soon": True, "next": "Hello, Ada!"},
}
# Over HTTP and in a session: the stream of a call ends before its answer.
RESUMED = {
    "reconnection": {"text": "Reconnection test completed: the answer came over another stream", "values": [1, 2]},
}
# What only the first of the SDKs does.
RESUMED_V1 = {
    "a cut stream": {"isCut": True, "text": "cut: done after 1s", "grows": True, "last": 1},
    "resumption": {"first": "lost", "text": "resumed: done after 2s", "more": True, "grows": True, "last": 2},
}
TASKS_V1 = {
    "tasks": {
        "created": "taskCreated",
        "computed": "sum: done after 500ms",
        "confirmed": "notes.txt is deleted",
        "failed": ["error", "error: The job failed, as it always does"],
        "broken": "error",
        "cancelled": "cancelled",
        "listed": True,
    },
}


def expected(sdk, era, is_http):
    wanted = EXPECTED | (MODERN_ONLY if era == MODERN else LEGACY_ONLY)
    if era != MODERN and sdk != "TypeScript client 2.4":  # that one shows the code of the modern era in both
        wanted["resources"] = wanted["resources"] | {"unknown": -32002}
    if era != MODERN and is_http:
        wanted |= RESUMED
    if sdk == "TypeScript sdk 1.32":
        wanted |= TASKS_V1 | (RESUMED_V1 if is_http else {})
    return wanted


def run_sdk(tally, sdk, target, era):
    command, what = SDKS[sdk][0], f"{sdk}, {'HTTP' if 'url' in target else 'stdio'}, {era}"
    try:
        done = subprocess.run(
            [*command, json.dumps(target), json.dumps(era)],
            capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, stdin=subprocess.DEVNULL,
        )
        observed = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        tally.check(f"{what}: comes to its end", False, str(error))
        return
    except (json.JSONDecodeError, IndexError):
        tally.check(f"{what}: says what it observed", False, (done.stdout + done.stderr)[-3000:])
        return
    tally.check(f"{what}: ends well", done.returncode == 0, done.stderr[-2000:])
    wanted = expected(sdk, era, "url" in target)
    for feature in sorted(wanted | observed):
        got, want = observed.get(feature), wanted.get(feature)
        tally.check(f"{what}: {feature}", got == want, f"{describe(got)}\nis not {json.dumps(want)}")


def describe(got):
    return got["error"] if isinstance(got, dict) and "error" in got else json.dumps(got)


def run_inspector(tally, target, era):
    what = f"Inspector, {'HTTP' if '--server-url' in target else 'stdio'}, {era}"

    def ask(*arguments):
        command = [NODE, str(INSPECTOR), "--cli", *target, "--protocol-era", era, "--format", "json", "-q", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, stdin=subprocess.DEVNULL
        )
        try:
            said = json.loads(done.stdout)
        except json.JSONDecodeError:
            said = {"error": (done.stdout + done.stderr)[-3000:]}
        return said.get("result", said)

    def check(feature, said, holds):
        try:
            tally.check(f"{what}: {feature}", holds(said), json.dumps(said))
        except (KeyError, IndexError, TypeError):
            tally.check(f"{what}: {feature}", False, json.dumps(said))

    said = ask("--method", "resources/list")
    check("resources", said, lambda said: [resource["uri"] for resource in said["resources"]] == RESOURCES)
    said = ask("--method", "resources/templates/list")
    check("templates", said, lambda said: said["resourceTemplates"][0]["uriTemplate"] == "test://template/{id}/data")
    said = ask("--method", "resources/read", "--uri", "test://template/7/data")
    check("a templated resource", said, lambda said: json.loads(said["contents"][0]["text"])["id"] == "7")
    said = ask("--method", "prompts/list")
    check("prompts", said, lambda said: len(said["prompts"]) == len(PROMPTS) + 1)
    arguments = ["--prompt-name", "test_prompt_with_arguments", "--prompt-args", "arg1=one", "arg2=two"]
    said = ask("--method", "prompts/get", *arguments)
    wanted = EXPECTED["prompts"]["filled"]
    check("a prompt", said, lambda said: said["messages"][0]["content"]["text"] == wanted)
    said = ask("--method", "tools/call", "--tool-name", "test_multiple_content_types", "--tool-args-json", "{}")
    wanted = ["text", "image", "resource"]
    check("content of three kinds", said, lambda said: [block["type"] for block in said["content"]] == wanted)
    said = ask("--method", "tools/call", "--tool-name", "test_tool_with_progress", "--tool-args-json", "{}")
    check("a tool with progress", said, lambda said: said["content"][0]["text"] == EXPECTED["progress"]["text"])


def check_all(tally, url=None):
    if url is not None:
        over_http(tally, url)
        return
    with Appliance(CONFORMANCE_COMPONENT) as appliance:
        over_http(tally, appliance.url)
        begun = time.monotonic()
    seconds = time.monotonic() - begun
    tally.check("the appliance drains and exits with 0", appliance.exit_code == 0)
    tally.check("no call that was given up goes on", seconds < DRAIN_SECONDS_MAX, f"it drained for {seconds:.1f} s")
    with tempfile.TemporaryDirectory() as folder:
        environment = [f"{name}={value}" for name, value in clean_environment(folder).items()]
        over_stdio(tally, ["env", *environment, BINARY, "stdio", CONFORMANCE_COMPONENT])


def over_http(tally, url):
    for sdk, (_, eras) in SDKS.items():
        for era in eras:
            run_sdk(tally, sdk, {"url": url}, era)
    for era in ("legacy", "modern"):
        run_inspector(tally, ["--server-url", url, "--transport", "http"], era)


def over_stdio(tally, command):
    for sdk, (_, eras) in SDKS.items():
        for era in eras:
            run_sdk(tally, sdk, {"command": command}, era)
    for era in ("legacy", "modern"):
        run_inspector(tally, command, era)


def main():
    tally = Tally("features")
    try:
        check_all(tally, sys.argv[1] if len(sys.argv) > 1 else None)
    except Exception:  # one answer that nobody expected must not hide the count
        tally.check("the checks run to their end", False, traceback.format_exc())
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
