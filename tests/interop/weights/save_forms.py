"""Saves random ResNets in the forms that training leaves behind, with the logits of the network that is meant: save_forms.py FOLDER

Averaged, compiled, wrapped by Lightning or MMPretrain, with heads of a script's own, beside an average, in half precision, in
PyTorch's old format, under Caffe2's names. The wrapper itself writes each where it is installed; what is not is named and left out.
"""
import collections
import json
import pathlib
import pickle
import sys

import numpy
import torch
import torchvision
from safetensors.torch import save_file
from torch.optim.swa_utils import AveragedModel

from trained import trained


def fresh(name="resnet18", classes=10):
    return trained(getattr(torchvision.models, name)(num_classes=classes))


def averaged(folder):
    """The average of two networks, as `torch.optim.swa_utils` saves it: `n_averaged` and `module.…`."""
    one, other = fresh(), fresh()
    average = AveragedModel(one, use_buffers=True)
    average.update_parameters(one)
    average.update_parameters(other)
    torch.save(average.state_dict(), folder / "weights.pth")
    return average.module, "weights.pth", []


def beside_its_average(folder, key):
    """As torchvision's own training script saves it: `model` beside `model_ema`."""
    one, other = fresh(), fresh()
    average = AveragedModel(other, use_buffers=True)
    optimizer = torch.optim.SGD(one.parameters(), lr=0.1, momentum=0.9)
    checkpoint = {"model": one.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    torch.save(checkpoint | {"model_ema": average.state_dict()}, folder / "checkpoint.pth")
    return (average.module if key == "model_ema" else one), "checkpoint.pth", ["--key", key] if key else []


def compiled(folder, parallel):
    one = fresh()
    wrapped = torch.compile(one)
    wrapped = torch.nn.DataParallel(wrapped) if parallel else wrapped
    torch.save(wrapped.state_dict(), folder / "weights.pt")
    return one, "weights.pt", []


def lightning(folder):
    """A module with the loss's own weights beside the network, trained for a step and saved by the trainer."""
    import lightning.pytorch as pl

    class Task(pl.LightningModule):
        def __init__(self, network):
            super().__init__()
            self.network = network
            self.criterion = torch.nn.CrossEntropyLoss(weight=torch.rand(10))
            self.proxies = torch.nn.Parameter(torch.rand(10, 512))

        def training_step(self, batch, _):
            return self.criterion(self.network(batch[0]), batch[1])

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.001)

    one = fresh()
    data = torch.utils.data.TensorDataset(torch.randn(4, 3, 64, 64), torch.arange(4))
    quiet = dict(logger=False, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False)
    trainer = pl.Trainer(accelerator="cpu", max_steps=1, **quiet)
    trainer.fit(Task(one), torch.utils.data.DataLoader(data, batch_size=4))
    trainer.save_checkpoint(folder / "last.ckpt")
    return one.eval(), "last.ckpt", []


def own_head(folder, head):
    one = fresh()
    one.fc = head
    torch.save({"state_dict": one.state_dict(), "best_acc1": torch.tensor(0.7)}, folder / "best.pth.tar")
    return one.eval(), "best.pth.tar", []


def mmpretrain(folder):
    """`ImageClassifier` of a backbone and a head; MMEngine's `meta` and `message_hub` stand beside the weights."""
    from mmpretrain.models import ImageClassifier

    one = ImageClassifier(
        backbone=dict(type="ResNet", depth=18),
        neck=dict(type="GlobalAveragePooling"),
        head=dict(type="LinearClsHead", num_classes=10, in_channels=512),
    )
    trained(one)
    meta = {"epoch": 100, "dataset_meta": {"classes": [f"class {i}" for i in range(10)]}}
    torch.save({"meta": meta, "message_hub": {}, "state_dict": one.state_dict()}, folder / "epoch_100.pth")
    return lambda images: one(images, mode="tensor"), "epoch_100.pth", []


