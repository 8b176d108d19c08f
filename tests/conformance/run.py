"""Runs the official conformance suites against the appliance, or against a server given by --url.

Three runs: suite 0.2 with the requirements of 2025-11-25 and of 2026-07-28, and suite 0.1. What is known to
fail stands in a file beside this one. A scenario that fails and is not named there fails the run, and so does
one that is named there and passes: the lists only ever get shorter.
"""

import argparse
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
from appliance import CONFORMANCE_COMPONENT, NODE, TOOLS, Appliance, Tally  # noqa: E402

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
VERDICT = re.compile(r"^[✓✗] ([\w./-]+): (\d+) passed, (\d+) failed", re.MULTILINE)
# The suite's own reading of the list: as expected, stale, unexpected. A warning counts as a failure there.
LISTED = re.compile(r"^  ([~✓✗]) ([\w./:-]+)$", re.MULTILINE)

# The suite's report has a folder for each scenario.
REPORT_FOLDER = re.compile(r"server-(.+)-\d{4}-\d{2}-\d{2}T[\d-]+Z")


def run(tally, url, name, suite, arguments, keep):
    listed = HERE / f"expected-failures-{name}.yaml"
    report = keep / name
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
    for scenario in sorted(unscored ^ UNSCORED_FAILURES[name]):
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


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="check this server instead of starting one")
    parser.add_argument("--keep", help="a folder for the suite's own report of every check")
    parser.add_argument("components", nargs="*", help="components to serve (default: the one of tests/components/conformance)")
    options = parser.parse_args()
    tally = Tally("conformance")

    def all_runs(url):
        with tempfile.TemporaryDirectory() as folder:
            for name, suite, arguments in RUNS:
                run(tally, url, name, suite, arguments, pathlib.Path(options.keep or folder))

    try:
        if options.url:
            all_runs(options.url)
        else:
            with Appliance(*(options.components or [CONFORMANCE_COMPONENT])) as appliance:
                all_runs(appliance.url)
            tally.check("the appliance drains and exits with 0", appliance.exit_code == 0)
    except Exception:  # a suite that hangs must not hide the count
        tally.check("the runs come to their end", False, traceback.format_exc())
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
