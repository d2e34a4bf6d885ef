"""The server under attack: a process of its own on free ports of the loopback address, watched through /proc."""
import json
import os
import pathlib
import subprocess
import tempfile
import threading
import time

MODEL = "resnet20-cifar10"
CLASSIFY = f"/v1/models/{MODEL}:classify"
ROOT = pathlib.Path(__file__).resolve().parents[2]
READY_WITHIN_S = 60
TICKS = os.sysconf("SC_CLK_TCK")


def fixture(path):
    return (ROOT / "tests/fixtures" / path).read_bytes()


class Server:
    """`resnetd serve` with the built-in model. Its log is kept, shortened, for the report."""

    def __init__(self, binary, settings=()):
        self.folder = tempfile.TemporaryDirectory()
        environment = {"RESNETD__RUNTIME__TUNE": "false", "RESNETD__LOG__FORMAT": "json", **dict(settings), **os.environ}
        command = [os.path.abspath(binary), "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, cwd=self.folder.name, env=environment, stderr=subprocess.PIPE, text=True)
        self.messages = {}
        self.http = self.grpc = self.management = None
        ready = threading.Event()
        threading.Thread(target=self._read_log, args=(ready,), daemon=True).start()
        end = time.monotonic() + READY_WITHIN_S
        while not ready.wait(0.1):
            if not self.is_alive() or time.monotonic() > end:
                self.process.kill()
                raise SystemExit(f"{binary} ended or was not ready within {READY_WITHIN_S} s: {[message for _, message in self.messages]}")

    def _read_log(self, ready):
        for line in self.process.stderr:
            try:
                event = json.loads(line)
            except ValueError:
                event = {"message": line.strip(), "level": "?"}
            message = event.get("message", "")
            if message == "listening":
                self.http, self.grpc = (address(event[door]) for door in ("http", "grpc"))
                self.management = address(event["management"]) if "management" in event else None
            if message == "ready":
                ready.set()
            key = (event.get("level"), message[:100])
            if key in self.messages or len(self.messages) < 100:
                self.messages[key] = self.messages.get(key, 0) + 1

    def is_alive(self):
        return self.process.poll() is None

    def status(self, key):
        """A number of /proc/PID/status: VmRSS and VmHWM in MB, Threads as it is."""
        try:
            text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        except OSError:
            return 0
        for line in text.splitlines():
            name, _, value = line.partition(":")
            if name == key:
                number = int(value.split()[0])
                return number / 1024 if value.endswith("kB") else number
        return 0

    def memory(self):
        """Resident MB, each page once (the proportional share): a file that three sessions map counts three times in VmRSS."""
        try:
            text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        except OSError:
            return 0
        return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), 0)

    def open_files(self):
        try:
            return len(os.listdir(f"/proc/{self.process.pid}/fd"))
        except OSError:
            return 0

    def processor_seconds(self):
        """What it has used of the processor since it began."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def reset_peak(self):
        """Makes VmHWM begin anew from what is in memory now."""
        pathlib.Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def stop(self, patience_s=40):
        """SIGTERM; gives the exit status and the seconds that it took, or `None` for the status where it had to be killed."""
        started = time.monotonic()
        self.process.terminate()
        try:
            status = self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            status = None
        self.folder.cleanup()
        return status, time.monotonic() - started


def address(text):
    host, port = text.rsplit(":", 1)
    return host, int(port)
