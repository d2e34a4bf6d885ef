"""The pictures of folders, read by Pillow 13 and by us: PngSuite, bmpsuite, libtiff's samples, the tests of other decoders.

    folder.py [--program FILE] DIR…

Every file that either of the two reads is compared, whatever it is called. What differs on purpose stands in docs/pictures.md; this tells
all that differs, most of it with our reason. Exits 1 if a picture has other pixels.
"""

import argparse, collections, os, pathlib, sys

import fuzz


def main():
    parser = argparse.ArgumentParser()
    target = os.environ.get("CARGO_TARGET_DIR", fuzz.ROOT / "target")
    parser.add_argument("--program", default=f"{target}/release/examples/pixels")
    parser.add_argument("folders", type=pathlib.Path, nargs="+")
    options = parser.parse_args()
    program, counts = fuzz.Program(options.program), collections.Counter()
    for path in sorted(path for folder in options.folders for path in folder.rglob("*") if path.is_file()):
        file = path.read_bytes()
        theirs, their_error, form = fuzz.pillow(file)
        if their_error == "too large for a test":
            continue
        ours, our_error = program.read(file)
        if theirs == ours:
            outcome = "same" if ours else "refused by both"
        elif theirs and ours:
            outcome = "DIFFERENT"
        else:
            outcome = "REFUSED BY US" if theirs else "REFUSED BY PILLOW"
        counts[outcome] += 1
        if outcome.isupper():
            print(f"{outcome}: {path}: {form or ''}: {our_error or their_error or fuzz.describe(theirs, ours)}", flush=True)
    print(", ".join(f"{outcome}: {count}" for outcome, count in sorted(counts.items())))
    sys.exit(counts["DIFFERENT"] > 0)


main()
