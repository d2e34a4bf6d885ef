"""What a shadow costs those who wait, and how soon a canary that has gone bad is turned back.

    python3 benches/traffic/traffic.py --binary target/release/resnetd [--turns 6] [--seconds 8] [--rate 100]

A repository with one model in three versions: 3 and 4 are the built-in network, 5 is a network of 110 layers without training, which is
slow and wrong. First, turns with and without `shadow = 4`, both versions loaded all the time, under an open loop by `resnetd bench`: p50
and p99 of each turn, and the medians of the turns' ratios. Then twice a canary: version 5 with half of the requests and a limit to its
latency, and version 5 as shadow with the share and a least agreement. It prints how long after the first answer of the canary, and after
the answer that broke the rule as the client reckons it, the last answer of the canary came. Needs Python and Linux; asks 127.0.0.1 only.
"""
import argparse
import http.client
import json
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
from target import ROOT, Server, fixture  # noqa: E402

BUILT_IN = ROOT / "models/resnet20-cifar10"
LEAST = 20
LEAST_AGREEMENT = 0.9


def get(server, path):
    connection = http.client.HTTPConnection(*server.http, timeout=60)
    connection.request("GET", path)
    body = connection.getresponse().read()
    connection.close()
    return body


def traffic(server, repository, text):
    """Puts `[traffic]` in force, and waits until it is."""
    settings = (BUILT_IN / "model.toml").read_text() + "\n[versions]\npolicy = \"all\"\n[traffic]\n" + text
    (repository / "net/model.toml").write_text(settings)
    server.process.send_signal(signal.SIGHUP)
    time.sleep(1.0)


def shadowed(server):
    counts = {}
    for line in get(server, "/metrics").decode().splitlines():
        if line.startswith("resnetd_shadow_requests_total{"):
            outcome = line.split('outcome="')[1].split('"')[0]
            counts[outcome] = counts.get(outcome, 0) + int(line.rsplit(" ", 1)[1])
    return {outcome: count for outcome, count in counts.items() if count}


def bench(binary, server, seconds, rate):
    url = "http://{}:{}".format(*server.http)
    command = [binary, "bench", "--url", url, "--model", "net", "--rate", str(rate), "--duration", str(seconds), "--warmup", "0.5"]
    report = json.loads(subprocess.run([*command, "--format", "json"], check=True, capture_output=True).stdout)
    run = report["runs"][0]
    return run["latency_ms"]["p50"], run["latency_ms"]["p99"]


def cost(binary, server, repository, turns, seconds, rate):
    if not turns:
        return
    off = "split = { \"4\" = 0, \"5\" = 0 }\n"
    ratios = []
    for turn in range(turns):
        figures = {}
        order = [("without", off), ("with", off + "shadow = 4\n")]
        for name, text in order if turn % 2 == 0 else reversed(order):
            traffic(server, repository, text)
            before = shadowed(server)
            figures[name] = bench(binary, server, seconds, rate)
            told = {key: count - before.get(key, 0) for key, count in shadowed(server).items() if count > before.get(key, 0)}
            print(f"{name:>8} a shadow: p50 {figures[name][0]:6.2f} ms, p99 {figures[name][1]:6.2f} ms {told}", flush=True)
        ratios.append([figures["with"][index] / figures["without"][index] for index in (0, 1)])
    for index, name in enumerate(("p50", "p99")):
        of = sorted(ratio[index] for ratio in ratios)
        print(f"{name}: with over without, median {statistics.median(of):.3f} of {' '.join(f'{ratio:.2f}' for ratio in of)}")


def canary(server, repository, name, text, is_broken):
    """Asks one after the other until the canary was turned back for a second."""
    traffic(server, repository, text)
    connection = http.client.HTTPConnection(*server.http, timeout=60)
    picture, answers, broken, first = fixture("cifar10/cat.jpg"), {3: [], 5: []}, None, None
    last = time.monotonic()
    while time.monotonic() - last < 1.0:
        begun = time.monotonic()
        connection.request("POST", "/v1/models/net:classify", body=picture)
        version = json.loads(connection.getresponse().read())["version"]
        now = time.monotonic()
        answers.setdefault(version, []).append(now - begun)
        if version == 5:
            last, first = now, first or now
        # What is mirrored is compared a moment after its answer.
        if broken is None and first and is_broken(answers):
            broken = time.monotonic()
    since = "" if broken is None else f", {1000 * max(0, last - broken):.1f} ms after the answer that broke the rule"
    counts = {version: len(times) for version, times in answers.items()}
    print(f"{name}: {counts}; last answer of the canary {1000 * (last - (first or last)):.0f} ms after its first{since}")
    print(f"  {json.loads(get(server, '/v1/models'))['model_versions'][-1].get('reason')}", flush=True)


def is_slow(answers):
    enough = len(answers[3]) >= LEAST and len(answers[5]) >= LEAST
    return enough and statistics.median(answers[5]) > 2 * statistics.median(answers[3])


def disagrees(server):
    """As the metrics have it: of what was mirrored, images compared and with the same most probable class."""
    counts = {"compared": 0, "agreements": 0}
    for line in get(server, "/metrics").decode().splitlines():
        if line.startswith("resnetd_shadow_") and 'version="5"' in line:
            for kind, mark in (("compared", 'outcome="compared"'), ("agreements", "agreements_total{")):
                counts[kind] += int(line.rsplit(" ", 1)[1]) if mark in line else 0
    return counts["compared"] >= LEAST and counts["agreements"] < LEAST_AGREEMENT * counts["compared"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default="target/release/resnetd")
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rate", type=float, default=100)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        repository = pathlib.Path(folder) / "models"
        (repository / "net").mkdir(parents=True)
        shutil.copy(BUILT_IN / "labels.txt", repository / "net/labels.txt")
        for version in (3, 4):
            shutil.copytree(BUILT_IN / "1", repository / f"net/{version}")
        labels, built = BUILT_IN / "labels.txt", pathlib.Path(folder) / "built"
        command = [arguments.binary, "build", "resnet110-cifar", "--weights", "untrained:1", "--labels", labels, "--output", built]
        subprocess.run(command, check=True, capture_output=True)
        (repository / "net/5").mkdir()
        shutil.copy(next(built.rglob("model.onnx")), repository / "net/5/model.onnx")
        (repository / "net/model.toml").write_text((BUILT_IN / "model.toml").read_text() + "\n[versions]\npolicy = \"all\"\n")
        server = Server(arguments.binary, {"RESNETD__MODELS__DIR": str(repository), "RESNETD__MODELS__WATCH_INTERVAL_MS": "0"})
        try:
            cost(arguments.binary, server, repository, arguments.turns, arguments.seconds, arguments.rate)
            guard = f"[traffic.guard]\nmin_requests = {LEAST}\n"
            split = "split = { \"4\" = 0, \"5\" = 50 }\n"
            canary(server, repository, "a slow canary", split + guard + "max_latency_ratio = 2.0\n", is_slow)
            text = split + "shadow = 5\n" + guard + f"min_agreement = {LEAST_AGREEMENT}\n"
            canary(server, repository, "a wrong canary", text, lambda _: disagrees(server))
            print(f"  mirrored: {shadowed(server)}")
        finally:
            server.stop()


main()
