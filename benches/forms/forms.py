#!/usr/bin/env python3
"""What each form of a request costs: the same picture as a plain body and in the forms of other protocols, by turns.

`make bench-forms`, or `python3 benches/forms/forms.py --binary target/release/resnetd --image photo.jpg`. The clients share the
machine with the server, and their own cost differs from form to form; so beside the images a second it tells the server's
processor time for an image, which is the fairer figure. Both are set against the plain body of the same round.
"""

import argparse
import asyncio
import base64
import json
import os
import statistics
import struct
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MODEL = "resnet20-cifar10"
TICKS = os.sysconf("SC_CLK_TCK")


def forms(image):
    """Name → (path, headers, body)."""
    text = base64.b64encode(image).decode()
    as_json = {"content-type": "application/json"}
    head = {
        "inputs": [{"name": "input", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(image) + 4}}],
        "outputs": [{"name": "probabilities", "parameters": {"binary_data": True}}],
    }
    head = json.dumps(head).encode()
    binary = {"inference-header-content-length": str(len(head)), "content-type": "application/octet-stream"}
    v2 = {"inputs": [{"name": "input", "shape": [1], "datatype": "BYTES", "data": [text]}]}
    v1 = f"/v1/models/{MODEL}"
    return {
        "plain body": (f"{v1}:classify", {"content-type": "image/jpeg"}, image),
        "v2, header 0": (f"/v2/models/{MODEL}/infer", {"inference-header-content-length": "0"}, image),
        "v2, BYTES binary": (f"/v2/models/{MODEL}/infer", binary, head + struct.pack("<I", len(image)) + image),
        "v2, BYTES in JSON": (f"/v2/models/{MODEL}/infer", as_json, json.dumps(v2).encode()),
        "TF Serving, b64": (f"{v1}:predict", as_json, json.dumps({"instances": [{"b64": text}]}).encode()),
        "ours, b64": (f"{v1}:classify", as_json, json.dumps({"instances": [{"b64": text}]}).encode()),
    }


async def client(address, request, end, counted):
    reader, writer = await asyncio.open_connection(*address)
    while time.monotonic() < end:
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.split(b"\r\ncontent-length: ")[1].split(b"\r")[0]))
        if b" 200 " not in head[:16]:
            raise SystemExit(f"refused: {head[:200]!r}")
        counted.append(1)
    writer.close()


async def load(address, form, connections, seconds):
    path, headers, body = form
    lines = [f"POST {path} HTTP/1.1", "host: bench", *(f"{name}: {value}" for name, value in headers.items())]
    request = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""]).encode() + body
    counted, end = [], time.monotonic() + seconds
    await asyncio.gather(*(client(address, request, end, counted) for _ in range(connections)))
    return len(counted)


def processor_seconds(process):
    fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def serve(binary):
    command = [binary, "serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]
    environment = dict(os.environ, RESNETD__LOG__FORMAT="json", RESNETD__RUNTIME__PROVIDER="cpu", RESNETD__RUNTIME__PRECISION="fp32")
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    address = None
    for line in process.stderr:
        said = json.loads(line)
        if said.get("message") == "listening":
            host, port = said["http"].rsplit(":", 1)
            address = (host, int(port))
        if said.get("message") == "ready":
            return process, address
    raise SystemExit("the server did not start")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=str(ROOT / "target/release/resnetd"))
    parser.add_argument("--image", default=str(ROOT / "tests/fixtures/cifar10/cat.jpg"))
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()

    all_forms = forms(Path(arguments.image).read_bytes())
    process, address = serve(arguments.binary)
    rates = {name: [] for name in all_forms}
    costs = {name: [] for name in all_forms}
    try:
        for _ in range(arguments.rounds):
            for name, form in all_forms.items():
                before, begun = processor_seconds(process), time.monotonic()
                count = asyncio.run(load(address, form, arguments.connections, arguments.seconds))
                rates[name].append(count / (time.monotonic() - begun))
                costs[name].append((processor_seconds(process) - before) / count)
    finally:
        process.terminate()
        process.wait()
    plain = next(iter(all_forms))
    print(f"{arguments.image}, {arguments.connections} connections, medians of {arguments.rounds} rounds")
    print(f"{'form':<20} {'bytes':>8} {'images/s':>9} {'of plain':>9} {'server µs':>10} {'of plain':>9}")
    for name, (_, _, body) in all_forms.items():
        rate = statistics.median(a / b for a, b in zip(rates[name], rates[plain]))
        cost = statistics.median(a / b for a, b in zip(costs[name], costs[plain]))
        micros = statistics.median(costs[name]) * 1e6
        print(f"{name:<20} {len(body):>8} {statistics.median(rates[name]):>9.0f} {rate:>9.3f} {micros:>10.0f} {cost:>9.3f}")


if __name__ == "__main__":
    main()
