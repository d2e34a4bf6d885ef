"""`resnetd serve` in a control group whose quota of the processor is raised and lowered while it answers: python3 check.py BINARY

It begins with one core and is given two, then one again. Each time the cores of /v1/stats follow at once, and once they have stayed so for
ten seconds, the threads that decode follow and a line of the log says from how many to how many. Meanwhile pictures are asked one after the
other, and each is answered. Ends with 1 where something is otherwise, or does not come in time.
"""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "tests/fleet"), str(ROOT / "benches/hostile")]
sys.dont_write_bytecode = True
from brakes import Quota  # noqa: E402
from target import CLASSIFY, address, fixture  # noqa: E402

# On a machine that has much else to do: a start measures the model, and a change is looked for every few seconds and waits for ten.
PATIENCE_S = 120
# Its standard input says when it may begin: by then it is in its group.
HELD = 'read -r go && exec "$@"'


class Held:
    """A server that begins in a group with a quota. Its log is kept."""

    def __init__(self, binary, folder):
        self.log = pathlib.Path(folder) / "log"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RESNETD__")}
        environment |= {"RESNETD__RUNTIME__PROVIDER": "cpu", "RESNETD__LOG__FORMAT": "json", "XDG_CACHE_HOME": str(folder)}
        command = ["sh", "-c", HELD, "held", binary, "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log)
        self.quota = None

    def hold(self, cores):
        self.quota = Quota(self.process.pid, cores)

    def begin(self):
        self.process.stdin.write(b"go\n")
        self.process.stdin.close()
        listening = self.said("listening")
        self.http = address(listening["http"])
        self.said("ready")

    def lines(self):
        # The last one may be half written.
        whole = self.log.read_text().split("\n")[:-1]
        return [json.loads(line) for line in whole if line.startswith("{")]

    def said(self, part, after=0):
        """The first line with this in it, of those behind the first `after`."""
        return within(f"a line of the log with {part!r}", lambda: next((line for line in self.lines()[after:] if part in line.get("message", "")), None), self)

    def threads(self):
        with urllib.request.urlopen("http://{}:{}/v1/stats".format(*self.http), timeout=60) as answer:
            return json.load(answer)["threads"]

    def end(self):
        self.process.kill()
        self.process.wait()
        if self.quota:
            self.quota.release()


def within(what, look, server):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        if server.process.poll() is not None:
            break
        time.sleep(0.1)
    raise SystemExit(f"{what} has not come within {PATIENCE_S} s:\n{server.log.read_text()}")


class Client(threading.Thread):
    """Asks one picture after the other."""

    def __init__(self, http):
        super().__init__(daemon=True)
        self.url, self.picture = "http://{}:{}{}".format(*http, CLASSIFY), fixture("cifar10/cat.jpg")
        self.over, self.answered, self.failed = threading.Event(), 0, []

    def run(self):
        # A few hundred a second: the machine has something to do and room.
        while not self.over.wait(0.005):
            try:
                request = urllib.request.Request(self.url, self.picture, {"content-type": "image/jpeg"})
                with urllib.request.urlopen(request, timeout=60) as answer:
                    label = json.load(answer)["predictions"][0]["classes"][0]["label"]
                if label != "cat":
                    self.failed.append(label)
                self.answered += 1
            except OSError as error:
                self.failed.append(str(error))


def check(server):
    begun = server.threads()
    assert (begun["cores"], begun["decode"]) == (1, 1), f"one core, and {begun}"
    print(f"in a control group (v{server.quota.version}) with one core: {begun}")
    client = Client(server.http)
    client.start()
    now = 1
    for cores in (2, 1):
        told = len(server.lines())
        began = time.monotonic()
        server.quota.give(cores)
        within(f"{cores} cores in /v1/stats", lambda: server.threads()["cores"] == cores, server)
        line = server.said(f"the process may use {cores} cores now instead of {now}", told)
        within(f"{cores} threads that decode", lambda: server.threads()["decode"] == cores, server)
        print(f"after {time.monotonic() - began:.1f} s {server.threads()}: {line['message']}")
        now = cores
    client.over.set()
    client.join()
    assert client.answered > 100 and not client.failed, f"{client.answered} were answered; not: {client.failed[:5]}"
    print(f"{client.answered} pictures meanwhile, each answered")


def main():
    if len(os.sched_getaffinity(0)) < 2:
        print("SKIPPED the quota: two cores are needed")
        return
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as ends:
        server = Held(sys.argv[1], folder)
        ends.callback(server.end)
        try:
            server.hold(1)
        except (OSError, StopIteration) as error:
            print(f"SKIPPED the quota: no control group can be made here ({error})")
            return
        server.begin()
        check(server)


if __name__ == "__main__":
    main()
