"""Gateways before the official Rust SDK's echo: margay and the crate mcp-proxy, and the echo alone where that tells more.

The gateway has core 0 for itself; the echo shares core 1 with the load. Over HTTP every gateway holds a session with its
client. On a pipe, `peer-pipe` keeps as many requests in flight as there are connections over HTTP.
"""

import json
import pathlib
import subprocess
import sys

from bench import LEGACY, LOAD_CORE, MODERN, SERVER_CORE, TARGET, Contender, Server, free_port

MCP_PROXY_VERSION = "0.6.0"
# What stands before the echo tool's name in both gateways.
UPSTREAM = "up"
TOOL = f"{UPSTREAM}__echo"
# Name, the two contenders, and what the ratio of their rates at 32 has to be.
GOALS = [
    ("margay / mcp-proxy before HTTP, req/s at 32", ("rate", 32, "margay>http legacy", "mcp-proxy>http legacy"), 2.5, "at least"),
    # 25,000 where the echo alone does 37,000.
    ("margay before a pipe / the pipe alone, req/s at 32", ("rate", 32, "margay>pipe legacy", "pipe alone"), 0.676, "at least"),
]


def build_mcp_proxy():
    """The crate as its author publishes it."""
    root = TARGET / "tools" / "mcp-proxy"
    program = root / "bin" / "mcp-proxy"
    if not program.exists():
        command = ["cargo", "install", "--locked", "--root", str(root), "--version", MCP_PROXY_VERSION, "mcp-proxy"]
        subprocess.run([*command, "--target-dir", str(TARGET / "peers" / "mcp-proxy")], check=True)
    return str(program)


def margay(program, folder, name, upstream):
    """The command of a gateway on one shard before this upstream, and its port."""
    configuration = pathlib.Path(folder) / f"{name}.yaml"
    configuration.write_text(json.dumps({"upstreams": {UPSTREAM: upstream | {"prefix": "always"}}}))  # JSON is YAML
    port, admin = free_port(), free_port()
    listen = ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--shards", "1"]
    return [program, "serve", "--config", str(configuration), *listen], port


def mcp_proxy(program, folder, url):
    port = free_port()
    configuration = pathlib.Path(folder) / "mcp-proxy.toml"
    configuration.write_text(f"""
        [proxy]
        name = "peer"
        separator = "__"
        [proxy.listen]
        host = "127.0.0.1"
        port = {port}
        [[backends]]
        name = "{UPSTREAM}"
        transport = "http"
        url = "{url}"
        [observability]
        log_level = "error"
        """)
    return [program, "--config", str(configuration)], port


class Pipe:
    """A server on a pipe, started anew for each measurement."""

    def __init__(self, name, load, command, tool):
        self.name, self.load, self.command, self.tool = name, load, command, tool

    def measure(self, connections, seconds):
        # The load starts what it calls; the server is moved to its own core.
        command = ["taskset", "-c", LOAD_CORE, self.load, str(seconds), str(connections), self.tool]
        command += ["taskset", "-c", SERVER_CORE, *self.command]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 90)
        for line in done.stdout.splitlines():
            if line.startswith("PEER "):
                requests, micros, p50, p99, wrong = (float(word) for word in line.split()[1:])
                if wrong:
                    sys.exit(f"{self.name}: {int(wrong)} wrong answers")
                row = {"rate": requests / (micros / 1e6), "p50": p50 / 1000, "p99": p99 / 1000, "errors": 0}
                return row | {"cpu": 0.0, "cpu_micros_a_request": 0.0, "resident_mb": 0.0}
        sys.exit(f"{self.name}: {done.stdout}{done.stderr}")


def before_http(programs, folder, servers, contenders):
    upstream = free_port()
    servers.append(Server("upstream", [programs["rmcp"], f"127.0.0.1:{upstream}"], upstream, folder, core=LOAD_CORE))
    url = f"http://127.0.0.1:{upstream}/mcp"
    command, port = margay(programs["margay"], folder, "margay-http", {"url": url})
    server = Server("margay>http", command, port, folder)
    servers.append(server)
    contenders += [Contender(f"margay>http {era}", server, of, TOOL) for era, of in (("legacy", LEGACY), ("modern", MODERN))]
    if "mcp-proxy" in programs:
        command, port = mcp_proxy(programs["mcp-proxy"], folder, url)
        servers.append(Server("mcp-proxy>http", command, port, folder))
        contenders.append(Contender("mcp-proxy>http legacy", servers[-1], LEGACY, TOOL, path="/"))


def before_pipe(programs, folder, servers, contenders):
    echo = [programs["rmcp"], "stdio"]
    # A gateway has its core for itself here, too: its child has the other one.
    child = {"command": "taskset", "args": ["-c", LOAD_CORE, *echo]}
    command, port = margay(programs["margay"], folder, "margay-pipe", child)
    servers.append(Server("margay>pipe", command, port, folder, with_children=False))
    contenders.append(Contender("margay>pipe legacy", servers[-1], LEGACY, TOOL))
    contenders.append(Contender("margay>pipe modern", servers[-1], MODERN, TOOL))
    # Behind `margay stdio` there is one upstream and no tool of ours: names stay as they are.
    flag = f"{UPSTREAM}=stdio:taskset -c {LOAD_CORE} {' '.join(echo)}"
    forward = ["env", f"XDG_DATA_HOME={folder}", programs["margay"], "stdio", "--upstream", flag]
    contenders.append(Pipe("pipe alone", programs["pipe"], echo, "echo"))
    contenders.append(Pipe("pipe>margay>pipe", programs["pipe"], forward, "echo"))

