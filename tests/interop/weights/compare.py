"""Builds every saved model with `resnetd build` and compares the logits: compare.py FOLDER RESNETD"""
import json
import pathlib
import subprocess
import sys

import numpy
import onnxruntime

# Of the largest logit. The networks' forms differ from each other by 2e-3 and more.
TOLERANCE = 1e-4


def distance(folder, architecture, images, resnetd):
    """How far the built model's logits are from the library's, of the largest logit."""
    case = json.loads((folder / "case.json").read_text())
    command = [resnetd, "build", architecture or case["architecture"], "--weights", folder / case["weights"]]
    command += ["--output", folder, "--name", "built", *case["flags"]]
    built = subprocess.run(command, capture_output=True, text=True)
    if built.returncode != 0:
        raise RuntimeError(built.stderr.strip())
    model = max(folder.glob("built/*/model.onnx"), key=lambda path: int(path.parent.name))
    logits = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"]).run(None, {"input": images})[0]
    expected = numpy.load(folder / "logits.npy")
    if logits.shape != expected.shape:
        raise RuntimeError(f"shape {logits.shape}, expected {expected.shape}")
    return float(abs(logits - expected).max() / abs(expected).max())


def main(root, resnetd):
    images = numpy.load(root / "images.npy")
    failures = 0
    for folder in sorted(path.parent for path in root.glob("*/case.json")):
        # By its name, and found from the tensors.
        for architecture in (None, "auto"):
            label = f"{folder.name}{' (auto)' if architecture else ''}"
            try:
                found = distance(folder, architecture, images, resnetd)
            except RuntimeError as error:
                failures += 1
                print(f"{label:42} FAILED: {error}", flush=True)
                continue
            failures += found > TOLERANCE
            print(f"{label:42} {found:.1e} {'ok' if found <= TOLERANCE else 'DIFFERS'}", flush=True)
    if failures:
        sys.exit(f"{failures} of the models differ")


main(pathlib.Path(sys.argv[1]), sys.argv[2])
