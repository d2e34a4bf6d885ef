"""The maps of a running server against Pillow, NumPy and ONNX Runtime in Python, for any graph that ends in GlobalAveragePool and Gemm.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy Pillow==13.0.0
    python benches/explain/check.py --url 127.0.0.1:8000 --name resnet50 --graph models/resnet50/1/model.onnx PICTURE...

For every picture the five most probable classes. Prints the largest differences: of a map's place, of the logit, and of the sum of the map and
the bias from the logit. For models of torchvision's transform (resize 256, crop 224, ImageNet's mean and standard deviation).
"""
import argparse
import http.client
import json
import pathlib

import numpy
import onnx
import onnxruntime
from PIL import Image, ImageOps

MEAN = numpy.array([0.485, 0.456, 0.406], numpy.float32)
STD = numpy.array([0.229, 0.224, 0.225], numpy.float32)


class Reference:
    def __init__(self, path):
        model = onnx.load(path)
        (pool,) = [node for node in model.graph.node if node.op_type == "GlobalAveragePool"]
        dense = [node for node in model.graph.node if node.op_type == "Gemm"][-1]
        model.graph.output.append(onnx.ValueInfoProto(name=pool.input[0]))
        self.names = [model.graph.output[0].name, pool.input[0]]
        self.input = model.graph.input[0].name
        self.session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        weights = {tensor.name: onnx.numpy_helper.to_array(tensor).astype(numpy.float64) for tensor in model.graph.initializer}
        transposed = any(attribute.name == "transB" and attribute.i for attribute in dense.attribute)
        self.matrix = weights[dense.input[1]] if transposed else weights[dense.input[1]].T
        self.bias = weights[dense.input[2]]

    def run(self, picture):
        pixels = numpy.asarray(picture, numpy.float32) / 255
        image = ((pixels - MEAN) / STD).transpose(2, 0, 1)[None]
        (logits,), (features,) = self.session.run(self.names, {self.input: image})
        return logits, features.astype(numpy.float64)


def prepared(path, resize, crop):
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    width, height = picture.size
    size = (resize, int(resize * height / width)) if width <= height else (int(resize * width / height), resize)
    picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = (round((side - crop) / 2) for side in size)
    return picture.crop((left, top, left + crop, top + crop))


def asked(url, name, path):
    connection = http.client.HTTPConnection(url)
    connection.request("POST", f"/v1/models/{name}:explain?top_k=5", path.read_bytes(), {"content-type": "application/octet-stream"})
    answer = connection.getresponse()
    document = json.loads(answer.read())
    assert answer.status == 200, document
    return document["explanations"][0]["classes"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="127.0.0.1:8000")
    parser.add_argument("--name", required=True)
    parser.add_argument("--graph", type=pathlib.Path, required=True)
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("pictures", type=pathlib.Path, nargs="+")
    given = parser.parse_args()
    reference = Reference(given.graph)
    largest = dict.fromkeys(["map", "logit", "sum", "scale"], 0.0)
    for path in given.pictures:
        logits, features = reference.run(prepared(path, given.resize, given.crop))
        for place, entry in enumerate(asked(given.url, given.name, path)):
            index, got = entry["index"], numpy.array(entry["map"])
            wanted = numpy.tensordot(reference.matrix[index], features, 1) / features[0].size
            differences = {
                "map": abs(got - wanted).max(),
                "logit": abs(entry["logit"] - logits[index]),
                "sum": abs(got.sum() + entry["bias"] - entry["logit"]),
                "scale": abs(logits).max(),
            }
            largest = {name: max(value, differences[name]) for name, value in largest.items()}
            assert place or index == logits.argmax(), (path, index, logits.argmax())
    print(f"{given.name}, {len(given.pictures)} pictures, 5 classes each: off by at most {largest['map']:.2g} in a place of a map, {largest['logit']:.2g} in the logit; "
          f"map and bias sum to the logit within {largest['sum']:.2g}; the largest logit is {largest['scale']:.4g}")


if __name__ == "__main__":
    main()
