"""Servers and loads: what every case of the report starts, measures and stops."""
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "benches/hostile"))
from target import Server  # noqa: E402

# What every machine has, so that figures can be compared.
ARITHMETIC = {"RESNETD__RUNTIME__PROVIDER": "cpu", "RESNETD__RUNTIME__PRECISION": "fp32"}


class Lab:
    def __init__(self, binary, output, quick):
        self.binary, self.output, self.quick = binary.resolve(), output, quick
        self.seconds = 3 if quick else 8
        self.rounds = 1 if quick else 3
        self.cache = tempfile.TemporaryDirectory()
        self.runs = 0

    def serve(self, subject, copies=1, **settings):
        """A server of the subject alone, its engine measured (or found measured, from the second start on)."""
        folder = tempfile.TemporaryDirectory()
        for copy in range(copies):
            name = subject.name if copy == 0 else f"{subject.name}-{copy}"
            (pathlib.Path(folder.name) / name).symlink_to(subject.folder)
        settings = {"RESNETD__MODELS__DIR": folder.name, "RESNETD__RUNTIME__TUNE": "true",
                    "RESNETD__RUNTIME__TUNE_CACHE": self.cache.name, "RESNETD__RUNTIME__WEIGHTS_CACHE": self.cache.name + "/weights",
                    "RESNETD__SERVER__DRAIN_DELAY_MS": "0", **ARITHMETIC, **settings}
        server = Server(self.binary, settings)
        server.repository = folder
        return server

    def begin(self, server, subject, *arguments, protocol="http1"):
        """`resnetd bench` as a process; `end` gives its figures."""
        self.runs += 1
        file = self.output / f"run-{self.runs:03}.json"
        command = [self.binary, "bench", "--url", "http://{}:{}".format(*server.http), "--model", subject.name, "--protocol", protocol,
                   "--image", *subject.images, "--output", file, *arguments]
        process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        return process, file

    @staticmethod
    def end(begun):
        process, file = begun
        _, complaints = process.communicate(timeout=600)
        if process.returncode and not file.exists():
            raise RuntimeError(complaints.strip())
        return json.loads(file.read_text())["runs"]

    def load(self, server, subject, *arguments, protocol="http1"):
        """One load to its end: its runs."""
        return self.end(self.begin(server, subject, *arguments, protocol=protocol))

    def idle(self, server, subject, protocol="http1"):
        """One request at a time."""
        requests = 30 if self.quick else 200
        return self.load(server, subject, "--connections", 1, "--warmup", 0.5, "--requests", requests, "--duration", 20, protocol=protocol)[0]

    def capacity(self, server, subject):
        """Answers a second of 16 clients that wait for theirs."""
        seconds = self.seconds / 2
        return self.load(server, subject, "--warmup", 1, "--duration", seconds)[0]["requests_per_second"]


def median(values):
    return statistics.median(values) if values else float("nan")
