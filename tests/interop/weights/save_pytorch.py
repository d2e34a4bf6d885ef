"""Saves random models of torchvision, timm and transformers with the logits that they give: save_pytorch.py FOLDER"""
import json
import pathlib
import sys

import numpy
import timm
import torch
import torchvision
from safetensors.torch import save_file
from transformers import ResNetConfig, ResNetForImageClassification

from trained import trained

ARCHITECTURES = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"]
RELATIVES = ["resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2"]
DEPTHS = {
    "resnet18": ("basic", [2, 2, 2, 2]),
    "resnet34": ("basic", [3, 4, 6, 3]),
    "resnet50": ("bottleneck", [3, 4, 6, 3]),
    "resnet101": ("bottleneck", [3, 4, 23, 3]),
    "resnet152": ("bottleneck", [3, 8, 36, 3]),
}


def torchvision_file(name, folder):
    model = trained(getattr(torchvision.models, name)(num_classes=1000))
    torch.save(model.state_dict(), folder / "weights.pth")
    return model, "weights.pth"


def checkpoint_file(name, folder):
    """As a training script saves it: data-parallel, half precision, with its optimizer and ten classes."""
    model = trained(torch.nn.DataParallel(getattr(torchvision.models, name)(num_classes=10)).cpu()).half()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    torch.save({"epoch": 9, "state_dict": model.state_dict(), "optimizer": optimizer.state_dict()}, folder / "last.pt")
    return model.module.float(), "last.pt"


def timm_file(name, folder):
    model = trained(timm.create_model(name, pretrained=False, num_classes=21))
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    return model, "model.safetensors"


def hugging_face_file(name, folder):
    kind, depths = DEPTHS[name]
    sizes = [64, 128, 256, 512] if kind == "basic" else [256, 512, 1024, 2048]
    config = ResNetConfig(layer_type=kind, depths=depths, hidden_sizes=sizes, embedding_size=64, num_labels=1000)
    model = trained(ResNetForImageClassification(config))
    model.save_pretrained(folder, safe_serialization=True)
    return model, "model.safetensors"


CASES = (
    [("torchvision", torchvision_file, name) for name in ARCHITECTURES + RELATIVES]
    + [("checkpoint", checkpoint_file, name) for name in ("resnet18", "resnet50")]
    + [("timm", timm_file, name) for name in ARCHITECTURES + RELATIVES[:1] + RELATIVES[3:4]]
    + [("transformers", hugging_face_file, name) for name in ARCHITECTURES]
)


def main(root):
    torch.manual_seed(0)
    images = numpy.random.RandomState(0).uniform(-2, 2, (2, 3, 224, 224)).astype("f4")
    numpy.save(root / "images.npy", images)
    for library, save, name in CASES:
        folder = root / f"{library}-{name}"
        folder.mkdir()
        model, file = save(name, folder)
        with torch.inference_mode():
            logits = model(torch.from_numpy(images))
        numpy.save(folder / "logits.npy", getattr(logits, "logits", logits).numpy())
        (folder / "case.json").write_text(json.dumps({"architecture": name, "weights": file, "flags": []}))
        print("saved", folder.name, flush=True)


main(pathlib.Path(sys.argv[1]))
