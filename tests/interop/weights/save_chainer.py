"""Saves random models of Chainer, in both forms, with the logits that they give: save_chainer.py FOLDER"""
import json
import pathlib
import sys

import chainer
import numpy
from chainer.links import BatchNormalization, ResNet50Layers, ResNet101Layers, ResNet152Layers

MODELS = {"resnet50": ResNet50Layers, "resnet101": ResNet101Layers, "resnet152": ResNet152Layers}


def main(root):
    numpy.random.seed(0)
    images = numpy.load(root / "images.npy")
    for name, model_class in MODELS.items():
        for is_facebook in (False, True):
            model = model_class(pretrained_model=None, downsample_fb=is_facebook)
            model.conv1.b.array[:] = numpy.random.uniform(-0.1, 0.1, model.conv1.b.shape)
            for link in model.links():
                if isinstance(link, BatchNormalization):
                    link.gamma.array[:] = numpy.random.uniform(0.4, 0.6, link.gamma.shape)
                    link.beta.array[:] = numpy.random.uniform(-0.1, 0.1, link.beta.shape)
                    link.avg_mean[:] = numpy.random.uniform(-0.1, 0.1, link.avg_mean.shape)
                    link.avg_var[:] = numpy.random.uniform(0.75, 1.25, link.avg_var.shape)
            folder = root / f"chainer-{name}-{'facebook' if is_facebook else 'msra'}"
            folder.mkdir()
            chainer.serializers.save_npz(str(folder / "model.npz"), model)
            with chainer.using_config("train", False), chainer.no_backprop_mode():
                logits = model(images, layers=["fc6"])["fc6"].array
            numpy.save(folder / "logits.npy", logits)
            flags = ["--stride-in", "3x3"] if is_facebook else []
            case = {"architecture": name, "weights": "model.npz", "flags": flags}
            (folder / "case.json").write_text(json.dumps(case))
            print("saved", folder.name, flush=True)


main(pathlib.Path(sys.argv[1]))
