"""Runs the official suite's client scenarios about authorization against the gateway: its mock is the upstream, with an
authorization server of its own, and what it sees of headers, metadata, PKCE and scopes is the gateway's own doing.

Without arguments it runs the scenarios. What is not there stands in expected-failures-client.yaml with its reason; a
scenario that fails and is not named there fails the run, and so does one that is named there and passes.

The suite starts this file again for each scenario, with --drive and the upstream's URL: that starts a gateway before it,
and a plain client that asks for the tools and calls them.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "support"))
from appliance import NODE, TOOLS, Appliance, Tally  # noqa: E402
from modern import listed, post  # noqa: E402

SUITE = TOOLS / "node_modules" / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
COMPONENT = HERE.parent / "components" / "printer.wat"
EXPECTED = HERE / "expected-failures-client.yaml"
# `  - auth/metadata-default [2025-11-25,2026-07-28]`
LISTED = re.compile(r"^  - (auth/\S+) \[([\w,-]+)\]$", re.MULTILINE)
# The wire of what the suite calls an extension, which is in no revision.
EXTENSION_WIRE = "2026-07-28"
SCENARIO_SECONDS_MAX = 90
# What the suite's metadata document is at; only the scenario about it has one.
METADATA_URL = "https://conformance-test.local/client-metadata.json"
OFFERED_SECONDS_MAX = 3


def auth(scenario, context, folder):
    """What an operator would write for this scenario."""
    if "private_key_pem" in context:
        key = pathlib.Path(folder) / "key.pem"
        key.touch(mode=0o600)
        key.write_text(context["private_key_pem"])
        proof = {"key": {"file": str(key)}, "algorithm": context["signing_algorithm"]}
        return {"client_credentials": {"client_id": context["client_id"], "private_key_jwt": proof}}
    client = {}
    if "client_secret" in context:
        os.environ["CONFORMANCE_CLIENT_SECRET"] = context["client_secret"]
        client = {"client_id": context["client_id"], "client_secret": {"env": "CONFORMANCE_CLIENT_SECRET"}}
    if scenario.startswith("auth/client-credentials"):
        return {"client_credentials": client}
    if "issuer" in context:
        client["issuer"] = context["issuer"]
    if scenario == "auth/basic-cimd":
        client["client_metadata_url"] = METADATA_URL
    return {"authorization_code": client | {"follow": True}}


def drive(url):
    """A gateway before this upstream, and a client that calls what it offers. Fails where nothing can be called."""
    scenario = os.environ["MCP_CONFORMANCE_SCENARIO"]
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder) / "margay.yaml"
        upstream = {"url": url, "prefix": "always", "auth": auth(scenario, context, folder)}
        # JSON is YAML.
        config.write_text(json.dumps({"upstreams": {"mock": upstream}}))
        # With a tool of its own it is ready, whatever becomes of the upstream.
        with Appliance(str(COMPONENT), "--config", str(config)) as front:
            until = time.monotonic() + OFFERED_SECONDS_MAX
            names = []
            while not names and time.monotonic() < until:
                tools = listed(front.url, "tools/list", "tools")
                names = [tool["name"] for tool in tools if tool["name"].startswith("mock__")]
                time.sleep(0.1)
            for name in names:
                try:
                    print(name, post(front.url, "tools/call", {"name": name, "arguments": {}}), flush=True)
                except (KeyError, urllib.error.HTTPError) as error:
                    print(name, error, flush=True)
            print(front.output(), flush=True)
        return 0 if names else 1


def scenarios():
    """Each with the wires that it is about."""
    listing = subprocess.run([NODE, str(SUITE), "list", "--client"], capture_output=True, text=True, timeout=60)
    for scenario, versions in LISTED.findall(listing.stdout):
        for version in versions.split(","):
            yield scenario, EXTENSION_WIRE if version == "extension" else version


def expected_failures():
    entries = re.findall(r"^  - (\S+) # \S", EXPECTED.read_text(), re.MULTILINE)
    return set(entries)


def run(tally, scenario, version, keep):
    report = keep / version / scenario
    shutil.rmtree(report, ignore_errors=True)  # else it would be added to
    command = [NODE, str(SUITE), "client", "--command", f"{sys.executable} {HERE / 'client.py'} --drive"]
    # Without --force what is in no revision is passed over.
    command += ["--scenario", scenario, "--spec-version", version, "--force", "--timeout", "60000", "-o", str(report)]
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=SCENARIO_SECONDS_MAX,
    )
    checks = [check for path in report.rglob("checks.json") for check in json.loads(path.read_text())]
    bad = [check for check in checks if check["status"] in ("FAILURE", "WARNING")]
    good = [check for check in checks if check["status"] == "SUCCESS"]
    # A scenario without one good check asked nothing, and proves nothing.
    holds = done.returncode == 0 and good and not bad
    evidence = "\n".join(f"{check['id']}: {check['description']}" for check in bad)
    what = f"{version} {scenario}"
    if scenario in expected_failures():
        if holds:
            tally.check(what, False, f"it is listed in {EXPECTED.name} and passes: take it out")
        else:
            print(f"     {what}: fails in part or whole, as listed", flush=True)
        return
    tally.check(f"{what} ({len(good)} checks)", holds, f"{evidence}\n{(done.stdout + done.stderr)[-6000:]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--drive", metavar="URL", help="start a gateway before this upstream, and call it")
    parser.add_argument("--only", help="scenarios whose names have this in them")
    parser.add_argument("--keep", help="a folder for the suite's own report of every check")
    options = parser.parse_args()
    if options.drive:
        return drive(options.drive)
    tally = Tally("conformance-client")
    found = [one for one in scenarios() if not options.only or options.only in one[0]]
    with tempfile.TemporaryDirectory() as folder:
        for scenario, version in found:
            try:
                run(tally, scenario, version, pathlib.Path(options.keep or folder))
            except Exception:
                tally.check(f"{version} {scenario} comes to its end", False, traceback.format_exc())
    if not options.only:
        names = {scenario for scenario, _ in found}
        for stale in sorted(expected_failures() - names):
            tally.check(f"{stale} is a scenario", False, f"it is listed in {EXPECTED.name} and is none: take it out")
    return tally.close()


if __name__ == "__main__":
    sys.exit(main())
