"""What the clients of several protocols share: the server under test, the pictures, and what other software says of them.

The expected probabilities are tests/fixtures/cifar10/probabilities.tsv, which Pillow, NumPy and ONNX Runtime gave; none of our code did.
"""
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests/fixtures/cifar10"
MODEL = "resnet20-cifar10"
MEAN = numpy.array([0.485, 0.456, 0.406], numpy.float32)
STD = numpy.array([0.229, 0.224, 0.225], numpy.float32)
EXPECTED = {
    name: numpy.array(values, numpy.float64)
    for name, *values in (line.split("\t") for line in (FIXTURES / "probabilities.tsv").read_text().splitlines())
}
NAMES = sorted(EXPECTED)
LABELS = (ROOT / "models" / MODEL / "labels.txt").read_text().split("\n")

# The ways of asking that gave what was expected.
passed = []


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def server(binary):
    """Runs `resnetd serve` with the built-in model; gives the addresses of HTTP and gRPC."""
    addresses = [f"127.0.0.1:{port}" for port in (free_port(), free_port())]
    settings = {"RESNETD__RUNTIME__TUNE": "false", "RESNETD__RUNTIME__PROVIDER": "cpu", "RESNETD__RUNTIME__PRECISION": "fp32"}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        command = [binary, "serve", "--models", folder, "--http", addresses[0], "--grpc", addresses[1]]
        process = subprocess.Popen(command, env={**os.environ, **settings}, cwd=ROOT, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError):
                    if urllib.request.urlopen(f"http://{addresses[0]}/readyz").status == 200:
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    sys.exit(f"resnetd does not become ready:\n{log.read()}")
                time.sleep(0.05)
            yield addresses
        finally:
            # The second one does not wait for a load balancer.
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)
            process.wait(10)


def files():
    """The pictures as files, in the order of NAMES."""
    return [(FIXTURES / f"{name}.jpg").read_bytes() for name in NAMES]


def pixels():
    """The same decoded, `uint8[N, 3, 32, 32]`."""
    return numpy.stack([numpy.asarray(Image.open(FIXTURES / f"{name}.jpg").convert("RGB")) for name in NAMES]).transpose(0, 3, 1, 2)


def tensor():
    """The same as the network reads it, `float32[N, 3, 32, 32]`."""
    scaled = pixels().transpose(0, 2, 3, 1).astype(numpy.float32) / 255
    return numpy.ascontiguousarray(((scaled - MEAN) / STD).transpose(0, 3, 1, 2))


def check(way, probabilities, tolerance=2e-6):
    """Compares with the other implementation; its figures have six digits."""
    expected = numpy.stack([EXPECTED[name] for name in NAMES])
    probabilities = numpy.asarray(probabilities, numpy.float64)
    assert probabilities.shape == expected.shape, (way, probabilities.shape)
    difference = numpy.abs(probabilities - expected).max()
    assert difference <= tolerance, f"{way}: probabilities differ by {difference}"
    passed.append(way)


def check_classes(way, images):
    """Compares the classes of each picture, label and probability, the most probable first."""
    assert len(images) == len(NAMES), (way, len(images))
    for name, classes in zip(NAMES, images):
        for label, probability in classes:
            assert abs(probability - EXPECTED[name][LABELS.index(label)]) <= 2e-6, (way, name, label, probability)
        assert classes[0][0] == name, (way, name, classes)
    passed.append(way)


def softmax(logits):
    powers = numpy.exp(logits.astype(numpy.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def finish():
    for way in dict.fromkeys(passed):
        print(way)
    print(f"{len(set(passed))} ways to ask gave what Pillow, NumPy and ONNX Runtime gave")
