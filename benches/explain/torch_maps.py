"""The maps of a running server against PyTorch: ResNets as the paper has them, written here, run in eval mode, with hooks for what is averaged.

    apt-get install python3-torch python3-numpy                     # or: pip install torch numpy; and Pillow==13.0.0
    python benches/explain/torch_maps.py --golden resnet50 golden.safetensors          # the weights of the golden networks, and their logits checked
    resnetd build resnet50 --weights golden.safetensors --output models/golden50
    python benches/explain/torch_maps.py --name golden50 --arch resnet50 --weights golden.safetensors [--crops 10] PICTURE...
    python benches/explain/torch_maps.py --name resnet20-cifar10 --arch resnet20 --weights resnet20-cifar10.safetensors --resize 32 --crop 32 PICTURE...

Nothing of it is read from our graphs: weights come from a safetensors file by the names of torchvision (resnet18, resnet50) or of our own training
script (resnet20, with the paper's identity shortcuts). Prints what check.py prints.
"""
import json
import math
import pathlib
import sys

import numpy
import torch
from torch import nn
from torch.nn import functional

import reference

GOLDEN = pathlib.Path(__file__).parent / "../../tests/fixtures/golden/logits.safetensors"


class Block(nn.Module):
    """Two 3x3 layers, or 1x1, 3x3 (with the stride) and 1x1 of four times as many channels; and the shortcut."""

    def __init__(self, channels, width, stride, kernels, growth, shortcut):
        super().__init__()
        sizes = [channels] + [width] * (len(kernels) - 1) + [width * growth]
        for place, kernel in enumerate(kernels, 1):
            step = stride if place == (1 if len(kernels) == 2 else 2) else 1
            setattr(self, f"conv{place}", nn.Conv2d(sizes[place - 1], sizes[place], kernel, step, kernel // 2, bias=False))
            setattr(self, f"bn{place}", nn.BatchNorm2d(sizes[place]))
        self.depth, self.stride, self.more = len(kernels), stride, width * growth - channels
        if shortcut == "projection" and (stride > 1 or self.more):
            self.downsample = nn.Sequential(nn.Conv2d(channels, width * growth, 1, stride, bias=False), nn.BatchNorm2d(width * growth))

    def forward(self, x):
        y = x
        for place in range(1, self.depth + 1):
            y = getattr(self, f"bn{place}")(getattr(self, f"conv{place}")(y))
            y = functional.relu(y) if place < self.depth else y
        if hasattr(self, "downsample"):
            x = self.downsample(x)
        elif self.stride > 1 or self.more:
            # Option A: every second place, and zeros for the new channels, after the old ones.
            x = functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return functional.relu(x + y)


class ResNet(nn.Module):
    def __init__(self, arch, classes):
        super().__init__()
        kernels, growth, counts, widths, shortcut = {
            "resnet18": ([3, 3], 1, [2, 2, 2, 2], [64, 128, 256, 512], "projection"),
            "resnet50": ([1, 3, 1], 4, [3, 4, 6, 3], [64, 128, 256, 512], "projection"),
            "resnet20": ([3, 3], 1, [3, 3, 3], [16, 32, 64], "identity"),
        }[arch]
        self.is_small = len(counts) == 3
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False) if self.is_small else nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        channels, self.stages = widths[0], len(counts)
        for stage, (count, width) in enumerate(zip(counts, widths), 1):
            blocks = []
            for place in range(count):
                blocks.append(Block(channels, width, 2 if stage > 1 and place == 0 else 1, kernels, growth, shortcut))
                channels = width * growth
            setattr(self, f"layer{stage}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        x = x if self.is_small else functional.max_pool2d(x, 3, 2, 1)
        for stage in range(1, self.stages + 1):
            x = getattr(self, f"layer{stage}")(x)
        return self.fc(x.mean((2, 3)))


def uniform(name, count):
    """The golden recipe: splitmix64 of the name's FNV-1a, 24 bits of each."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    with numpy.errstate(over="ignore"):
        z = numpy.uint64(state) + numpy.arange(1, count + 1, dtype=numpy.uint64) * numpy.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> numpy.uint64(30)) * numpy.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> numpy.uint64(27)) * numpy.uint64(0x94D049BB133111EB)
        z = z ^ z >> numpy.uint64(31)
    return (z >> numpy.uint64(40)).astype(numpy.float64) / 2**24


def golden(name, shape):
    u = uniform(name, math.prod(shape)).reshape(shape)
    if len(shape) == 4:
        values = (2 * u - 1) * math.sqrt(6 / math.prod(shape[1:]))
    elif len(shape) == 2:
        values = (2 * u - 1) * math.sqrt(3 / shape[1])
    elif name.endswith("running_var"):
        values = 0.75 + 0.5 * u
    else:
        is_scale = name.endswith("weight")
        values = 0.4 + 0.2 * u if is_scale else 0.1 * (2 * u - 1)
    return values.astype(numpy.float32)


def read(path):
    """The float32 tensors of a safetensors file."""
    file = path.read_bytes()
    length = int.from_bytes(file[:8], "little")
    head = json.loads(file[8 : 8 + length])
    spans = {name: (entry["shape"], *entry["data_offsets"]) for name, entry in head.items() if name != "__metadata__" and entry["dtype"] == "F32"}
    return {name: numpy.frombuffer(file[8 + length + start : 8 + length + end], "<f4").reshape(shape) for name, (shape, start, end) in spans.items()}


def write(path, tensors):
    head, start = {}, 0
    for name, values in tensors.items():
        head[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [start, start + values.nbytes]}
        start += values.nbytes
    text = json.dumps(head).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(values.tobytes() for values in tensors.values()))


def network(arch, tensors):
    net = ResNet(arch, len(tensors["fc.bias"]))
    tensors = {name: torch.from_numpy(numpy.array(values)) for name, values in tensors.items()}
    lost = net.load_state_dict(tensors, strict=False)
    assert not lost.unexpected_keys and all(name.endswith("num_batches_tracked") for name in lost.missing_keys), lost
    return net.eval()


def write_golden(arch, path):
    shapes = {name: tuple(values.shape) for name, values in ResNet(arch, 1000).state_dict().items() if values.dim() > 0}
    tensors = {name: golden(name, shape) for name, shape in shapes.items()}
    image = 4 * uniform("input224", 2 * 3 * 224 * 224).reshape(2, 3, 224, 224).astype(numpy.float32) - 2
    wanted = read(GOLDEN)[f"torchvision.{arch}.logits"]
    with torch.no_grad():
        got = network(arch, tensors)(torch.from_numpy(image)).numpy()
    print(f"{arch}: the golden logits within {abs(got - wanted).max():.2g}, the largest is {abs(wanted).max():.4g}")
    write(path, tensors)


def main():
    if sys.argv[1:2] == ["--golden"]:
        return write_golden(sys.argv[2], pathlib.Path(sys.argv[3]))
    parser = reference.arguments(__doc__)
    parser.add_argument("--arch", choices=["resnet18", "resnet50", "resnet20"], required=True)
    parser.add_argument("--weights", type=pathlib.Path, required=True)
    given = parser.parse_args()
    net = network(given.arch, read(given.weights))
    kept = []
    getattr(net, f"layer{net.stages}").register_forward_hook(lambda _module, _given, made: kept.append(made.numpy()))

    def run(views):
        kept.clear()
        with torch.no_grad():
            logits = net(torch.from_numpy(numpy.ascontiguousarray(views))).numpy()
        return logits, kept[0]

    reference.compared(given, run, net.fc.weight.detach().numpy().astype(numpy.float64))


if __name__ == "__main__":
    main()
