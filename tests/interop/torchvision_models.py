"""Every ResNet of torchvision: fresh random weights, saved as torchvision saves them, built by resnetd, equal logits.

    python3 tests/interop/torchvision_models.py RESNETD [--speed] [NAME ...]

RESNETD is the binary. Needs torch, torchvision, safetensors and onnxruntime; `--speed` also onnx and onnxscript: it runs
resnet50 as resnetd built it beside the files of both of torch's own exporters, turn by turn on one thread.
"""
import argparse
import pathlib
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime
import torch
import torchvision
from safetensors.torch import save_file

NAMES = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
         "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"]
# Of the largest logit: float32 through up to 152 layers, in another order of additions.
TOLERANCE = 1e-4
# What must not happen is a slower graph; a few percent are the machine's.
SLOWEST_RATIO = 0.97


def fresh(name):
    """The network with random weights and with statistics that are not the initial zeros and ones."""
    torch.manual_seed(1)
    model = torchvision.models.get_model(name, weights=None).eval()
    for key, value in model.state_dict().items():
        if key.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif key.endswith("running_var"):
            value.uniform_(0.75, 1.25)
        elif value.ndim == 1 and key.endswith("weight"):
            value.uniform_(0.4, 0.6)
    return model


def build(resnetd, weights, folder):
    """Builds `auto`: nothing but the file says which network it is."""
    subprocess.run([resnetd, "build", "auto", "--weights", weights, "--output", folder, "--name", "built", "--force",
                    "--version", "1"], check=True, stdout=subprocess.PIPE)
    return folder / "built" / "1" / "model.onnx"


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run(opened, images):
    return opened.run(None, {opened.get_inputs()[0].name: images})[0]


def difference(expected, found):
    return np.abs(expected - found).max() / np.abs(expected).max()


def round_trip(resnetd, name, folder):
    model, images = fresh(name), torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = model(images).numpy()
    torch.save(model.state_dict(), folder / "weights.pth")
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, folder / "weights.safetensors")
    for file in ("weights.pth", "weights.safetensors"):
        opened = session(build(resnetd, folder / file, folder))
        said = opened.get_modelmeta().custom_metadata_map["architecture"]
        error = difference(expected, run(opened, images.numpy()))
        print(f"{name} from {file}: found {said}, logits off by {error:.1e} of the largest", flush=True)
        assert said == name and error < TOLERANCE, f"{name} is not reproduced"


def speed(resnetd, folder):
    model = fresh("resnet50")
    torch.save(model.state_dict(), folder / "weights.pth")
    images = torch.randn(1, 3, 224, 224)
    files = {"resnetd": build(resnetd, folder / "weights.pth", folder)}
    for exporter in ("torchscript", "dynamo"):
        files[exporter] = folder / f"{exporter}.onnx"
        torch.onnx.export(model, (images,), str(files[exporter]), dynamo=exporter == "dynamo", external_data=False)
    opened = {name: session(file) for name, file in files.items()}
    taken = {name: [] for name in files}
    for _ in range(60):
        for name, one in opened.items():
            start = time.process_time()
            run(one, images.numpy())
            taken[name].append(time.process_time() - start)
    median = {name: np.median(times) for name, times in taken.items()}
    for name, seconds in median.items():
        print(f"resnet50 by {name}: {seconds * 1e3:.1f} ms a run, resnetd's file is {seconds / median['resnetd']:.3f} as fast")
    assert min(median.values()) / median["resnetd"] > SLOWEST_RATIO, "resnetd's graph is slower than an exported one"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("resnetd", type=pathlib.Path)
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--speed", action="store_true")
    arguments = parser.parse_args()
    resnetd = arguments.resnetd.resolve()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name in arguments.names:
            round_trip(resnetd, name, folder)
        if arguments.speed:
            speed(resnetd, folder)


if __name__ == "__main__":
    main()
