"""Our int8 file against the one that onnxruntime.quantization makes of the same images: accuracy and speed.

    quantize_vs_onnxruntime.py FP32.onnx OURS.onnx CALIBRATION TEST [--limit N] [--method percentile|minmax|entropy] [--threads N] [--openvino PLUGIN]

CALIBRATION and TEST hold images in class folders, TEST's named after the lines of labels.txt, two folders above OURS. Images are
32x32 and prepared as resnet20-cifar10 wants them. PLUGIN is libonnxruntime_providers_openvino_plugin.so of the wheel
onnxruntime-ep-openvino: then OpenVINO is measured too. Needs onnxruntime 1.31, onnx, numpy and Pillow. Exits 1 if ours is less accurate by
more than 0.1 points or slower than 0.98 of the other.
"""
import argparse
import json
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


def session(path, threads, provider):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if provider == "cpu":
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    devices = [device for device in onnxruntime.get_ep_devices() if device.ep_name == "OpenVINOExecutionProvider"]
    config = {"CPU": {"INFERENCE_NUM_THREADS": str(threads), "NUM_STREAMS": "1"}}
    options.add_provider_for_devices(devices[:1], {"load_config": json.dumps(config)})
    return onnxruntime.InferenceSession(path, options)


def speeds(sessions, batch, rounds=9, seconds=0.5):
    """Images of each in a second of processor time (all threads together, so that other programs do not disturb), measured
    in turn so that a change of the machine's pace hits all; medians, and that of the ratio of the last to the one before."""
    rates = [[] for _ in sessions]
    for _ in range(rounds):
        for rate, one in zip(rates, sessions):
            feed = {one.get_inputs()[0].name: batch}
            one.run(None, feed)
            start, images = time.process_time(), 0
            while time.process_time() - start < seconds:
                one.run(None, feed)
                images += len(batch)
            rate.append(images / (time.process_time() - start))
    ratio = statistics.median(ours / theirs for theirs, ours in zip(rates[-2], rates[-1]))
    return [statistics.median(rate) for rate in rates], ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fp32")
    parser.add_argument("ours")
    parser.add_argument("calibration", type=pathlib.Path)
    parser.add_argument("test", type=pathlib.Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--method", choices=METHODS, default="percentile")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--openvino", metavar="PLUGIN")
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
    truth = numpy.array([labels.index(file.parent.name) for file in files])
    if args.openvino:
        onnxruntime.register_execution_provider_library("openvino", args.openvino)
    print(f"{len(files)} images, onnxruntime {onnxruntime.__version__}, {args.threads} threads, batch 8, method {args.method}")
    passed = True
    for provider in ["cpu", "openvino"] if args.openvino else ["cpu"]:
        sessions = [session(path, args.threads, provider) for path in (args.fp32, theirs, args.ours)]
        difference, ratio = compare(provider, sessions, files, truth)
        passed &= difference >= -0.1 and ratio >= 0.98
    return 0 if passed else 1


def compare(provider, sessions, files, truth):
    """Prints a table for the three sessions; ours less theirs in points of top-1, and the ratio of their speeds."""
    answers = [[] for _ in sessions]
    for start in range(0, len(files), 100):
        batch = numpy.stack([load(file) for file in files[start : start + 100]])
        for rows, one in zip(answers, sessions):
            rows.append(one.run(None, {one.get_inputs()[0].name: batch})[0])
    logits = [numpy.concatenate(rows).astype(numpy.float64) for rows in answers]
    tops = [row.argmax(1) for row in logits]
    exponentials = [numpy.exp(row - row.max(1, keepdims=True)) for row in logits]
    probabilities = [row / row.sum(1, keepdims=True) for row in exponentials]
    rates, ratio = speeds(sessions, numpy.stack([load(file) for file in files[:8]]))
    print(f"{provider:12}{'top-1 %':>10}{'as fp32 %':>11}{'drift':>9}{'images/cpu-s':>14}")
    for title, top, probability, rate in zip(["fp32", "onnxruntime", "ours"], tops, probabilities, rates):
        agreement, drift = 100 * (top == tops[0]).mean(), abs(probability - probabilities[0]).mean()
        print(f"{title:12}{100 * (top == truth).mean():10.2f}{agreement:11.2f}{drift:9.5f}{rate:14.0f}")
    difference = 100 * ((tops[2] == truth).mean() - (tops[1] == truth).mean())
    print(f"ours - onnxruntime: {difference:+.2f} points, {ratio:.3f} of its speed")
    return difference, ratio


if __name__ == "__main__":
    sys.exit(main())
