"""Runs the official conformance suites against the appliance, or against a server given by --url.

Three runs: suite 0.2 with the requirements of 2025-11-25 and of 2026-07-28, and suite 0.1. What is known to
fail stands in a file beside this one. A scenario that fails and is not named there fails the run, and so does
one that is named there and passes: the lists only ever get shorter.

Three servers: the appliance with the component that has all of MCP; a gateway before such an appliance, over HTTP; and
a gateway before one that is its child. The same lists hold for all: nothing may get lost on the way.
"""

import argparse
import contextlib
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "support"))
from appliance import (  # noqa: E402
    BINARY, CONFORMANCE_COMPONENT, NODE, TOOLS, Appliance, Tally, clean_environment,
)

SUITE = TOOLS / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
SUITE_STABLE = TOOLS / "node_modules" / "conformance-stable" / "dist" / "index.js"

# Name of the run, suite, its arguments. The name is also the name of the list of expected failures.
RUNS = [
    ("2025-11-25", SUITE, ["--requirements", "2025-11-25"]),
    ("2026-07-28", SUITE, ["--requirements", "2026-07-28"]),
    ("suite-0.1", SUITE_STABLE, []),
]
# Scenarios that the suite runs and does not score, and that fail; the others of that kind have to pass.
UNSCORED_FAILURES = {"2025-11-25": set(), "2026-07-28": set(), "suite-0.1": set()}
RUN_SECONDS_MAX = 300
# The last that is listed: once it is offered all are.
A_TOOL = "test_x_mcp_header"
VERDICT = re.compile(r"^[✓✗] ([\w./-]+): (\d+) passed, (\d+) failed", re.MULTILINE)
# The suite's own reading of the list: as expected, stale, unexpected. A warning counts as a failure there.
LISTED = re.compile(r"^  ([~✓✗]) ([\w./:-]+)$", re.MULTILINE)

# The suite's report has a folder for each scenario.
REPORT_FOLDER = re.compile(r"server-(.+)-\d{4}-\d{2}-\d{2}T[\d-]+Z")


@contextlib.contextmanager
def itself(components):
    """The appliance alone."""
    with Appliance(*components) as appliance:
        yield appliance, [appliance]


@contextlib.contextmanager
def gateway_over_http(components):
    with Appliance(*components) as back, gateway({"url": back.url}) as front:
        yield front, [front, back]


@contextlib.contextmanager
def gateway_over_stdio(components):
    with tempfile.TemporaryDirectory() as folder:
        child = {"command": BINARY, "args": ["stdio", *components], "env": clean_environment(folder)}
        with gateway(child) as front:
            yield front, [front]


@contextlib.contextmanager
def gateway(upstream):
    """One before this upstream, whose names stay as they are."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "margay.yaml"
        # JSON is YAML.
        path.write_text(json.dumps({"upstreams": {"back": upstream | {"prefix": "never"}}}))
        with Appliance("--config", str(path)) as front:
            yield front.wait_for(A_TOOL)


SERVERS = {"": itself, "gateway over HTTP, ": gateway_over_http, "gateway over stdio, ": gateway_over_stdio}


def run(tally, url, where, name, suite, arguments, keep):
    listed = HERE / f"expected-failures-{name}.yaml"
    report = keep / where / name
    unscored_failures, name = UNSCORED_FAILURES[name], f"{where}{name}"
    shutil.rmtree(report, ignore_errors=True)  # else it would be added to
    command = [NODE, str(suite), "server", "--url", url, *arguments, "--expected-failures", str(listed)]
    command += ["-o", str(report)]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=RUN_SECONDS_MAX)
    output = done.stdout + done.stderr
    verdicts = {scenario: (int(good), int(bad)) for scenario, good, bad in VERDICT.findall(output)}
    marks = {"~": set(), "✓": set(), "✗": set()}
    for mark, entry in LISTED.findall(output.split("\nTotal:")[-1]):
        marks[mark].add(entry)
    expected, unexpected = ({entry.split(":")[0] for entry in marks[mark]} for mark in "~✗")
    unscored, warnings = set(), with_warnings(report)
    for scenario, (good, bad) in sorted(verdicts.items()):
        if scenario in unexpected:
            continue
        if scenario in expected:
            print(f"     {name} {scenario}: fails in part or whole, as listed")
        elif bad or scenario in warnings:
            unscored.add(scenario)
        elif good:  # a scenario without one check asked nothing, and proves nothing
            tally.check(f"{name} {scenario}", True)
    for entry in sorted(marks["✗"]):
        tally.check(f"{name} {entry}", False, evidence(output, entry.split(":")[0]))
    for entry in sorted(marks["✓"]):
        tally.check(f"{name} {entry}", False, f"it is listed in {listed.name} and passes: take it out")
    for scenario in sorted(unscored ^ unscored_failures):
        reason = evidence(output, scenario) if scenario in unscored else "it passes: take it out of UNSCORED_FAILURES"
        tally.check(f"{name} {scenario} (not scored)", False, reason)
    tally.check(f"{name} as the suite sees it", done.returncode == 0 and len(verdicts) > 20, output[-2000:])


def with_warnings(report):
    """The scenarios with a warning. The suite minds those where it scores, and leaves them out of its summary."""
    scenarios = set()
    for path in report.rglob("checks.json"):
        if any(check["status"] == "WARNING" for check in json.loads(path.read_text())):
            scenarios.add(REPORT_FOLDER.fullmatch(path.parent.name)[1])
    return scenarios


def evidence(output, scenario):
    """What the suite said while this scenario ran."""
    parts = re.split(r"^=== ", output, flags=re.MULTILINE)
    return "".join(part for part in parts if part.startswith(f"Running scenario: {scenario} "))[:4000]


def serve(tally, where, server, components, all_runs):
    with server(components or [CONFORMANCE_COMPONENT]) as (appliance, every):
        all_runs(appliance.url, where)
    tally.check(f"{where}the appliance drains and exits with 0", all(one.exit_code == 0 for one in every))


def guarded(tally, what, work):
    """A suite that hangs must not hide the count."""
    try:
        work()
    except Exception:
        tally.check(f"{what} come to their end", False, traceback.format_exc())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="check this server instead of starting one")
    parser.add_argument("--only", choices=[server.__name__ for server in SERVERS.values()], help="this server alone")
    parser.add_argument("--keep", help="a folder for the suite's own report of every check")
    parser.add_argument("components", nargs="*", help="components to serve (default: the one of tests/components/conformance)")
    options = parser.parse_args()
    tally = Tally("conformance")

    def all_runs(url, where=""):
        with tempfile.TemporaryDirectory() as folder:
            for name, suite, arguments in RUNS:
                run(tally, url, where, name, suite, arguments, pathlib.Path(options.keep or folder))

    if options.url:
        guarded(tally, "the runs", lambda: all_runs(options.url))
    for where, server in SERVERS.items() if not options.url else ():
        if options.only in (None, server.__name__):
            guarded(tally, f"{where}the runs", lambda: serve(tally, where, server, options.components, all_runs))
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
