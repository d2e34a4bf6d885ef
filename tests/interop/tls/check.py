"""TLS of `resnetd serve` from outside: python3 check.py BINARY [--seconds 20]. Everything listens on 127.0.0.1.

What is offered to the server is written by hand (hello.py) or by Python's ssl; certificates are openssl's. Ends with 1 where anything is
not as docs/tls.md says.
"""
import argparse
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from certificates import Authority
from hello import NEW_SUITES, OLD_SUITES, SSL_3, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3, VERSIONS, Refused, answer_to, client_hello, suites_of

DOORS = ("http", "grpc", "management")
READY_WITHIN_S = 120
# The preface of HTTP/2 and an empty SETTINGS; whoever is let in is sent SETTINGS (type 4).
HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
GCM_CHACHA = {kind: {f"ECDHE_{kind}_{rest}" for rest in ("AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256")}
              for kind in ("ECDSA", "RSA")}
TLS_1_3_SUITES = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}

failures = []


def check(what, found, expected):
    good = found in expected if isinstance(expected, (set, tuple)) and not isinstance(found, set) else found == expected
    print(f"  {'ok  ' if good else 'BAD '} {what}: {sorted(found) if isinstance(found, set) else found}")
    if not good:
        failures.append(f"{what}: {found}, not {expected}")


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server:
    def __init__(self, binary, folder, cert, key, **tls):
        self.addresses = {door: ("127.0.0.1", free_port()) for door in DOORS}
        self.log = pathlib.Path(folder) / "log"
        settings = {"TLS__CERT": str(cert), "TLS__KEY": str(key), "RUNTIME__TUNE": "false", "LOG__FORMAT": "json", "LOG__LEVEL": "info,resnetd::server=debug",
                    "SERVER__MANAGEMENT": "{}:{}".format(*self.addresses["management"]), "SERVER__DRAIN_DELAY_MS": "0"}
        settings |= {name.upper(): str(value) for name, value in tls.items()}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RESNETD__")}
        environment |= {f"RESNETD__{name}": value for name, value in settings.items()}
        models = pathlib.Path(folder) / "models"
        models.mkdir(exist_ok=True)
        command = [binary, "serve", "--models", models]
        for door in ("http", "grpc"):
            command += [f"--{door}", "{}:{}".format(*self.addresses[door])]
        self.process = subprocess.Popen(command, env=environment, stderr=self.log.open("w"))

    def __enter__(self):
        end = time.monotonic() + READY_WITHIN_S
        while '"message":"ready"' not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() > end:
                sys.exit(f"resnetd does not become ready:\n{self.log.read_text()}")
            time.sleep(0.05)
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGINT)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)

    def lines(self):
        return [json.loads(line) for line in self.log.read_text().splitlines()]


def context(authority, shown=None, alpn=("h2", "http/1.1"), version=None):
    made = ssl.create_default_context(cafile=authority.cert)
    made.set_alpn_protocols(list(alpn))
    if shown:
        made.load_cert_chain(*shown)
    if version:
        made.minimum_version = made.maximum_version = version
    return made


def connect(address, made, session=None):
    return made.wrap_socket(socket.create_connection(address, 10), server_hostname="localhost", session=session)


def is_let_in(door, address, made):
    """Whether a client is answered; one that TLS 1.3 refuses learns of it only when it reads."""
    made.set_alpn_protocols(["h2"] if door == "grpc" else ["http/1.1"])
    try:
        with connect(address, made) as stream:
            if door == "grpc":
                stream.sendall(HTTP_2)
                return stream.recv(9)[3:4] == b"\x04"
            stream.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            return stream.recv(1024).startswith(b"HTTP/1.1 200")
    except (ssl.SSLError, ConnectionError):
        return False


def versions(server, oldest):
    for door, address in server.addresses.items():
        for version in (SSL_3, TLS_1_0, TLS_1_1, TLS_1_2, TLS_1_3):
            suites = NEW_SUITES if version == TLS_1_3 else OLD_SUITES
            try:
                chosen = VERSIONS[answer_to(address, client_hello(version, suites))[0]]
            except Refused as refused:
                chosen = f"refused ({refused})"
            expected = {VERSIONS[version]} if version >= oldest else {"refused (protocol_version)", "refused (handshake_failure)"}
            check(f"{door}, offered {VERSIONS[version]} alone", chosen, expected)


def suites(server, kind):
    for door, address in server.addresses.items():
        taken, end = suites_of(address, TLS_1_2)
        check(f"{door}, TLS 1.2, {kind}, of {len(OLD_SUITES)} suites ({end})", set(taken), GCM_CHACHA[kind])
        taken, end = suites_of(address, TLS_1_3)
        check(f"{door}, TLS 1.3, {kind}, of {len(NEW_SUITES)} suites ({end})", set(taken), TLS_1_3_SUITES)
        # Compression (CRIME): deflate first, then none.
        _, _, compression = answer_to(address, client_hello(TLS_1_2, OLD_SUITES, compressions=b"\x01\x00"))
        check(f"{door}, compression", compression, 0)


