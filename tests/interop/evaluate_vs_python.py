"""`resnetd evaluate` against Python: top-1 and top-5 error, calibration error and confusion in one crop, ten crops and at several
scales, with a ResNet-18 whose weights follow from the names of its tensors (tests/fixtures/golden/README.md has the rule). Pictures are
Pillow's, sums NumPy's; the network is PyTorch's where torch is installed, else our graph with its sides freed in ONNX Runtime.

    python tests/interop/evaluate_vs_python.py RESNETD PHOTOS WORKDIR [COUNT]

PHOTOS is a folder of pictures; COUNT (500) windows of them, in many sizes, are the images. An untrained network gives all of them
the same few classes, so the features are centred: the last layer's bias takes away the mean of its answers, and each image is said to be
of a class that the one crop ranks 1st to 7th. Needs numpy, Pillow 13, and torch or onnx and onnxruntime.
"""
import json
import pathlib
import random
import shutil
import struct
import subprocess
import sys

import numpy
from PIL import Image, ImageOps

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    torch = None
    import onnx
    import onnxruntime

resnetd, photos, work = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
count = int(sys.argv[4]) if len(sys.argv) > 4 else 500
SCALES = [224, 256, 320]
CLASSES = 1000


def values(name, shape):
    """The golden rule, in float64."""
    mask = (1 << 64) - 1
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & mask
    size = int(numpy.prod(shape))
    z = numpy.uint64(state) + (numpy.arange(1, size + 1, dtype=numpy.uint64)) * numpy.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> numpy.uint64(30))) * numpy.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> numpy.uint64(27))) * numpy.uint64(0x94D049BB133111EB)
    u = ((z ^ (z >> numpy.uint64(31))) >> numpy.uint64(40)).astype(numpy.float64) / 2**24
    if len(shape) == 4:
        value = (2 * u - 1) * numpy.sqrt(6 / (shape[1] * shape[2] * shape[3]))
    elif len(shape) == 2:
        value = (2 * u - 1) * numpy.sqrt(3 / shape[1])
    elif name.endswith("running_var"):
        value = 0.75 + 0.5 * u
    elif name.endswith("weight"):
        value = 0.4 + 0.2 * u
    else:
        value = 0.1 * (2 * u - 1)
    return value.astype(numpy.float32).reshape(shape)


def state_dict():
    shapes = {"conv1.weight": (64, 3, 7, 7), "fc.weight": (CLASSES, 512), "fc.bias": (CLASSES,)}
    bns = {"bn1": 64}
    before = 64
    for stage, width in enumerate([64, 128, 256, 512], 1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (width, before, 3, 3)
            shapes[f"{name}.conv2.weight"] = (width, width, 3, 3)
            bns |= {f"{name}.bn1": width, f"{name}.bn2": width}
            if before != width:
                shapes[f"{name}.downsample.0.weight"] = (width, before, 1, 1)
                bns[f"{name}.downsample.1"] = width
            before = width
    for bn, width in bns.items():
        shapes |= {f"{bn}.{part}": (width,) for part in ["weight", "bias", "running_mean", "running_var"]}
    return {name: values(name, shape) for name, shape in shapes.items()}


def bn(x, w, name):
    return F.batch_norm(x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-5)


def run_torch(x, w):
    w = {name: torch.from_numpy(value) for name, value in w.items()}
    x = torch.from_numpy(x)
    x = F.max_pool2d(F.relu(bn(F.conv2d(x, w["conv1.weight"], stride=2, padding=3), w, "bn1")), 3, 2, 1)
    for stage in range(1, 5):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = F.relu(bn(F.conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1), w, f"{name}.bn1"))
            y = bn(F.conv2d(y, w[f"{name}.conv2.weight"], padding=1), w, f"{name}.bn2")
            if f"{name}.downsample.0.weight" in w:
                x = bn(F.conv2d(x, w[f"{name}.downsample.0.weight"], stride=stride), w, f"{name}.downsample.1")
            x = F.relu(x + y)
    return F.linear(x.mean((2, 3)), w["fc.weight"], w["fc.bias"]).numpy()


def build(w):
    """Has resnetd make a model of the weights; gives a function that runs them in Python."""
    head, start = {}, 0
    for name, value in w.items():
        head[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [start, start + value.nbytes]}
        start += value.nbytes
    head = json.dumps(head).encode()
    file = work / "weights.safetensors"
    file.write_bytes(struct.pack("<Q", len(head)) + head + b"".join(value.tobytes() for value in w.values()))
    models = work / "models"
    shutil.rmtree(models, ignore_errors=True)
    command = [resnetd, "build", "resnet18", "--weights", file, "--name", "golden", "--output", models]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    if torch:
        return torch.no_grad()(lambda x: run_torch(x, w))
    model = onnx.load(models / "golden/1/model.onnx")
    for place, name in [(2, "H"), (3, "W")]:
        model.graph.input[0].type.tensor_type.shape.dim[place].dim_param = name
    del model.graph.value_info[:]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, {model.graph.input[0].name: x})[0]


def resize(image, size):
    w, h = image.size
    longer = int(size * max(w, h) / min(w, h))
    return image.resize((size, longer) if w <= h else (longer, size), Image.BILINEAR)


