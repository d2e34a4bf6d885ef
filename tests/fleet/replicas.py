"""Replicas of the server: processes on ports that the system chose, ended, killed, frozen. Knows nothing of proxies and load."""
import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import brakes
from networks import Place

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = "resnet20-cifar10"
READY_WITHIN_S = 30
# Longer than a proxy takes to see that a replica is not ready.
DRAIN_MS = 2500


def free_ports(count):
    """Ports that nobody has now, below those that the system gives to connections: a replica that is away must find its own again."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    ports = set()
    while len(ports) < count:
        port = random.randrange(min(10_000, low - 5_000), low)
        with socket.socket() as holder, contextlib.suppress(OSError):
            holder.bind(("127.0.0.1", port))
            ports.add(port)
    return list(ports)


def status(url, timeout=1):
    """The status of a GET, None where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


def wait_for(what, condition, process, within_s=READY_WITHIN_S):
    """Looks until it is so; ends the run where it does not become so, or its process ends."""
    end = time.monotonic() + within_s
    while not condition():
        if process.poll() is not None:
            raise SystemExit(f"{what}: the process ended with {process.returncode}")
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {within_s} s")
        time.sleep(0.02)


class Replica:
    """`resnetd serve` with the built-in model; it keeps its port over restarts, as one behind a name does."""

    def __init__(self, binary, port, grpc_port, folder, place=Place()):
        self.binary, self.port, self.grpc_port, self.folder, self.place = binary, port, grpc_port, folder, place
        self.address = place.address
        self.process, self.brake = None, None

    def start(self, **more):
        """`more`: settings beside those that all have, as in the environment."""
        # Small and fixed: several of them share the cores with the proxy and the clients.
        settings = {
            "RESNETD__RUNTIME__TUNE": "false",
            "RESNETD__RUNTIME__INSTANCES": "1",
            "RESNETD__RUNTIME__INTRA_THREADS": "1",
            "RESNETD__SERVER__DRAIN_DELAY_MS": str(DRAIN_MS),
            **more,
        }
        models = pathlib.Path(self.folder, "models")
        models.mkdir(exist_ok=True)
        command = [*self.place.prefix, self.binary, "serve", "--models", str(models), "--http", f"{self.address}:{self.port}"]
        command += ["--grpc", f"{self.address}:{self.grpc_port}"]
        with open(pathlib.Path(self.folder, f"replica-{self.port}.log"), "ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stderr=log)

    def wait_until_ready(self):
        wait_for(f"replica on port {self.port}", lambda: status(f"http://{self.address}:{self.port}/readyz") == 200, self.process)

    def drain(self):
        """As an orchestrator does it: SIGTERM, then the process has to end by itself, and well."""
        self.process.send_signal(signal.SIGTERM)
        outcome = self.process.wait(30)
        if outcome != 0:
            raise SystemExit(f"replica on port {self.port}: SIGTERM ended it with {outcome}")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def slow(self, share):
        """It gets `share` of a core, until `release`."""
        self.brake = brakes.brake(self.process.pid, share)

    def release(self):
        if self.brake:
            self.brake.release()
            self.brake = None

    def answered(self):
        """Pictures that it has answered since its start, over every protocol."""
        with urllib.request.urlopen(f"http://{self.address}:{self.port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("resnetd_requests_total{") and 'code="OK"' in line)

    def end(self):
        self.release()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.kill()
