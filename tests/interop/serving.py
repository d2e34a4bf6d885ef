"""A running resnetd with the built-in model, and what Pillow, NumPy and ONNX Runtime said of ten pictures.

For the tests with real clients. The expected probabilities are tests/fixtures/cifar10/probabilities.tsv, which none of our code
made.
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

# The ways of asking that gave what they should.
passed = []


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def server(binary):
    """Starts the binary; gives the addresses of both doors."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    settings = {"RESNETD__RUNTIME__TUNE": "false", "RESNETD__RUNTIME__PROVIDER": "cpu", "RESNETD__RUNTIME__PRECISION": "fp32"}
    with tempfile.TemporaryDirectory() as folder:
        command = [os.path.abspath(binary), "serve", "--models", folder, "--http", addresses[0], "--grpc", addresses[1]]
        process = subprocess.Popen(command, env={**os.environ, **settings}, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(OSError):
                    if urllib.request.urlopen(f"http://{addresses[0]}/v2/health/ready").status == 200:
                        break
                if process.poll() is not None or time.monotonic() > deadline:
                    sys.exit(f"resnetd does not become ready:\n{process.stderr.read()}")
                time.sleep(0.05)
            yield addresses
        finally:
            # The second one ends it at once.
            process.send_signal(signal.SIGINT)
            process.send_signal(signal.SIGINT)
            process.wait(10)
            process.stderr.close()


def files():
    return numpy.array([(FIXTURES / f"{name}.jpg").read_bytes() for name in NAMES], dtype=numpy.object_)


def pixels():
    pictures = [Image.open(FIXTURES / f"{name}.jpg").convert("RGB") for name in NAMES]
    return numpy.stack([numpy.asarray(picture) for picture in pictures]).transpose(0, 3, 1, 2)


def tensor():
    scaled = pixels().transpose(0, 2, 3, 1).astype(numpy.float32) / 255
    return numpy.ascontiguousarray(((scaled - MEAN) / STD).transpose(0, 3, 1, 2))


def softmax(logits):
    powers = numpy.exp(logits.astype(numpy.float64) - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def check(way, probabilities, tolerance=2e-6):
    """Compares with the other implementation; its figures have six digits."""
    expected = numpy.stack([EXPECTED[name] for name in NAMES])
    assert probabilities.shape == expected.shape, (way, probabilities.shape)
    difference = numpy.abs(probabilities - expected).max()
    assert difference <= tolerance, f"{way}: probabilities differ by {difference}"
    passed.append(way)


def report():
    for way in dict.fromkeys(passed):
        print(way)
    print(f"{len(set(passed))} ways to ask gave what Pillow, NumPy and ONNX Runtime gave")
