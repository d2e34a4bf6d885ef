"""Models that share the cores by weight: what each serves while all of them are asked for more than there is.

    python3 benches/shares/shares.py [--binary target/release/resnetd] [--model models/resnet20-cifar10] [--shares 1 0.5] [--rounds 3]

Copies of one model with `[runtime] share`, one session of one thread for each core, 16 connections each at the same time. Prints the images a
second and the p99 of each, and the first one's alone. Needs Python and Linux; asks 127.0.0.1 only.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
from target import ROOT, Server  # noqa: E402


def load(binary, address, model, seconds):
    command = [binary, "bench", "--url", "http://%s:%d" % address, "--model", model, "--duration", str(seconds), "--warmup", "2", "--format", "json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def told(process):
    figures = json.loads(process.communicate()[0])
    run = figures.get("runs", [figures])[0]
    return f"{run['images_per_second']:.1f} images/s, p99 {run['latency_ms']['p99']:.0f} ms"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/resnetd"))
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/resnet20-cifar10", help="a model's folder without [runtime]")
    parser.add_argument("--shares", type=float, nargs="+", default=[1, 0.5])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as repository:
        for number, share in enumerate(given.shares):
            folder = pathlib.Path(repository, f"net{number}")
            shutil.copytree(given.model, folder)
            with open(folder / "model.toml", "a") as settings:
                sessions = len(os.sched_getaffinity(0))
                settings.write(f'\n[runtime]\nprovider = "cpu"\ninstances = {sessions}\nintra_threads = 1\nshare = {share}\n')
        server = Server(given.binary, {"RESNETD__MODELS__DIR": repository})
        print("alone:", told(load(given.binary, server.http, "net0", given.seconds)))
        for _ in range(given.rounds):
            loads = [load(given.binary, server.http, f"net{number}", given.seconds) for number in range(len(given.shares))]
            for share, process in zip(given.shares, loads):
                print(f"share {share}:", told(process))
        server.stop()


if __name__ == "__main__":
    main()
