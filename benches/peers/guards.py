"""What the security plane costs: margay with callers, rules, limits and the audit log, and margay with none of them.

The caller shows a token signed with RSA, which is verified once and found again; twenty rules are looked at until one allows the call;
limits for all, the address, the caller, the method and the tool are counted; each call is a line in the log.
"""

import base64
import json
import pathlib
import subprocess
import time

from bench import MODERN, Contender, Server, free_port

ISSUER, RESOURCE = "https://login.bench.test", "https://mcp.bench.test/mcp"
# Name, the two contenders, and what the ratio of their CPU time a request has to be.
GOALS = [
    (f"margay guarded / open, CPU a request at {connections}",
     ("cpu_micros_a_request", connections, "margay guarded", "margay open"), 1.1, "below")
    for connections in (32, 256)
]
PARTS = ("auth", "rules", "rates", "audit")


def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(folder):
    """A token that lasts as long as the run, and the file of the keys that verify it."""
    key, keys = pathlib.Path(folder) / "signing.pem", pathlib.Path(folder) / "jwks.json"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    shown = subprocess.run(["openssl", "rsa", "-in", str(key), "-noout", "-modulus"], check=True, capture_output=True, text=True)
    modulus = bytes.fromhex(shown.stdout.strip().split("=", 1)[1])
    public = {"kty": "RSA", "kid": "1", "alg": "RS256", "use": "sig", "n": base64url(modulus), "e": "AQAB"}
    keys.write_text(json.dumps({"keys": [public]}))
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": RESOURCE, "sub": "ann", "iat": now, "exp": now + 7200, "scope": "tools", "roles": ["caller"]}
    parts = [base64url(json.dumps(part).encode()) for part in ({"alg": "RS256", "typ": "JWT", "kid": "1"}, claims)]
    text = ".".join(parts).encode()
    signed = subprocess.run(["openssl", "dgst", "-sha256", "-sign", str(key)], input=text, check=True, capture_output=True)
    return f"{text.decode()}.{base64url(signed.stdout)}", keys


def configuration(folder, keys, parts):
    often = {"per_second": 1_000_000, "burst": 1_000_000}
    others = [{"name": f"rule {number}", "allow": True, "who": {"roles": [f"role{number}"]}, "tools": [f"tool_{number}_*"]}
              for number in range(19)]
    own = {"name": "callers", "allow": True, "who": {"roles": ["caller"]}, "methods": ["tools/call"],
           "tools": ["echo*"], "arguments": {"/text": {"bytes_max": 1000}}}
    every = {
        "auth": {"auth": {"jwt": [{"issuer": ISSUER, "jwks": {"file": str(keys)}}]}, "resource": RESOURCE},
        "rules": {"rules": [*others, own]},
        "rates": {"rates": {"global": often, "address": often, "principal": often, "methods": {"tools/call": often},
                            "tools": {"echo": often}}},
        "audit": {"audit": {"dir": f"{folder}/audit-{'-'.join(parts)}"}},
    }
    chosen = {"state_dir": f"{folder}/state-{'-'.join(parts)}"}
    for part in parts:
        chosen |= every[part]
    path = pathlib.Path(folder) / f"margay-{'-'.join(parts)}.yaml"
    path.write_text(json.dumps(chosen))
    return path


def start(options, programs, folder, servers, contenders):
    shown, keys = token(folder)
    for name, parts in [("open", ()), ("guarded", PARTS), ("auth", PARTS[:1]), ("rules", PARTS[:2]), ("rates", PARTS[:3])]:
        port, admin = free_port(), free_port()
        command = [programs["margay"], "serve", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--shards", "1"]
        if parts:
            command += ["--config", str(configuration(folder, keys, parts))]
        servers.append(Server(f"margay {name}", command, port, folder))
        contenders.append(Contender(f"margay {name}", servers[-1], MODERN, options.tool))
        # Shown to all of them, so that each is sent the same bytes.
        contenders[-1].headers["Authorization"] = f"Bearer {shown}"
        contenders[-1].check_answers()