def caffe2(folder, fixed):
    """Detectron's names: the stride in the first 1x1, batch normalization fixed to a scale and a shift, or not."""
    one = fresh("resnet50", 1000)
    for layer in (one.layer2, one.layer3, one.layer4):
        layer[0].conv1.stride, layer[0].conv2.stride = (2, 2), (1, 1)
    fields = {"weight": "s", "bias": "b", "running_mean": "rm", "running_var": "riv"}
    blobs = {}
    for name, value in one.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        *places, field = name.split(".")
        if places == ["fc"]:
            blobs[f"pred_{field[0]}"] = value
        elif places == ["conv1"]:
            blobs["conv1_w"] = value
        elif places == ["bn1"]:
            blobs[f"res_conv1_bn_{fields[field]}"] = value
        else:
            stage, module, part = int(places[0][-1]) + 1, places[1], places[2]
            branch = "branch1" if part == "downsample" else f"branch2{'abc'[int(part[-1]) - 1]}"
            norm = part.startswith("bn") or places[-1] == "1"
            blobs[f"res{stage}_{module}_{branch}_{'bn_' + fields[field] if norm else field[0]}"] = value
    if fixed:
        # As in `R-50.pkl`, which came from Caffe.
        one.conv1.bias = torch.nn.Parameter(torch.rand(64) - 0.5)
        blobs["conv1_b"] = one.conv1.bias.detach()
        for name in [name[:-2] for name in blobs if name.endswith("_bn_s")]:
            scale = blobs[f"{name}_s"] / torch.sqrt(blobs.pop(f"{name}_riv") + 1e-5)
            blobs[f"{name}_b"] = blobs[f"{name}_b"] - blobs.pop(f"{name}_rm") * scale
            blobs[f"{name}_s"] = scale
    blobs = {name: value.numpy() for name, value in blobs.items()}
    blobs |= {f"{name}_momentum": numpy.zeros_like(value) for name, value in blobs.items()} if fixed else {}
    (folder / "model_final.pkl").write_bytes(pickle.dumps({"blobs": blobs, "cfg": "MODEL:\n  TYPE: r50\n"}, protocol=2))
    return one, "model_final.pkl", []


def legacy(folder, dtype):
    """Five pickles and the storages, before PyTorch 1.6."""
    one = fresh().to(dtype)
    optimizer = torch.optim.Adam(one.parameters())
    checkpoint = {"epoch": 9, "arch": "resnet18", "state_dict": one.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(checkpoint, folder / "model_best.pth.tar", _use_new_zipfile_serialization=False)
    return one.float(), "model_best.pth.tar", []


def half(folder, dtype, safetensors):
    one = fresh().to(dtype)
    file = "model.safetensors" if safetensors else "weights.pth"
    if safetensors:
        save_file(one.state_dict(), folder / file)
    else:
        torch.save(collections.OrderedDict(one.state_dict()), folder / file)
    return one.float(), file, []


CASES = {
    "averaged": ("resnet18", averaged),
    "model-beside-ema": ("resnet18", lambda folder: beside_its_average(folder, None)),
    "model-by-key": ("resnet18", lambda folder: beside_its_average(folder, "model")),
    "ema-by-key": ("resnet18", lambda folder: beside_its_average(folder, "model_ema")),
    "compiled": ("resnet18", lambda folder: compiled(folder, False)),
    "compiled-parallel": ("resnet18", lambda folder: compiled(folder, True)),
    "lightning": ("resnet18", lightning),
    "head-fc.1": ("resnet18", lambda folder: own_head(folder, torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(512, 10)))),
    "head-fc.0": ("resnet18", lambda folder: own_head(folder, torch.nn.Sequential(torch.nn.Linear(512, 10), torch.nn.Dropout()))),
    "mmpretrain": ("resnet18", mmpretrain),
    "caffe2-fixed": ("resnet50", lambda folder: caffe2(folder, True)),
    "caffe2": ("resnet50", lambda folder: caffe2(folder, False)),
    "legacy": ("resnet18", lambda folder: legacy(folder, torch.float32)),
    "legacy-float16": ("resnet18", lambda folder: legacy(folder, torch.float16)),
    "bfloat16": ("resnet18", lambda folder: half(folder, torch.bfloat16, False)),
    "bfloat16-safetensors": ("resnet18", lambda folder: half(folder, torch.bfloat16, True)),
    "float16": ("resnet18", lambda folder: half(folder, torch.float16, False)),
    "float16-safetensors": ("resnet18", lambda folder: half(folder, torch.float16, True)),
}


def main(root):
    torch.manual_seed(1)
    place = root / "images.npy"
    if not place.exists():
        numpy.save(place, numpy.random.RandomState(0).uniform(-2, 2, (2, 3, 224, 224)).astype("f4"))
    images = torch.from_numpy(numpy.load(place))
    for form, (architecture, save) in CASES.items():
        folder = root / f"form-{form}"
        folder.mkdir()
        try:
            model, file, flags = save(folder)
        except (ImportError, AttributeError) as error:
            print(f"left out {folder.name}: {error}", flush=True)
            continue
        with torch.inference_mode():
            numpy.save(folder / "logits.npy", model(images).numpy())
        (folder / "case.json").write_text(json.dumps({"architecture": architecture, "weights": file, "flags": flags}))
        print("saved", folder.name, flush=True)


main(pathlib.Path(sys.argv[1]))
