"""What TLS costs: margay with it and without, and nginx with it; then what an idle connection holds.

The certificate has a P-256 key and is made for the run. `close` opens a connection for each request, so that its rate is one of
handshakes; the others keep theirs.
"""

import pathlib
import resource
import socket
import ssl
import subprocess
import sys
import time

from bench import MODERN, Contender, Server, free_port

IDLE_CONNECTIONS = 2000
# Name, the two contenders, and what the ratio of their rates at 32 has to be.
GOALS = [
    ("margay over TLS / plain, req/s at 32", ("rate", 32, "margay tls", "margay plain"), 0.6, "at least"),
]


def certificate(folder):
    """A self-signed one for this machine: the files of it and of its key."""
    cert, key = (pathlib.Path(folder) / name for name in ("cert.pem", "key.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    key.chmod(0o600)
    return cert, key


def start(options, only, programs, folder, servers, contenders, nginx):
    cert, key = certificate(folder)

    def margay(name, program, *arguments):
        port, admin = free_port(), free_port()
        listen = ["--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}", "--shards", "1"]
        servers.append(Server(name, [program, "serve", *listen, *arguments], port, folder))
        return servers[-1]

    plain = margay("margay plain", programs["margay"])
    secure = margay("margay tls", programs["margay"], "--tls-cert", str(cert), "--tls-key", str(key))
    contenders += [Contender("margay plain", plain, MODERN, options.tool), Contender("margay tls", secure, MODERN, options.tool, tls=True)]
    if options.before:
        contenders.append(Contender("margay before", margay("margay before", options.before), MODERN, options.tool))
    for name, server, tls in (("margay plain close", plain, False), ("margay tls close", secure, True)):
        contenders.append(Contender(name, server, MODERN, options.tool, tls=tls))
        contenders[-1].headers["Connection"] = "close"
    if "nginx" in only:
        port = free_port()
        server = Server("nginx tls", nginx(folder, port, (cert, key)), port, folder)
        servers.append(server)
        contenders.append(Contender("nginx tls", server, MODERN, tls=True))
    for contender in contenders:
        if not contender.headers.get("Connection"):
            contender.check_answers(constant=contender.name.startswith("nginx"))


def idle(server, tls):
    """Resident bytes of one connection that has had an answer and says nothing more."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, IDLE_CONNECTIONS + 256)), hard))

    def open_one():
        connection = socket.create_connection(("127.0.0.1", server.port), 10)
        connection = context.wrap_socket(connection) if tls else connection
        connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        if not connection.recv(4096).startswith(b"HTTP/1.1 404"):
            sys.exit(f"{server.name}: a wrong answer")
        return connection

    first = [open_one() for _ in range(100)]
    time.sleep(0.5)
    before = server.resident_bytes()
    more = [open_one() for _ in range(IDLE_CONNECTIONS)]
    time.sleep(0.5)
    held = (server.resident_bytes() - before) / IDLE_CONNECTIONS
    for connection in first + more:
        connection.close()
    return held


def tell_idle(servers):
    for server in servers:
        if server.name in ("margay plain", "margay tls"):
            print(f"{server.name}: {idle(server, server.name.endswith('tls')):.0f} resident bytes an idle connection, of {IDLE_CONNECTIONS}")
