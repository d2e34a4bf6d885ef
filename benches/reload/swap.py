"""A busy small model while a large one is swapped beside it: its latency before, during and after.

    python3 benches/reload/swap.py --binary target/release/resnetd [--turns 3] [--seconds 10] [--load 0.8] [--new-weights]

A repository with the built-in model and a ResNet-50 without training. The small one's capacity is measured first (closed loop), then it gets that
share of it in an open loop by `resnetd bench`. Each turn has three runs of so many seconds: nothing else happens; version after version of the
ResNet-50 appears and takes over, the next as soon as the one before answers; nothing else happens again. Versions take turns between two graphs,
so that each is measured once; with --new-weights every version has weights of its own (one bit is another). What a run may need is written
before it begins and appears by a rename: copying 100 MB slows whatever runs beside it, and is not the server's. Prints for each run the quantiles
and what was not answered, for the swaps how long each took, and the medians over the turns. Needs Python and Linux; asks 127.0.0.1 only.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
from target import ROOT, Server  # noqa: E402
from versions import put, wait_for  # noqa: E402

BUILT_IN = ROOT / "models/resnet20-cifar10"
# Versions are written for a run as if each swap took so long; where it takes less, they run out before the run ends.
LEAST_SECONDS = 1
QUANTILES = ("p50", "p99", "p99_9", "max")


def bench(binary, server, *more):
    url = "http://{}:{}".format(*server.http)
    command = [binary, "bench", "--url", url, "--model", "small", "--warmup", "1", "--format", "json", *map(str, more)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["runs"][0]


class Swaps:
    """Puts version after version there until it is told to end."""

    def __init__(self, server, repository, graphs):
        self.server, self.repository, self.graphs = server, repository, graphs
        self.version, self.took, self.staged = 1, [], []

    def run(self, work, seconds):
        """Does `work`, which takes so many seconds, while versions come."""
        self.staged = [self.stage(self.version + 1 + number) for number in range(math.ceil(seconds / LEAST_SECONDS))]
        os.sync()
        done = threading.Event()
        thread = threading.Thread(target=self.swap, args=(done,))
        thread.start()
        try:
            return work()
        finally:
            done.set()
            thread.join()
            for folder in self.staged:
                shutil.rmtree(folder)

    def stage(self, version):
        folder = self.repository / f".staged-{version}"
        folder.mkdir()
        shutil.copy(self.graphs(version), folder / "model.onnx")
        return folder

    def swap(self, done):
        while self.staged and not done.is_set():
            self.version += 1
            begun = time.monotonic()
            self.staged.pop(0).rename(self.repository / "big" / str(self.version))
            wait_for(self.server.http, "big", self.version)
            self.took.append(time.monotonic() - begun)
            shutil.rmtree(self.repository / "big" / str(self.version - 1))


def build(binary, folder, seed):
    """The graph of a ResNet-50 with weights of its own."""
    output = folder / f"built-{seed}"
    command = [binary, "build", "resnet50", "--weights", f"untrained:{seed}", "--output", output]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return next(output.rglob("model.onnx"))


def changed(graph, folder, version):
    """The same graph with another bit in its weights, which are most of the file."""
    content = bytearray(graph.read_bytes())
    content[len(content) // 2 + version] ^= 1
    target = folder / "changed.onnx"
    target.write_bytes(content)
    return target


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default="target/release/resnetd")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--load", type=float, default=0.8)
    parser.add_argument("--rate", type=float, help="requests a second, instead of measuring the capacity")
    parser.add_argument("--new-weights", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        repository = folder / "models"
        (repository / "big").mkdir(parents=True)
        shutil.copytree(BUILT_IN, repository / "small")
        two = [build(arguments.binary, folder, seed) for seed in (0, 1)]

        def graphs(version):
            return changed(two[0], folder, version) if arguments.new_weights else two[version % 2]

        put(repository, "big", 1, two[1])
        settings = {
            "RESNETD__MODELS__DIR": str(repository),
            "RESNETD__MODELS__WATCH_INTERVAL_MS": "200",
            "RESNETD__RUNTIME__TUNE": "true",
            "RESNETD__RUNTIME__TUNE_CACHE": str(folder / "tune"),
            "RESNETD__RUNTIME__WEIGHTS_CACHE": str(folder / "weights"),
        }
        server = Server(arguments.binary, settings)
        try:
            capacity = bench(arguments.binary, server, "--duration", 5)["requests_per_second"]
            rate = arguments.rate or arguments.load * capacity
            print(f"capacity {capacity:.0f} requests/s, offered {rate:.0f}", flush=True)
            swaps = Swaps(server, repository, graphs)
            seen = {"before": [], "during": [], "after": []}
            for _ in range(arguments.turns):
                for when, runs in seen.items():
                    offered = ("--rate", rate, "--duration", arguments.seconds)
                    before = len(swaps.took)

                    def work():
                        return bench(arguments.binary, server, *offered)

                    run = swaps.run(work, arguments.seconds) if when == "during" else work()
                    runs.append(run)
                    times = ", ".join(f"{name} {run['latency_ms'][name]:6.1f}" for name in QUANTILES)
                    took = " ".join(f"{time:.1f}" for time in swaps.took[before:])
                    lost = run["requests"] - run["answered"]
                    print(f"{when:>8}: {times} ms, {lost} of {run['requests']} not answered {took and 'swaps, s: ' + took}", flush=True)
            for when, runs in seen.items():
                medians = ", ".join(f"{name} {statistics.median(run['latency_ms'][name] for run in runs):.1f}" for name in QUANTILES)
                print(f"{when:>8}, medians of the turns: {medians} ms")
        finally:
            server.stop()


main()
