#!/usr/bin/env python3
"""Two and four real replicas behind real proxies under a measured load, for `fleet_sim --check`: what the simulation predicts is set beside it.

    against_real.py BINARY [--model FOLDER --image F] [--proxy haproxy,nginx,envoy] [--loads 0.2,0.4] [--seconds 20]
                    [--queue-delay-ms 0] [--output real.json]

Replicas have one session of one thread each, and share this machine's cores with the proxy and the load generator: keep loads so low that a core is free
most of the time, or what is measured is the want of cores. Times of runs are measured first, on one replica with nobody beside it. Load goes to
127.0.0.1 only. `--queue-delay-ms` lets each batch wait for others: then answers take that long rather than what the cores of a busy machine take, and
what is compared is how batches, arrivals and the balancer go together.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/fleet"))
import proxies  # noqa: E402
from replicas import MODEL, Replica, free_ports  # noqa: E402

# Runs of one size differ by about so much, as the logarithm of their time.
DEVIATION = 0.1
DEADLINE_TIMES = 10


class Lab:
    def __init__(self, options):
        self.options, self.runs = options, 0
        self.name = options.model.name if options.model else MODEL
        self.images = options.image or ([] if options.model else sorted((ROOT / "tests/fixtures/cifar10").glob("*.jpg")))

    def bench(self, port, *arguments):
        """`resnetd bench`: its one run."""
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            command = [self.options.binary, "bench", "--url", f"http://127.0.0.1:{port}", "--model", self.name, "--output", file.name, *map(str, arguments)]
            if self.images:
                command += ["--image", *map(str, self.images)]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=180)
            return json.load(open(file.name))["runs"][0]

    def replica(self, port):
        """One replica alone, by what it says of itself after one client, then some: as `resnetd capacity` describes it."""
        for clients in (1, 4, 12):
            self.bench(port, "--connections", clients, "--duration", 4)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/stats", timeout=10) as answer:
            model = next(model for model in json.load(answer)["models"] if model["name"] == self.name)
        runs = [{"images": run["images"], "ms": run["mean_run_ms"]} for run in model["batches"] if run["runs"] >= 5]
        return {"sessions": model["engine"]["instances"], "max_batch_size": model["engine"]["max_batch_size"], "max_queue_delay_us": self.options.queue_delay_ms * 1000,
                "queue_capacity": model["queue"]["capacity"], "preparation_ms": model["queue"]["preparation_ms"], "runs": runs, "run_log_deviation": DEVIATION}

    def most(self, replica):
        """Pictures a second of one replica."""
        largest = max(replica["runs"], key=lambda run: run["images"])
        return replica["sessions"] * largest["images"] / largest["ms"] * 1000


def measure(lab, count, kind, folder):
    options = lab.options
    ports = free_ports(2 * count)
    replicas = [Replica(options.binary, ports[i], ports[count + i], folder) for i in range(count)]
    proxy, found = None, []
    try:
        for replica in replicas:
            replica.start(RESNETD__BATCHING__MAX_QUEUE_DELAY_US=str(options.queue_delay_ms * 1000))
        for replica in replicas:
            replica.wait_until_ready()
        alone = lab.replica(replicas[0].port)
        proxy = proxies.Proxy(kind, replicas, folder)
        # Each replica's first runs and connections are not what is asked for.
        lab.bench(proxy.http, "--connections", count * 2, "--duration", 2)
        idle = lab.bench(proxy.http, "--connections", 1, "--duration", 4)["latency_ms"]["mean"]
        one = min(run["ms"] for run in alone["runs"])
        hop = max(0.0, idle - one - alone["preparation_ms"] - options.queue_delay_ms)
        deadline = max(5, round(DEADLINE_TIMES * idle))
        for load in options.loads:
            rate = load * count * lab.most(alone)
            run = lab.bench(proxy.http, "--rate", f"{rate:.2f}", "--duration", options.seconds, "--timeout-ms", deadline)
            measured = {"p50_ms": run["latency_ms"]["p50"], "p99_ms": run["latency_ms"]["p99"], "goodput": run["in_deadline"] / max(1, run["requests"])}
            found.append({"model": lab.name, "proxy": kind, "replicas": count, "rate": rate, "seconds": options.seconds, "deadline_ms": deadline,
                          "replica": alone, "hop_ms": hop, "measured": measured})
            print(f"{lab.name}, {kind}, {count} replicas, {rate:.0f}/s ({load} of what they do alone): {measured}, late by {run['send_lag_ms']['p99']:.2f} ms", file=sys.stderr)
    finally:
        if proxy:
            proxy.end()
        for replica in replicas:
            replica.end()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--model", type=pathlib.Path, help="a model's folder, NAME/1/model.onnx [default: the built-in model]")
    parser.add_argument("--image", type=pathlib.Path, nargs="*", help="what is sent to it")
    parser.add_argument("--proxy", type=lambda text: text.split(","), default=[kind for kind in proxies.KINDS if proxies.binary(kind)])
    parser.add_argument("--replicas", type=lambda text: [int(count) for count in text.split(",")], default=[2, 4])
    parser.add_argument("--loads", type=lambda text: [float(load) for load in text.split(",")], default=[0.2, 0.4])
    parser.add_argument("--queue-delay-ms", type=int, default=0, help="batching.max_queue_delay_us of the replicas")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "target/bench/real.json")
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    lab, found = Lab(options), []
    for kind in options.proxy:
        for count in options.replicas:
            with tempfile.TemporaryDirectory() as folder:
                if options.model:
                    models = pathlib.Path(folder, "models")
                    models.mkdir()
                    (models / lab.name).symlink_to(options.model.resolve())
                found += measure(lab, count, kind, folder)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
