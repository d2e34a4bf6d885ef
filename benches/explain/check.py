"""The maps of a running server against Pillow, NumPy and ONNX Runtime in Python, for any graph that ends in GlobalAveragePool and Gemm.

    pip install onnx==1.23.2 onnxruntime==1.32.0 numpy Pillow==13.0.0
    python benches/explain/check.py --url 127.0.0.1:8000 --name resnet50 --graph models/resnet50/1/model.onnx [--crops 10] PICTURE...

For every picture the five most probable classes. Prints the largest differences: of a map's place, of the logit, of the probability, and of the
sum of the map and the bias from the logit. For models of torchvision's transform (resize 256, crop 224, ImageNet's mean and standard deviation).
"""
import pathlib

import numpy
import onnx
import onnxruntime

import reference


class Graph:
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

    def run(self, views):
        return self.session.run(self.names, {self.input: views})


def main():
    parser = reference.arguments(__doc__)
    parser.add_argument("--graph", type=pathlib.Path, required=True)
    given = parser.parse_args()
    graph = Graph(given.graph)
    reference.compared(given, graph.run, graph.matrix)


if __name__ == "__main__":
    main()