def five_crop(image, side=224):
    """torchvision.transforms.functional.five_crop."""
    w, h = image.size
    top, left = int(round((h - side) / 2.0)), int(round((w - side) / 2.0))
    places = [(0, 0), (w - side, 0), (0, h - side), (w - side, h - side), (left, top)]
    return [image.crop((x, y, x + side, y + side)) for x, y in places]


def tensor(views):
    pixels = numpy.stack([numpy.asarray(view, numpy.float32) for view in views]) / 255
    mean = numpy.array([0.485, 0.456, 0.406], numpy.float32)
    std = numpy.array([0.229, 0.224, 0.225], numpy.float32)
    return ((pixels - mean) / std).transpose(0, 3, 1, 2).copy()


def mean_probabilities(views, network):
    alike = {view.size for view in views}
    batches = [tensor(views)] if len(alike) == 1 else [tensor([view]) for view in views]
    rows = numpy.concatenate([network(batch) for batch in batches]).astype(numpy.float64)
    rows = numpy.exp(rows - rows.max(1, keepdims=True))
    return (rows / rows.sum(1, keepdims=True)).mean(0)


def views_of(image):
    small = resize(image, 256)
    return {
        "1-crop": five_crop(small)[4:],
        "10-crop": five_crop(small) + five_crop(ImageOps.mirror(small)),
        "multi-scale": [resize(image, scale) for scale in SCALES],
    }


def figures(rows, truth):
    order = numpy.argsort(-rows, axis=1, kind="stable")
    first, confidence = order[:, 0], rows.max(1)
    right = first == truth
    bins = numpy.digitize(confidence, numpy.linspace(0, 1, 16), right=True)
    ece = sum((bins == b).mean() * abs(right[bins == b].mean() - confidence[bins == b].mean()) for b in set(bins))
    return 1 - right.mean(), 1 - (order[:, :5] == truth[:, None]).any(1).mean(), ece, first


def windows():
    chance = random.Random(11)
    pictures = [Image.open(file) for file in sorted(photos.iterdir()) if file.suffix.lower() in (".jpg", ".png", ".webp")]
    pictures = [ImageOps.exif_transpose(picture).convert("RGB") for picture in pictures if min(picture.size) > 120]
    for number in range(count):
        picture = pictures[number % len(pictures)]
        w = chance.randint(100, min(picture.width, 600))
        h = chance.randint(max(100, w // 2), max(100, min(picture.height, w * 2, 600)))
        h = min(h, picture.height)
        x, y = chance.randint(0, picture.width - w), chance.randint(0, picture.height - h)
        yield f"{number:04}.png", picture.crop((x, y, x + w, y + h))


def main():
    data, models = work / "data", work / "models"
    data.mkdir(parents=True, exist_ok=True)
    w, images = state_dict(), list(windows())
    for name, image in images:
        image.save(data / name)
    network = build(w)
    centre = numpy.concatenate([network(tensor(views_of(image)["1-crop"])) for _, image in images])
    # Spread out, so that answers are neither all one class nor all near chance.
    gain = 4 / (centre - centre.mean(0)).std()
    w["fc.weight"], w["fc.bias"] = w["fc.weight"] * gain, (w["fc.bias"] - centre.mean(0)) * gain
    network = build(w)

    rows = {kind: [] for kind in ["1-crop", "10-crop", "multi-scale"]}
    for _, image in images:
        for kind, views in views_of(image).items():
            rows[kind].append(mean_probabilities(views, network))
    rows = {kind: numpy.array(row) for kind, row in rows.items()}
    ranks = numpy.random.default_rng(3).integers(0, 7, count)
    order = numpy.argsort(-rows["1-crop"], axis=1, kind="stable")
    truth = order[numpy.arange(count), ranks]
    (data / "val.txt").write_text("".join(f"{name} {label}\n" for (name, _), label in zip(images, truth)))

    wrong = False
    for kind, flags in [("1-crop", []), ("10-crop", ["--crops", "10"]), ("multi-scale", ["--scales", ",".join(map(str, SCALES))])]:
        report = work / f"{kind}.json"
        command = [resnetd, "evaluate", "golden", "--models", models, "--data", data, "--format", "json", "--output", report]
        subprocess.run(command + flags, check=True)
        ours = json.loads(report.read_text())
        top1, top5, ece, first = figures(rows[kind], truth)
        confusion = numpy.zeros((CLASSES, CLASSES), int)
        numpy.add.at(confusion, (truth, first), 1)
        same = (numpy.array(ours["confusion"]) == confusion).all()
        print(f"{kind:12} images {ours['images']}: top-1 error {ours['top1_error']:.4f} and {top1:.4f}, top-5 {ours['top5_error']:.4f} and "
              f"{top5:.4f}, ECE {ours['ece']:.7f} and {ece:.7f}, {len(set(first))} classes, confusion {'the same' if same else 'OTHER'}")
        equal = abs(ours["top1_error"] - top1) < 1e-9 and abs(ours["top5_error"] - top5) < 1e-9 and abs(ours["ece"] - ece) < 1e-5
        wrong |= not (equal and same and ours["images"] == count)
    sys.exit(wrong)


main()
