"""Decode, resize, crop and normalize one photo: ours against Pillow and NumPy, side by side on one core.

    cargo build --release --example preprocess_loop
    python benches/preprocess_vs_pillow.py [IMAGE]      # needs: pillow numpy

Rounds alternate between the two, so that both see the same machine. Prints the median and the best of the rounds.
"""

import io, os, statistics, subprocess, sys, time
import numpy as np
import PIL
from PIL import Image

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
IMAGE = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "tests/fixtures/preprocess/images/photo_500x375.jpg")
LOOP = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release/examples/preprocess_loop")
ROUNDS, COUNT = 150, 8
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def pillow(data):
    """torchvision's evaluation transform: Resize(256), CenterCrop(224), ToTensor, Normalize."""
    image = Image.open(io.BytesIO(data)).convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    other = int(256 * long / short)
    image = image.resize((256, other) if width <= height else (other, 256), Image.BILINEAR)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    image = image.crop((left, top, left + 224, top + 224))
    tensor = np.asarray(image).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((tensor - MEAN) / STD).transpose(2, 0, 1))


def main():
    data = open(IMAGE, "rb").read()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the child inherits it
    ours = subprocess.Popen([LOOP, IMAGE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def loop(count):
        print(count, file=ours.stdin, flush=True)
        nanoseconds, total = ours.stdout.readline().split()
        return int(nanoseconds) / count / 1e6, float(total)

    expected, (_, total) = pillow(data).astype(np.float64).sum(), loop(COUNT)
    assert abs(total - expected) < 1e-6 * pillow(data).size, (total, expected)
    times = {"pillow + numpy": [], "resnetd": []}
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(COUNT):
            pillow(data)
        times["pillow + numpy"].append((time.perf_counter() - start) / COUNT * 1e3)
        times["resnetd"].append(loop(COUNT)[0])
    width, height = Image.open(IMAGE).size
    print(f"{os.path.basename(IMAGE)} {width}x{height}, {len(data)} bytes, Pillow {PIL.__version__}, one core, {ROUNDS} rounds of {COUNT}")
    for name, values in times.items():
        print(f"{name:15} median {statistics.median(values):.3f} ms   best {min(values):.3f} ms")
    ratio = [a / b for a, b in zip(times["pillow + numpy"], times["resnetd"])]
    print(f"resnetd is {statistics.median(ratio):.2f} times as fast (median of the rounds' ratios)")


main()
