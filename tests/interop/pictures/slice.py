"""Writes tests/fixtures/preprocess/fuzzed.jsonl: small files of every writer, whole and damaged, and what Pillow makes of them.

    slice.py [--seed 11] [--each 24] [--findings DIR…]

Then a TIFF of every way of packing and of every layout that docs/pictures.md names (`row TIFF …`). A line a file: what is in it, the file in base64, and Pillow's width, height and SHA-256 of the RGB pixels, or `null` where it refuses it.
Files of the folders named behind `--findings`, which `fuzz.py --keep` has written, come first. What differs on purpose is left out.
"""

import argparse, base64, hashlib, itertools, json, os, pathlib, random, re, struct, sys

from PIL import Image

import fuzz, tiffs, writers
from parts import picture, saved

MOST_BYTES = 900


def line(name, what, file):
    theirs, _, _ = fuzz.pillow(file)
    pixels = None if theirs is None else {"width": theirs[0], "height": theirs[1], "sha256": hashlib.sha256(theirs[2]).hexdigest()}
    return json.dumps({"name": name, "what": what, "file": base64.b64encode(file).decode(), "pixels": pixels})


def rows(rng):
    """A TIFF for each word of its row in docs/pictures.md: what is in it, and the file."""
    packings = {"group3": ["1"], "group4": ["1"], "tiff_ccitt": ["1"], "jpeg": ["L", "RGB", "CMYK", "YCbCr"]}
    for packing in ["tiff_lzw", "tiff_deflate", "zstd", "packbits", *packings]:
        for mode in packings.get(packing, ["L", "RGB"]):
            yield f"{packing} {mode}", saved(picture(rng, mode, (19, 11)), "TIFF", compression=packing)
    yield "BigTIFF", saved(picture(rng, "RGB", (9, 5)), "TIFF", big_tiff=True)
    yield "palette of 8", saved(picture(rng, "P", (17, 12)), "TIFF", compression="tiff_lzw")
    for mode in ["I", "F", "I;16"]:
        yield mode, saved(picture(rng, mode, (13, 7)), "TIFF")
    grid = bytes(value for color in itertools.product(range(0, 256, 17), repeat=3) for value in color)
    yield "Lab of 4,096 colours", saved(Image.frombytes("LAB", (64, 64), grid), "TIFF", compression="tiff_deflate")
    done = set()
    for _ in range(2_000):
        file, what = tiffs.ycbcr_tiff(rng)
        words = set(re.findall(r"blocks \dx\d|planar True|compression \d+|predictor 2|tiled False", what))
        words |= {f"{word} of its own" for tag, word in ((529, "coefficients"), (532, "levels")) if struct.pack("<H", tag) in file or struct.pack(">H", tag) in file}
        if words - done and len(file) <= 2 * MOST_BYTES and fuzz.pillow(file)[0]:
            done |= words
            yield f"YCbCr, {', '.join(sorted(words))}", file
    done = set()
    for _ in range(20_000):
        file, what = tiffs.tiff(rng)
        photometric, bits, format_, fill, planar, predictor, tiled = re.search(
            r"photometric (\d) bits \[(.*?)\] extra .* format (\d) fill (\d) planar (\d) .*predictor (\d) tiled (\w+)", what
        ).groups()
        bits, kind = bits.split(", "), {"0": "gray", "1": "gray", "2": "RGB", "3": "palette", "5": "CMYK", "6": "YCbCr", "8": "Lab"}[photometric]
        words = {f"{kind} of {bits[0]} in {len(bits)}, format {format_}", *(["tiles"] * (tiled == "True"))}
        words |= {"planes"} if planar == "2" else {"mirrored"} if fill == "2" else {"predictor"} if predictor == "2" else set()
        if words - done and len(file) <= 2 * MOST_BYTES and fuzz.pillow(file)[0]:
            done |= words
            yield ", ".join(sorted(words)), file


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--each", type=int, default=24)
    parser.add_argument("--findings", type=pathlib.Path, nargs="*", default=[])
    target = os.environ.get("CARGO_TARGET_DIR", fuzz.ROOT / "target")
    parser.add_argument("--program", default=f"{target}/release/examples/pixels")
    options = parser.parse_args()
    rng, program = random.Random(options.seed), fuzz.Program(options.program)

    def is_meant(form, what, damaged, file):
        """Whether we differ from Pillow on purpose, or by a fault that is still to be mended, which a test must not hide."""
        theirs, their_error, _ = fuzz.pillow(file)
        ours, our_error = program.read(file)
        if theirs == ours:
            return False
        outcome = "DIFFERENT" if theirs and ours else "REFUSED BY US" if theirs else "REFUSED BY PILLOW"
        if any(meant(form, what, damaged, outcome, our_error, their_error) for meant in writers.ON_PURPOSE.values()):
            return True
        sys.exit(f"{form}: {what}: {outcome}: mend it first")

    lines = []
    for path in sorted(path for folder in options.findings for path in folder.iterdir()):
        form = path.name.split("-")[0]
        file = path.read_bytes()
        if len(file) <= 4 * MOST_BYTES and not is_meant(form, "progressive group", True, file):
            lines.append(line(path.name, "a finding", file))
    for what, file in rows(rng):
        if not is_meant("tiff", what, False, file):
            lines.append(line(f"row TIFF {what}", what, file))
    for form, write in writers.FORMATS.items():
        count = 0
        while count < options.each:
            try:
                file, what = write(rng)
            except (OSError, ValueError):
                continue
            damaged = count % 4 == 3
            if damaged:
                file, what = fuzz.damaged(rng, file), what + ", damaged"
            if len(file) > MOST_BYTES or is_meant(form, what, damaged, file):
                continue
            name = f"{form}-{hashlib.sha256(file).hexdigest()[:10]}"
            lines.append(line(name, what, file))
            count += 1
    path = fuzz.ROOT / "tests/fixtures/preprocess/fuzzed.jsonl"
    path.write_text("\n".join(lines) + "\n")
    print(f"{path}: {len(lines)} files, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