def agreed(server, authority):
    for door, address in server.addresses.items():
        for offered in (("h2",), ("http/1.1",), ("http/1.1", "h2"), ("spdy/3",), ()):
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                try:
                    with connect(address, context(authority, alpn=offered, version=version)) as stream:
                        chosen = stream.selected_alpn_protocol()
                except ssl.SSLError:
                    # Python does not know this alert by name.
                    try:
                        chosen = answer_to(address, client_hello(TLS_1_2, OLD_SUITES, alpn=offered))
                    except Refused as refused:
                        chosen = f"refused ({refused})"
                spoken = ("h2",) if door == "grpc" else ("h2", "http/1.1")
                expected = next((name for name in spoken if name in offered), "refused (no_application_protocol)" if offered else None)
                check(f"{door}, {version.name}, ALPN {offered or 'not offered'}", chosen, expected)


def without_tls(server):
    for door, address in server.addresses.items():
        with socket.create_connection(address, 10) as stream:
            stream.sendall(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            answer = stream.recv(4096)
        check(f"{door}, plain HTTP", answer.split(b"\r\n")[0].decode(), "HTTP/1.1 400 Bad Request")


def resumption(server, authority, shown, expected):
    for door, address in server.addresses.items():
        made = context(authority, shown, alpn=["h2"] if door == "grpc" else ["http/1.1"], version=ssl.TLSVersion.TLSv1_3)
        session, early = None, 0
        with connect(address, made) as stream:
            # A ticket comes behind the handshake, with whatever is read first.
            stream.sendall(HTTP_2 if door == "grpc" else b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n")
            stream.recv(1024)
            session = stream.session
        with connect(address, made, session) as stream:
            check(f"{door}, a session is resumed", stream.session_reused, expected)


def early_data(server, authority):
    for door, address in server.addresses.items():
        command = ["openssl", "s_client", "-connect", "{}:{}".format(*address), "-CAfile", authority.cert, "-tls1_3", "-alpn", "h2", "-ign_eof"]
        # What it sends is no HTTP/2, so the server ends the connection, and with it openssl.
        said = subprocess.run(command, input="\n\n", capture_output=True, text=True, timeout=60).stdout
        most = {line.split(":")[1].strip() for line in said.splitlines() if "Max Early Data" in line}
        check(f"{door}, the most data before the handshake's end (0-RTT)", most, {"0"})


def clients(server, servers, shown):
    for door, address in server.addresses.items():
        for what, (files, expected) in shown.items():
            for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
                came_in = is_let_in(door, address, context(servers, files, version=version))
                check(f"{door}, {version.name}, {what}", "let in" if came_in else "refused", "let in" if expected else "refused")


def names_in_log(server, servers, shown, name):
    """One request at each address, whose line of log has the client's name."""
    for door, address in server.addresses.items():
        before = len(server.lines())
        if door == "grpc":
            url = "https://{}:{}".format(*address)
            command = [server.process.args[0], "bench", "--url", url, "--protocol", "grpc", "--requests", "1", "--connections", "1", "--warmup", "0",
                       "--ca", servers.cert, "--cert", shown[0], "--key", shown[1]]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        else:
            assert is_let_in(door, address, context(servers, shown))
        end = time.monotonic() + 10
        while time.monotonic() < end:
            names = {line.get("client") for line in server.lines()[before:] if "request_id" in line}
            if names:
                break
            # The line is written when the answer is on its way.
            time.sleep(0.05)
        check(f"{door}, the name in the lines of its requests", names, {name})


def swap(folder, cert, key):
    """As the kubelet does it: a new folder, then one link."""
    version = folder / f"..{time.monotonic_ns()}"
    version.mkdir()
    shutil.copy(cert, version / "tls.crt")
    shutil.copy(key, version / "tls.key")
    link = folder / "..new"
    link.symlink_to(version.name)
    link.rename(folder / "..data")


def under_load(binary, folder, authority, seconds):
    served = folder / "served"
    served.mkdir()
    pairs = [authority.issue(f"turn{turn}", ["DNS:localhost", "IP:127.0.0.1"], kind=kind) for turn, kind in enumerate(("ec", "rsa", "ec", "rsa"))]
    swap(served, *pairs[0])
    for name in ("tls.crt", "tls.key"):
        (served / name).symlink_to(f"..data/{name}")
    settings = {"tls__reload_interval_ms": 100, "server__max_connection_age_ms": 3000, "log__level": "info"}
    with Server(binary, folder, served / "tls.crt", served / "tls.key", **settings) as server:
        loads = {}
        for name, door, protocol in (("HTTP/1.1", "http", "http1"), ("HTTP/2", "http", "http2"), ("gRPC", "grpc", "grpc"), ("management", "management", "http1")):
            command = [binary, "bench", "--url", "https://{}:{}".format(*server.addresses[door]), "--protocol", protocol, "--connections", "4",
                       "--duration", f"{seconds}s", "--warmup", "0", "--format", "json", "--ca", authority.cert, "--threads", "1"]
            loads[name] = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        made = {"connections": 0, "failed": 0}
        shown, stop = set(), threading.Event()

        def come_and_go():
            while not stop.is_set():
                for door in DOORS:
                    try:
                        with connect(server.addresses[door], context(authority, alpn=["h2"])) as stream:
                            shown.add(stream.getpeercert()["serialNumber"])
                            made["connections"] += 1
                    except OSError as error:
                        made["failed"] += 1
                        print(f"  a new connection failed: {error!r}")
                time.sleep(0.02)

        comer = threading.Thread(target=come_and_go)
        comer.start()
        turn, wrong, end = 0, 0, time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.4)
            turn += 1
            if turn % 5 == 0:
                # The key of another: it is refused, and what was shown before goes on.
                swap(served, pairs[turn % 4][0], pairs[(turn + 1) % 4][1])
                wrong += 1
            else:
                swap(served, *pairs[turn % 4])
        reports = {name: load.communicate(timeout=120) for name, load in loads.items()}
        stop.set()
        comer.join()
        taken = sum("was read again" in line.get("message", "") for line in server.lines())
        refused = sum(line["level"] == "ERROR" for line in server.lines())
    print(f"  {turn} swaps in {seconds} s: {taken} taken, {wrong} of them wrong ({refused} refused); {made['connections']} new connections saw {len(shown)} certificates")
    for name, (report, said) in reports.items():
        run = json.loads(report)["runs"][0] if report else sys.exit(f"bench {name}: {said}")
        lost = {key: run[key] for key in ("refused", "expired", "failed", "broken", "gave_up") if run[key]}
        print(f"  {name}: {run['answered']} answered, {run['requests_per_second']:.0f}/s; {lost or 'none lost'} {run['errors'] or ''} {run['messages'] or ''}")
        check(f"{name}, requests without an answer", run["requests"] - run["answered"], 0)
    check("new connections that failed", made["failed"], 0)
    check("certificates seen", len(shown), 4)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary")
    arguments.add_argument("--seconds", type=int, default=20)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        servers, ours, others = (Authority(folder, name) for name in ("servers", "clients", "others"))
        names = ["DNS:localhost", "IP:127.0.0.1"]
        pair = {kind: servers.issue(f"server-{kind}", names, kind=kind) for kind in ("ec", "rsa")}
        print("min_version = \"1.2\", ECDSA")
        with Server(given.binary, folder, *pair["ec"]) as server:
            versions(server, TLS_1_2)
            suites(server, "ECDSA")
            agreed(server, servers)
            without_tls(server)
            resumption(server, servers, None, True)
            early_data(server, servers)
        print("min_version = \"1.3\", RSA")
        with Server(given.binary, folder, *pair["rsa"], tls__min_version="1.3") as server:
            versions(server, TLS_1_3)
        print("min_version = \"1.2\", RSA")
        with Server(given.binary, folder, *pair["rsa"]) as server:
            suites(server, "RSA")
        front, spiffe = "front.example.com", "spiffe://cluster.local/ns/web/sa/front"
        good = ours.issue("front", [f"DNS:{front}"])
        shown = {
            "no certificate": (None, False),
            "one of another authority": (others.issue("stranger", [f"DNS:{front}"]), False),
            "the server's own": (pair["ec"], False),
            "one that has expired": (ours.issue("expired", [f"DNS:{front}"], days=-1), False),
            "one for servers only": (ours.issue("usage", [f"DNS:{front}"], usage="serverAuth"), False),
            "one whose names are not allowed": (ours.issue("back", ["DNS:back.example.com", f"URI:{spiffe}/else"]), False),
            "one with the name as common name alone": (ours.issue(front, ["DNS:other.example.com"]), False),
            "one by its DNS name": (good, True),
            "one by its URI": (ours.issue("spiffe", [f"URI:{spiffe}"]), True),
        }
        allowed = {"tls__client_ca": ours.cert, "tls__allowed_names": json.dumps([front, spiffe])}
        print(f"client_ca, allowed_names = {allowed['tls__allowed_names']}")
        with Server(given.binary, folder, *pair["ec"], **allowed) as server:
            clients(server, servers, shown)
            resumption(server, servers, good, False)
            names_in_log(server, servers, good, front)
        print("certificates that change under load")
        under_load(given.binary, folder, servers, given.seconds)
    if failures:
        print(*failures, sep="\n", file=sys.stderr)
        sys.exit(f"{len(failures)} of the checks failed")
    print("TLS is as it should be")


main()
