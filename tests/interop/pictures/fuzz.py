"""Random pictures of every format, read by Pillow 13 and by us: where both read one, every pixel must be the same.

    fuzz.py [--files 20000] [--seconds N] [--seed N] [--only png,gif] [--keep DIR] [--program FILE]

Files are made by Pillow's own writers in every mode and with every option, by writers of our own for what Pillow reads but
does not write, and by damage to all of these. What one reads and the other refuses is counted, and an error too, unless it
stands in writers.ON_PURPOSE. `--keep` writes every file that differs, so that it can become a fixture. Exits 1 if there is one.
"""

import argparse, collections, hashlib, io, os, pathlib, random, struct, subprocess, sys, time, warnings, zlib
import numpy as np
from PIL import Image, ImageFile, ImageOps

import writers

warnings.simplefilter("ignore")
Image.MAX_IMAGE_PIXELS = None
ROOT = pathlib.Path(__file__).resolve().parents[3]

class Program:
    """Our decoder, as a process that answers file by file."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def read(self, file):
        self.file = file
        self.process.stdin.write(struct.pack("<I", len(file)) + file)
        self.process.stdin.flush()
        width, height, length = struct.unpack("<III", self.exactly(12))
        content = self.exactly(length)
        if not width:
            return None, content.decode()
        return (width, height, content), None

    def exactly(self, count):
        content = self.process.stdout.read(count)
        if len(content) < count:
            place = ROOT / "target/died"
            place.write_bytes(self.file)
            raise SystemExit(f"our program died with status {self.process.wait()} of {place}")
        return content


def pillow(file):
    """The definition: opened, turned upright, converted."""
    try:
        image = Image.open(io.BytesIO(file))
        if image.width * image.height > 10_000_000:
            return None, "too large for a test", image.format
        form = image.format
        image = ImageOps.exif_transpose(image).convert("RGB")
        return (image.width, image.height, image.tobytes()), None, form
    except Exception as error:  # whatever it raises, it did not read it
        return None, f"{type(error).__name__}: {error}", None


def damaged(rng, file):
    """A few bytes of the file changed, cut off or doubled, mostly near its start."""
    file = bytearray(file)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        if not file:
            break
        end = len(file) if rng.random() < 0.3 else min(len(file), 200)
        at = rng.randrange(end)
        match rng.randrange(6):
            case 0:
                file[at] ^= 1 << rng.randrange(8)
            case 1:
                file[at] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256)])
            case 2:
                del file[at : at + rng.choice([1, 2, 4])]
            case 3:
                file[at:at] = bytes(rng.randrange(256) for _ in range(rng.choice([1, 2, 4])))
            case 4:
                del file[rng.randrange(len(file)) :]
            case 5:
                value = rng.choice([0, 1, 2, 3, 16, 255, 256, 65535])
                file[at : at + 2] = struct.pack(rng.choice("<>") + "H", value)
    return bytes(file)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="ends after so long, however many files it was")
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", default="")
    parser.add_argument("--damage", type=float, default=0.3, help="how many of the files are damaged")
    parser.add_argument("--keep", type=pathlib.Path)
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    parser.add_argument("--program", default=f"{target}/release/examples/pixels")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else time.time_ns() % 10**9
    rng = random.Random(seed)
    program = Program(options.program)
    formats = options.only.split(",") if options.only else list(writers.FORMATS)
    counts, failures, start = collections.Counter(), 0, time.time()
    number = 0
    while number < options.files and time.time() - start < options.seconds:
        number += 1
        form = rng.choice(formats)
        try:
            file, what = writers.FORMATS[form](rng)
        except (OSError, ValueError):
            continue  # a combination that Pillow does not write
        is_damaged = rng.random() < options.damage
        if is_damaged:
            file, what = damaged(rng, file), what + ", damaged"
        theirs, their_error, _ = pillow(file)
        if their_error == "too large for a test":
            continue
        ours, our_error = program.read(file)
        if theirs and ours and theirs == ours:
            outcome = "same"
        elif theirs and ours:
            outcome = "DIFFERENT"
        elif theirs:
            outcome = "REFUSED BY US"
        elif ours:
            outcome = "REFUSED BY PILLOW"
        else:
            outcome = "refused by both"
        purpose = next((name for name, meant in writers.ON_PURPOSE.items() if outcome.isupper() and meant(form, what, is_damaged, outcome, our_error, their_error)), None)
        counts[form, outcome if purpose is None else f"meant: {purpose}"] += 1
        if outcome.isupper() and purpose is None:
            failures += 1
            name = f"{form}-{hashlib.sha256(file).hexdigest()[:10]}.{form}"
            print(f"{outcome}: {name}: {what}: {our_error or their_error or describe(theirs, ours)}")
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                (options.keep / name).write_bytes(file)
    for (form, outcome), count in sorted(counts.items()):
        print(f"{form:5} {outcome:20} {count}")
    print(f"{number} files in {time.time() - start:.0f} s, seed {seed}: {failures} differ")
    sys.exit(1 if failures else 0)


def describe(theirs, ours):
    if theirs[:2] != ours[:2]:
        return f"{theirs[0]}x{theirs[1]} pixels, ours {ours[0]}x{ours[1]}"
    a, b = (np.frombuffer(pixels[2], np.uint8).astype(int) for pixels in (theirs, ours))
    off = np.nonzero(a != b)[0]
    return f"{len(off)} of {len(a)} values differ, by up to {abs(a - b).max()}, first at {off[0]}: {a[off[0]]}, ours {b[off[0]]}"


if __name__ == "__main__":
    main()
