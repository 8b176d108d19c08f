"""Servers that others wrote stand behind the gateway, all at once in one catalogue, and clients that others wrote call
them through it, in both eras, over HTTP and over standard input and output.

What each server does without the gateway, seen by one of the SDKs, is what every SDK has to see through it.

    upstreams.py                the servers alone, then behind the appliance
    upstreams.py --alone        the servers alone
"""

import contextlib
import json
import os
import pathlib
import shlex
import socket
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "support"))
from appliance import BINARY, NODE, PYTHON, TOOLS, Appliance, Tally, clean_environment, free_port  # noqa: E402

SERVERS = TOOLS / "node_modules" / "@modelcontextprotocol"
EVERYTHING = [NODE, str(SERVERS / "server-everything" / "dist" / "index.js")]
FILES = [NODE, str(SERVERS / "server-filesystem" / "dist" / "index.js")]
TIME = [PYTHON, "-m", "mcp_server_time"]
MODERN = "2026-07-28"
CLIENT_SECONDS_MAX = 120
START_SECONDS_MAX = 30

SDKS = {
    "TypeScript sdk 1.32": ([NODE, str(TOOLS / "features-v1.mjs")], ["legacy"]),
    "TypeScript client 2.4": ([NODE, str(TOOLS / "features-v2.mjs")], ["legacy", MODERN]),
    "Python mcp 2.3": ([PYTHON, str(HERE / "features_sdk.py")], ["legacy", MODERN]),
}
# The same server three times: over stdio, streamable HTTP, and the transport of 2024-11-05.
EVERYTHINGS = ["everything", "everything-http", "everything-sse"]


@contextlib.contextmanager
def running(command, port):
    """A server of somebody else's on this port of loopback."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | {"PORT": str(port)}
        )
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                socket.create_connection(("localhost", port), 1).close()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    process.kill()
                    log.seek(0)
                    raise RuntimeError(f"{command}: not ready: {log.read()[-3000:]}") from None
                time.sleep(0.05)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def observe(sdk, target, era, upstreams):
    """What an SDK sees of these servers; an error where it does not come to its end."""
    command = [*SDKS[sdk][0], json.dumps(target), json.dumps(era), json.dumps(upstreams)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=CLIENT_SECONDS_MAX, stdin=subprocess.DEVNULL
        )
        return json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        return {"the client": {"error": str(error)}}
    except (json.JSONDecodeError, IndexError):
        return {"the client": {"error": (done.stdout + done.stderr)[-3000:]}}


def alone(tally, file):
    """What the servers do without us, and the names of their tools."""
    commands = {
        "everything": [*EVERYTHING, "stdio"],
        "files": [*FILES, str(file.parent)],
        "time": TIME,
    }
    reference, tools = {}, {}
    for server, command in commands.items():
        upstreams = {"servers": [server], "prefixes": [""], "file": str(file)}
        seen = observe("TypeScript sdk 1.32", {"command": command}, "legacy", upstreams)
        tools[server] = seen.pop("tools", [])
        is_good = server in seen and not any("error" in one for one in seen.values())
        tally.check(f"{server}: works alone", is_good and len(tools[server]) > 1, json.dumps(seen))
        reference |= seen
    return reference, tools


def expected(reference, tools):
    """The same through the gateway: where three servers have the same names, theirs stand before them."""
    names = [f"{server}__{tool}" for server in EVERYTHINGS for tool in tools["everything"]]
    wanted = {"tools": sorted([*names, *tools["files"], *tools["time"]])}
    for server in EVERYTHINGS:
        wanted |= {f"{server}__{feature}": reference[feature] for feature in ("everything", "questions")}
    return wanted | {"files": reference["files"], "time": reference["time"]}


def through(tally, what, target, file, wanted):
    prefixes = [f"{server}__" for server in EVERYTHINGS]
    upstreams = {"servers": ["everything", "files", "time"], "prefixes": prefixes, "file": str(file)}
    for sdk, (_, eras) in SDKS.items():
        for era in eras:
            seen = observe(sdk, target, era, upstreams)
            # Beside the upstreams' tools there may be some of our own.
            if isinstance(seen.get("tools"), list):
                seen["tools"] = [name for name in seen["tools"] if name in wanted["tools"]]
            for feature in sorted(wanted | seen):
                got, want = seen.get(feature), wanted.get(feature)
                evidence = f"{json.dumps(got)}\nis not\n{json.dumps(want)}\n{seen.get('the client', '')}"
                tally.check(f"{sdk}, {what}, {era}: {feature}", got == want, evidence)


def check_all(tally, is_alone=False):
    http, sse = free_port(), free_port()
    with (
        tempfile.TemporaryDirectory() as folder,
        running([*EVERYTHING, "streamableHttp"], http),
        running([*EVERYTHING, "sse"], sse),
    ):
        file = pathlib.Path(folder).resolve() / "shared" / "note.txt"
        file.parent.mkdir()
        file.write_text('Grüße, "☃"\n')
        reference, tools = alone(tally, file)
        if is_alone or len(reference) < 4:
            return
        places = {
            "everything": f"stdio:{shlex.join([*EVERYTHING, 'stdio'])}",
            "everything-http": f"http://localhost:{http}/mcp",
            "everything-sse": f"http://localhost:{sse}/sse",
            "files": f"stdio:{shlex.join([*FILES, str(file.parent)])}",
            "time": f"stdio:{shlex.join(TIME)}",
        }
        flags = [word for name, place in places.items() for word in ("--upstream", f"{name}={place}")]
        wanted = expected(reference, tools)
        with Appliance(*flags) as appliance:
            appliance.wait_for(*(f"{name}__echo" for name in EVERYTHINGS), "read_text_file", "convert_time")
            through(tally, "HTTP", {"url": appliance.url}, file, wanted)
        tally.check("the gateway drains and exits with 0", appliance.exit_code == 0)
        environment = [f"{name}={value}" for name, value in clean_environment(folder).items()]
        through(tally, "stdio", {"command": ["env", *environment, BINARY, "stdio", *flags]}, file, wanted)


def main():
    tally = Tally("upstreams")
    try:
        check_all(tally, "--alone" in sys.argv)
    except Exception:  # one answer that nobody expected must not hide the count
        tally.check("the checks run to their end", False, traceback.format_exc())
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
