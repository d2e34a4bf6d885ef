"""Decode, resize, crop and normalize one photo: ours against Pillow and NumPy, side by side on one core.

    cargo build --release --example preprocess_loop
    python benches/preprocess_vs_pillow.py [IMAGE | phone]      # needs: pillow numpy

`phone` makes a picture of 12 megapixels in the size and coding of a phone's: a photo of the fixtures, enlarged, with a sensor's
noise, quality 95, 4:2:0, about 2 bits a pixel. Rounds alternate between all of them, so that all see the same machine. Prints the median and
the best of the rounds; ratios are against Pillow without `draft`.
"""

import io, os, platform, re, statistics, subprocess, sys, tempfile, time
import numpy as np
import PIL
from PIL import Image

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PHOTO = os.path.join(ROOT, "tests/fixtures/preprocess/images/photo_500x375.jpg")
LOOP = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release/examples/preprocess_loop")
SECONDS = 40
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])


def phone(path):
    """4032x3024 pixels."""
    pixels = np.asarray(Image.open(PHOTO).convert("RGB").resize((4032, 3024), Image.BICUBIC)).astype(np.float32)
    noise = np.random.default_rng(7).normal(0, 1, pixels.shape[:2]).astype(np.float32)
    # as soft as a phone's own noise reduction leaves it
    noise = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, (1, 1), (0, 1))) / 2
    Image.fromarray((pixels + 3 * noise[..., None]).clip(0, 255).astype(np.uint8)).save(path, quality=95, subsampling=2)


def pillow(data, draft=False):
    """torchvision's evaluation transform: Resize(256), CenterCrop(224), ToTensor, Normalize."""
    image = Image.open(io.BytesIO(data))
    if draft:
        image.draft("RGB", (256, 256))
    image = image.convert("RGB")
    width, height = image.size
    short, long = min(width, height), max(width, height)
    other = int(256 * long / short)
    image = image.resize((256, other) if width <= height else (other, 256), Image.BILINEAR)
    left, top = round((image.width - 224) / 2), round((image.height - 224) / 2)
    image = image.crop((left, top, left + 224, top + 224))
    tensor = np.asarray(image).astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(((tensor - MEAN) / STD).transpose(2, 0, 1))


def processor():
    if os.path.exists("/proc/cpuinfo"):
        fields = dict(re.findall(r"(model name|cpu family|model)\s*: (.*)", open("/proc/cpuinfo").read()))
        return f"{fields.get('model name')}, family {fields.get('cpu family')}, model {fields.get('model')}"
    return platform.processor()


class Ours:
    """The loop of ours, which takes a count and gives its nanoseconds and a sum of the numbers."""

    def __init__(self, image, *options):
        self.process = subprocess.Popen([LOOP, image, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def loop(self, count):
        print(count, file=self.process.stdin, flush=True)
        nanoseconds, total = self.process.stdout.readline().split()
        return int(nanoseconds) / count / 1e6, float(total)


def main():
    image = sys.argv[1] if len(sys.argv) > 1 else PHOTO
    if image == "phone":
        image = os.path.join(tempfile.mkdtemp(), "phone.jpg")
        phone(image)
    data = open(image, "rb").read()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the children inherit it
    exact, fast = Ours(image), Ours(image, "fast")
    for ours, draft in ((exact, False), (fast, True)):
        expected, (_, total) = pillow(data, draft).astype(np.float64).sum(), ours.loop(1)
        assert abs(total - expected) < 1e-6 * pillow(data).size, (draft, total, expected)

    def with_pillow(draft):
        def loop(count):
            start = time.perf_counter()
            for _ in range(count):
                pillow(data, draft)
            return (time.perf_counter() - start) / count * 1e3
        return loop

    width, height = Image.open(image).size
    ways = {"pillow + numpy": with_pillow(False), "resnetd": lambda count: exact.loop(count)[0]}
    if min(width, height) >= 512:  # else both are the same
        ways |= {"pillow's draft": with_pillow(True), "resnetd, fast": lambda count: fast.loop(count)[0]}
    times = {name: [] for name in ways}
    count, end = max(1, 1_500_000 // (width * height)), time.monotonic() + SECONDS
    while time.monotonic() < end or len(times["resnetd"]) < 10:
        for name, loop in ways.items():
            times[name].append(loop(count))
    rounds = len(times["resnetd"])
    print(f"{os.path.basename(image)} {width}x{height}, {len(data)} bytes, Pillow {PIL.__version__}, one core of {processor()}, {rounds} rounds of {count}")
    for name, values in times.items():
        ratio = statistics.median(a / b for a, b in zip(times["pillow + numpy"], values))
        print(f"{name:15} median {statistics.median(values):.3f} ms   best {min(values):.3f} ms   {ratio:.2f} times as fast as Pillow, best of each {min(times['pillow + numpy']) / min(values):.2f}")


main()
