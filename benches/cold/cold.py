"""Many models: from the start until the server is ready, threads and memory, loaded on demand and all at once; the first request beside the second.

    python3 benches/cold/cold.py --binary target/release/resnetd [--models 200] [--room 10]

A repository of copies of the built-in model. With `all` and with `on_demand`: how long the start takes, what the process has then, and for each
model the first request and the second. Then with `max_loaded`: every model is asked twice in turn, so that each one makes others go; prints the
requests that failed, the loads and the evictions, and memory after each quarter. Needs Python and Linux; asks 127.0.0.1 only.
"""
import argparse
import http.client
import pathlib
import re
import shutil
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
import target  # noqa: E402
from target import ROOT, Server, fixture  # noqa: E402

BUILT_IN = ROOT / "models/resnet20-cifar10"
target.READY_WITHIN_S = 600


def repository(folder, count):
    for number in range(count):
        model = folder / f"net{number:04}"
        (model / "1").mkdir(parents=True)
        for file in ("labels.txt", "model.toml", "1/model.onnx"):
            shutil.copy(BUILT_IN / file, model / file)
    return [f"net{number:04}" for number in range(count)]


class Client:
    def __init__(self, address):
        self.connection = http.client.HTTPConnection(*address, timeout=120)
        self.picture = fixture("cifar10/cat.jpg")
        self.failed = []

    def classify(self, model):
        """Milliseconds."""
        begun = time.perf_counter()
        self.connection.request("POST", f"/v1/models/{model}:classify", body=self.picture)
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            self.failed.append((model, answer.status, body[:200]))
        return 1000 * (time.perf_counter() - begun)

    def metric(self, name):
        self.connection.request("GET", "/metrics")
        text = self.connection.getresponse().read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}[{{ ]", line))


def shown(times):
    times = sorted(times)
    at = lambda share: times[min(len(times) - 1, int(share * len(times)))]  # noqa: E731
    return f"p50 {at(.5):7.1f} ms, p99 {at(.99):7.1f} ms, longest {times[-1]:7.1f} ms"


def start(binary, folder, **settings):
    environment = {"RESNETD__MODELS__DIR": str(folder)}
    environment |= {f"RESNETD__MODELS__{key.upper()}": str(value) for key, value in settings.items()}
    begun = time.monotonic()
    server = Server(binary, environment)
    took = time.monotonic() - begun
    has = f"{server.status('Threads'):.0f} threads, {server.status('VmRSS'):.0f} MB"
    print(f"{settings}: ready after {took:.1f} s with {has}", flush=True)
    return server


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/resnetd")
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--room", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        models = repository(folder, arguments.models)
        for load in ("on_demand", "all"):
            server = start(arguments.binary, folder, load=load)
            client = Client(server.http)
            first, second = [], []
            for model in models:
                first.append(client.classify(model))
                second.append(client.classify(model))
            print(f"    first request:  {shown(first)}\n    second request: {shown(second)}")
            print(f"    then {server.status('Threads'):.0f} threads, {server.status('VmRSS'):.0f} MB, {len(client.failed)} failed")
            server.stop()
        server = start(arguments.binary, folder, load="on_demand", max_loaded=arguments.room)
        client, marks = Client(server.http), []
        for index, model in enumerate(models * 2):
            client.classify(model)
            if (index + 1) % max(1, len(models) // 2) == 0:
                marks.append(server.status("VmRSS"))
        loads, evictions = (client.metric(f"resnetd_model_{event}_total") for event in ("loads", "evictions"))
        memory = " ".join(f"{mark:.0f}" for mark in marks)
        print(f"    {2 * len(models)} requests, {len(client.failed)} failed; {loads:.0f} loads, {evictions:.0f} evictions; memory, MB: {memory}")
        for failure in client.failed[:5]:
            print("failed:", failure)
        server.stop()


main()
