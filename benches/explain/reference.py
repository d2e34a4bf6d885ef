"""What check.py and torch_maps.py share: pictures as torchvision's transform prepares them, the ten crops, a whole map out of ten, and a server's answer."""
import argparse
import http.client
import json
import pathlib

import numpy
from PIL import Image, ImageOps

MEAN = numpy.array([0.485, 0.456, 0.406], numpy.float32)
STD = numpy.array([0.229, 0.224, 0.225], numpy.float32)


def arguments(description):
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="127.0.0.1:8000")
    parser.add_argument("--name", required=True)
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--crops", type=int, choices=[1, 10], default=1)
    parser.add_argument("pictures", type=pathlib.Path, nargs="+")
    return parser


def resized(path, side):
    """torchvision's Resize(side) on the upright picture."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    width, height = picture.size
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    return picture.resize(size, Image.Resampling.BILINEAR)


def places(size, crop, count):
    """Left and top of torchvision's CenterCrop, or of its TenCrop's five; in the picture that is cut."""
    right, down = (side - crop for side in size)
    centre = (round(right / 2), round(down / 2))
    return [centre] if count == 1 else [(0, 0), (right, 0), (0, down), (right, down), centre]


def crops(picture, crop, count):
    """What the network is shown, as normalized `f32[N, 3, crop, crop]`: for ten, five of the picture, then five of the mirrored one."""
    sides = [picture] if count == 1 else [picture, ImageOps.mirror(picture)]
    views = [side.crop((left, top, left + crop, top + crop)) for side in sides for left, top in places(picture.size, crop, count)]
    pixels = numpy.stack([numpy.asarray(view, numpy.float32) for view in views]) / 255
    return ((pixels - MEAN) / STD).transpose(0, 3, 1, 2)


def painted(size, crop, maps):
    """The map of the whole picture: every place of every view is painted evenly over its pixels, mirrored halves are turned back, and the picture is
    cut into places of about the size that a view's have. The sum is the mean of the views' sums."""
    canvas = numpy.zeros((size[1], size[0]))
    rows, columns = maps[0].shape
    assert crop % rows == 0 and crop % columns == 0
    for mirrored in (False, True):
        side = numpy.zeros_like(canvas)
        for (left, top), view in zip(places(size, crop, 10), maps[5:] if mirrored else maps[:5]):
            side[top : top + crop, left : left + crop] += view.repeat(crop // rows, 0).repeat(crop // columns, 1)
        canvas += side[:, ::-1] if mirrored else side
    canvas *= rows * columns / crop**2 / len(maps)
    for axis, of_a_view in ((0, rows), (1, columns)):
        length = canvas.shape[axis]
        bounds = numpy.linspace(0, length, max(1, round(length * of_a_view / crop)) + 1)
        sums = numpy.concatenate([numpy.zeros_like(canvas.take([0], axis)), canvas.cumsum(axis)], axis)
        at = numpy.apply_along_axis(lambda line: numpy.interp(bounds, numpy.arange(length + 1), line), axis, sums)
        canvas = numpy.diff(at, axis=axis)
    return canvas


def asked(url, name, path, count):
    connection = http.client.HTTPConnection(url)
    more = "" if count == 1 else f"&crops={count}"
    connection.request("POST", f"/v1/models/{name}:explain?top_k=5{more}", path.read_bytes(), {"content-type": "application/octet-stream"})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    assert answer.status == 200, document
    return document["explanations"][0]


def compared(given, run, matrix):
    """Asks for every picture and compares the five most probable classes with `run(views)`: logits `[N, classes]` and features `[N, channels, h, w]`."""
    largest = dict.fromkeys(["map", "logit", "sum", "probability", "scale"], 0.0)
    for path in given.pictures:
        picture = resized(path, given.resize)
        logits, features = (values.astype(numpy.float64) for values in run(crops(picture, given.crop, given.crops)))
        mean = logits.mean(0)
        chances = numpy.exp(logits - logits.max(1, keepdims=True))
        chances = (chances / chances.sum(1, keepdims=True)).mean(0)
        for place, entry in enumerate(asked(given.url, given.name, path, given.crops)["classes"]):
            index, got = entry["index"], numpy.array(entry["map"])
            maps = [numpy.tensordot(matrix[index], view, 1) / view[0].size for view in features]
            wanted = maps[0] if given.crops == 1 else painted(picture.size, given.crop, maps)
            assert got.shape == wanted.shape, (got.shape, wanted.shape)
            differences = {
                "map": abs(got - wanted).max(),
                "logit": max(abs(entry["logit"] - mean[index]), *abs(numpy.array(entry.get("crop_logits", logits[:, index])) - logits[:, index])),
                "sum": abs(got.sum() + entry["bias"] - entry["logit"]),
                "probability": abs(entry["probability"] - chances[index]),
                "scale": abs(logits).max(),
            }
            largest = {name: max(value, differences[name]) for name, value in largest.items()}
            assert place or index == chances.argmax(), (path, index, chances.argmax())
    print(f"{given.name}, {len(given.pictures)} pictures, {given.crops} crops, 5 classes each: off by at most {largest['map']:.2g} in a place of a map, "
          f"{largest['logit']:.2g} in a logit, {largest['probability']:.2g} in a probability; map and bias sum to the logit within {largest['sum']:.2g}; "
          f"the largest logit is {largest['scale']:.4g}")
