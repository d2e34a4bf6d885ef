"""Our int8 file against the one that onnxruntime.quantization makes of the same images: accuracy and speed.

    quantize_vs_onnxruntime.py FP32.onnx OURS.onnx CALIBRATION TEST [--limit N] [--method percentile|minmax|entropy] [--threads N]

CALIBRATION and TEST hold images in class folders, TEST's named after the lines of labels.txt, two folders above OURS. Images are
32x32 and prepared as resnet20-cifar10 wants them. Needs onnxruntime 1.31, onnx, numpy and Pillow. Exits 1 if ours is
less accurate by more than 0.1 points or slower than 0.98 of the other.
"""
import argparse
import pathlib
import statistics
import sys
import tempfile
import time

import numpy
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from PIL import Image

MEAN = numpy.array([0.485, 0.456, 0.406], numpy.float32)
STD = numpy.array([0.229, 0.224, 0.225], numpy.float32)
METHODS = {"percentile": CalibrationMethod.Percentile, "minmax": CalibrationMethod.MinMax, "entropy": CalibrationMethod.Entropy}


def load(file):
    pixels = numpy.asarray(Image.open(file).convert("RGB"), numpy.float32) / 255
    return ((pixels - MEAN) / STD).transpose(2, 0, 1)


class Reader(CalibrationDataReader):
    def __init__(self, files, name, batch=50):
        self.batches = iter(
            {name: numpy.stack([load(file) for file in files[start : start + batch]])} for start in range(0, len(files), batch)
        )

    def get_next(self):
        return next(self.batches, None)


def session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def speeds(paths, batch, threads, rounds=9, seconds=0.5):
    """Images/s of each, measured in turn so that a change of the machine's pace hits all; medians."""
    sessions = [session(path, threads) for path in paths]
    rates = [[] for _ in paths]
    for _ in range(rounds):
        for place, one in enumerate(sessions):
            feed = {one.get_inputs()[0].name: batch}
            one.run(None, feed)
            start, images = time.perf_counter(), 0
            while time.perf_counter() - start < seconds:
                one.run(None, feed)
                images += len(batch)
            rates[place].append(images / (time.perf_counter() - start))
    return [statistics.median(rate) for rate in rates], statistics.median(b / a for a, b in zip(rates[1], rates[2]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fp32")
    parser.add_argument("ours")
    parser.add_argument("calibration", type=pathlib.Path)
    parser.add_argument("test", type=pathlib.Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--method", choices=METHODS, default="percentile")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    work = tempfile.TemporaryDirectory()
    prepared, theirs = (str(pathlib.Path(work.name) / name) for name in ("prepared.onnx", "theirs.onnx"))
    quant_pre_process(args.fp32, prepared, skip_symbolic_shape=True)
    name = onnxruntime.InferenceSession(args.fp32, providers=["CPUExecutionProvider"]).get_inputs()[0].name
    quantize_static(
        prepared,
        theirs,
        Reader(sorted(args.calibration.rglob("*.jpg")), name),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
        calibrate_method=METHODS[args.method],
    )

    labels = (pathlib.Path(args.ours).parent.parent / "labels.txt").read_text().split("\n")
    files = sorted(args.test.rglob("*.jpg"))
    if args.limit:
        files = files[:: max(1, len(files) // args.limit)]
    paths = [args.fp32, theirs, args.ours]
    answers = [[] for _ in paths]
    sessions = [session(path, args.threads) for path in paths]
    for start in range(0, len(files), 100):
        batch = numpy.stack([load(file) for file in files[start : start + 100]])
        for rows, one in zip(answers, sessions):
            rows.append(one.run(None, {one.get_inputs()[0].name: batch})[0])
    truth = numpy.array([labels.index(file.parent.name) for file in files])
    logits = [numpy.concatenate(rows).astype(numpy.float64) for rows in answers]
    tops = [row.argmax(1) for row in logits]
    exponentials = [numpy.exp(row - row.max(1, keepdims=True)) for row in logits]
    probabilities = [row / row.sum(1, keepdims=True) for row in exponentials]
    batch = numpy.stack([load(file) for file in files[:8]])
    rates, ratio = speeds(paths, batch, args.threads)
    print(f"{len(files)} images, onnxruntime {onnxruntime.__version__}, {args.threads} threads, batch 8, method {args.method}")
    print(f"{'':12}{'top-1 %':>10}{'as fp32 %':>11}{'drift':>9}{'images/s':>10}")
    for place, title in enumerate(["fp32", "onnxruntime", "ours"]):
        top1 = 100 * (tops[place] == truth).mean()
        agreement = 100 * (tops[place] == tops[0]).mean()
        drift = abs(probabilities[place] - probabilities[0]).mean()
        print(f"{title:12}{top1:10.2f}{agreement:11.2f}{drift:9.5f}{rates[place]:10.0f}")
    difference = 100 * ((tops[2] == truth).mean() - (tops[1] == truth).mean())
    print(f"ours - onnxruntime: {difference:+.2f} points, {ratio:.3f} of its speed")
    return 0 if difference >= -0.1 and ratio >= 0.98 else 1


if __name__ == "__main__":
    sys.exit(main())
