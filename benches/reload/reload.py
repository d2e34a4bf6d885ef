"""Reloads, loads and unloads under constant load: failed requests, p99 beside times without, and memory.

    python3 benches/reload/reload.py --binary target/release/resnetd [--reloads 200] [--cycles 50] [--interval-ms 20]

Two models in a repository of their own. `net` is asked on four connections all the time, each a request every so many milliseconds.
Turns of ten: ten versions of `net` appear one after the other and take over, then as long a time in which nothing changes. Then `other`
is unloaded and loaded again through the management address, in turns likewise. Prints for each kind of turn the requests, those that
failed, p50 and p99, and the memory after each turn. Needs Python and Linux; asks 127.0.0.1 only.
"""
import argparse
import http.client
import pathlib
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
from target import ROOT, Server, fixture  # noqa: E402
from versions import ask, put, wait_for  # noqa: E402

CONNECTIONS = 4
TURN = 10
BUILT_IN = ROOT / "models/resnet20-cifar10"
GRAPH = BUILT_IN / "1/model.onnx"


class Load:
    """Four connections, each with its own clock; every answer belongs to the kind of turn that it began in."""

    def __init__(self, address, interval):
        self.kind, self.times, self.failed = "warm-up", {}, []
        self.done = threading.Event()
        self.lock = threading.Lock()
        picture = fixture("cifar10/cat.jpg")
        self.threads = [threading.Thread(target=self.ask, args=(address, interval, picture)) for _ in range(CONNECTIONS)]
        for thread in self.threads:
            thread.start()

    def ask(self, address, interval, picture):
        connection = http.client.HTTPConnection(*address, timeout=60)
        due = time.monotonic()
        while not self.done.is_set():
            time.sleep(max(0.0, due - time.monotonic()))
            kind, begun = self.kind, max(due, time.monotonic() - interval)
            connection.request("POST", "/v1/models/net:classify", body=picture)
            answer = connection.getresponse()
            body = answer.read()
            with self.lock:
                self.times.setdefault(kind, []).append(time.monotonic() - begun)
                if answer.status != 200:
                    self.failed.append((kind, answer.status, body[:200]))
            due = max(due + interval, time.monotonic() - interval)

    def end(self):
        self.done.set()
        for thread in self.threads:
            thread.join()


def turns(load, server, count, name, step):
    marks = []
    for turn in range(count // TURN):
        begun = time.monotonic()
        load.kind = name
        for index in range(TURN):
            step(turn * TURN + index)
        load.kind = f"beside {name}"
        time.sleep(time.monotonic() - begun)
        marks.append(server.status("VmRSS"))
    load.kind = "between"
    return marks


def report(load, name, marks):
    for kind in (name, f"beside {name}"):
        times = sorted(load.times.get(kind, []))
        if times:
            at = lambda share: 1000 * times[min(len(times) - 1, int(share * len(times)))]  # noqa: E731
            failed = sum(1 for failure in load.failed if failure[0] == kind)
            print(f"{kind:>24}: {len(times):6} requests, {failed} failed, p50 {at(.5):6.1f} ms, p99 {at(.99):6.1f} ms")
    print(f"{'memory, MB':>24}: {' '.join(f'{mark:.0f}' for mark in marks)}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/resnetd")
    parser.add_argument("--reloads", type=int, default=200)
    parser.add_argument("--cycles", type=int, default=50)
    parser.add_argument("--interval-ms", type=float, default=20)
    arguments = parser.parse_args()
    for control in ("watch", "explicit"):
        with tempfile.TemporaryDirectory() as folder:
            repository = pathlib.Path(folder)
            for model in ("net", "other"):
                (repository / model).mkdir()
                for file in ("labels.txt", "model.toml"):
                    shutil.copy(BUILT_IN / file, repository / model / file)
                put(repository, model, 1, GRAPH)
            settings = {
                "RESNETD__MODELS__DIR": str(repository),
                "RESNETD__MODELS__CONTROL": control,
                "RESNETD__MODELS__WATCH_INTERVAL_MS": "200",
                "RESNETD__SERVER__MANAGEMENT": "127.0.0.1:0",
            }
            server = Server(arguments.binary, settings)
            load = Load(server.http, arguments.interval_ms / 1000)

            def reload(index):
                put(repository, "net", index + 2, GRAPH)
                wait_for(server.http, "net", index + 2)
                shutil.rmtree(repository / "net" / str(index + 1))

            def cycle(_):
                for verb in ("unload", "load"):
                    status, body = ask(server.management, "POST", f"/v1/models/other:{verb}")
                    assert status == 200, body

            time.sleep(1)
            if control == "watch":
                marks = turns(load, server, arguments.reloads, "reloads", reload)
                load.end()
                report(load, "reloads", marks)
            else:
                marks = turns(load, server, arguments.cycles, "loads and unloads", cycle)
                load.end()
                report(load, "loads and unloads", marks)
            for failure in load.failed[:5]:
                print("failed:", failure)
            server.stop()


main()
