"""Servers on one core, the load on the other, and what both tell."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SERVER_CORE, LOAD_CORE = "0", "1"
MODERN, LEGACY = "2026-07-28", "2025-11-25"
TEXT = "hello world"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def install(command, package):
    if shutil.which(command) or pathlib.Path("/usr/sbin", command).exists():
        return
    subprocess.run(["apt-get", "update", "-qq"], check=False)
    subprocess.run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", package], check=True)


class Server:
    """One server process, on core 0 unless told otherwise."""

    def __init__(self, name, command, port, folder, core=SERVER_CORE, with_children=True):
        self.name, self.port, self.with_children = name, port, with_children
        self.log = open(pathlib.Path(folder) / f"{name}.log", "w+b")
        started = time.monotonic()
        self.process = subprocess.Popen(
            ["taskset", "-c", core, *command], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=dict(os.environ, XDG_DATA_HOME=folder),  # only the demo tools
        )
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - started > 60:
                    self.log.seek(0)
                    sys.exit(f"{name} does not start:\n{self.log.read().decode(errors='replace')[-3000:]}")
                time.sleep(0.002)
        self.start_ms = (time.monotonic() - started) * 1000

    def pids(self):
        if not self.with_children:
            return [str(self.process.pid)]
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return [str(self.process.pid), *children]

    def resident_bytes(self):
        pages = (int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in self.pids())
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self):
        fields = (pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split() for pid in self.pids())
        return sum(int(field[11]) + int(field[12]) for field in fields) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def message_of(answer):
    """The message of an answer that is one, or that is a stream of events whose last it is."""
    data = [line[5:] for line in answer.splitlines() if line.startswith(b"data:") and line[5:].strip()]
    return data[-1] if data else answer


class Contender:
    """One way of calling one server."""

    def __init__(self, name, server, era, tool="echo", path="/mcp", tls=False):
        self.name, self.server, self.path, self.tls = name, server, path, tls
        params = {"name": tool, "arguments": {"text": TEXT}}
        self.headers = {
            "Host": f"127.0.0.1:{server.port}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": era,
        }
        if era == MODERN:
            meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
            params["_meta"] = meta
            self.headers |= {"Mcp-Method": "tools/call", "Mcp-Name": tool}
        message = {"jsonrpc": "2.0", "id": "%ID%", "method": "tools/call", "params": params}
        self.body = json.dumps(message, separators=(",", ":")).replace('"%ID%"', "%ID%")

    def connect(self):
        if not self.tls:
            return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=10)
        context = ssl.create_default_context()
        # The certificate was made a moment ago, for nobody but this run.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.server.port, timeout=10, context=context)

    def post(self, connection, body):
        connection.request("POST", self.path, body, self.headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def open_session(self):
        """A server that gives a session wants it back; one that gives none is stateless."""
        params = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "peers", "version": "1"}}
        connection = self.connect()
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        status, headers, body = self.post(connection, json.dumps(message))
        if status != 200:
            sys.exit(f"{self.name}: initialize: {status} {body!r}")
        if headers.get("Mcp-Session-Id"):
            self.headers["Mcp-Session-Id"] = headers["Mcp-Session-Id"]
            self.post(connection, json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))

    def wait_until_ready(self):
        """An upstream's tools come when it has been asked for them."""
        until = time.monotonic() + 20
        while True:
            connection = self.connect()
            status, _, answer = self.post(connection, self.body.replace("%ID%", "1"))
            if TEXT.encode() in answer:
                return
            if time.monotonic() > until:
                sys.exit(f"{self.name}: not ready: {status} {answer!r}")
            time.sleep(0.05)

    def check_answers(self, constant=False):
        """The id and the text of each answer are those of its request."""
        self.wait_until_ready()
        connection = self.connect()
        for count in range(200):
            text = f"{TEXT} {count}"
            body = self.body.replace("%ID%", str(count)).replace(TEXT, text)
            status, _, answer = self.post(connection, body)
            said = json.loads(message_of(answer))
            right = constant or (said.get("id") == count and said["result"]["content"][0]["text"] == text)
            if status != 200 or not right:
                sys.exit(f"{self.name}: a wrong answer to {body}: {status} {answer!r}")
        requests, bad = self.load(32, 1, check=True)
        if bad or not requests:
            sys.exit(f"{self.name}: {int(bad)} of {int(requests)} answers under load are wrong")

    def load(self, connections, seconds, check=False):
        environment = dict(
            os.environ, PEER_BODY=self.body, PEER_EXPECTED=f'"text":"{TEXT}"',
            PEER_HEADERS="\n".join(f"{name}: {value}" for name, value in self.headers.items()),
        )
        if check:
            environment["PEER_CHECK"] = "1"
        command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s"]
        scheme = "https" if self.tls else "http"
        command += ["-s", str(HERE / "wrk.lua"), f"{scheme}://127.0.0.1:{self.server.port}{self.path}"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + 60)
        for line in done.stdout.splitlines():
            if line.startswith("PEER "):
                return [float(word) for word in line.split()[1:]]
        sys.exit(f"wrk: {done.stdout}{done.stderr}")

    def measure(self, connections, seconds):
        self.load(connections, 1)  # warm-up
        cpu, started = self.server.cpu_seconds(), time.monotonic()
        requests, micros, p50, p99, errors = self.load(connections, seconds)
        cpu, wall = self.server.cpu_seconds() - cpu, time.monotonic() - started
        return {
            "rate": requests / (micros / 1e6),
            "p50": p50 / 1000,
            "p99": p99 / 1000,
            "errors": int(errors),
            "cpu": min(cpu / wall, 1.0),
            "cpu_micros_a_request": cpu * 1e6 / max(requests, 1),
            "resident_mb": self.server.resident_bytes() / 1e6,
        }
