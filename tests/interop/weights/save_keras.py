"""Saves random ResNets of Keras in each of its formats, with their logits: save_keras.py FOLDER

Any backend will do; PyTorch's is taken where none is chosen.
"""
import json
import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "torch")
import keras
import numpy


def fresh(name, **options):
    network = getattr(keras.applications, name)(weights=None, classifier_activation=None, **options)
    return trained(network)


def trained(network):
    """Gives batch normalization and biases what training would: fresh ones hide mistakes."""
    chance = numpy.random.default_rng(7)
    ranges = {"gamma": (0.4, 0.6), "beta": (-0.1, 0.1), "moving_mean": (-0.1, 0.1), "moving_variance": (0.75, 1.25), "bias": (-0.1, 0.1)}
    for variable in network.variables:
        if variable.path.split("/")[-1] in ranges:
            variable.assign(chance.uniform(*ranges[variable.path.split("/")[-1]], variable.shape))
    return network


def transferred():
    """A new head behind the network without its own, as the guide to transfer learning has it; compiled, so that it has an optimizer."""
    base = keras.applications.ResNet50(weights=None, include_top=False, input_shape=(224, 224, 3))
    inputs = keras.Input((224, 224, 3))
    values = keras.layers.GlobalAveragePooling2D()(base(inputs, training=False))
    outputs = keras.layers.Dense(7, name="species")(keras.layers.Dropout(0.2)(values))
    network = trained(keras.Model(inputs, outputs))
    network.compile("adam", loss="mse")
    network.train_on_batch(numpy.zeros((1, 224, 224, 3), "f4"), numpy.zeros((1, 7), "f4"))
    return network



CASES = {
    "50-keras": ("resnet50", lambda: fresh("ResNet50"), "model.keras"),
    "50-weights.h5": ("resnet50", lambda: fresh("ResNet50", classes=10), "model.weights.h5"),
    "50-h5": ("resnet50", lambda: fresh("ResNet50", classes=10), "model.h5"),
    "101-keras": ("resnet101", lambda: fresh("ResNet101", classes=10), "model.keras"),
    "152-h5": ("resnet152", lambda: fresh("ResNet152", classes=10), "model.h5"),
    "transferred-keras": ("resnet50", transferred, "model.keras"),
    "transferred-weights.h5": ("resnet50", transferred, "model.weights.h5"),
    "transferred-h5": ("resnet50", transferred, "model.h5"),
}


def main(root):
    place = root / "images.npy"
    if not place.exists():
        numpy.save(place, numpy.random.RandomState(0).uniform(-2, 2, (2, 3, 224, 224)).astype("f4"))
    images = numpy.load(place).transpose(0, 2, 3, 1)
    for form, (architecture, make, file) in CASES.items():
        folder = root / f"keras-{form}"
        folder.mkdir()
        keras.utils.set_random_seed(3)
        network = make()
        (network.save_weights if ".weights." in file else network.save)(folder / file)
        numpy.save(folder / "logits.npy", network.predict(images, verbose=0))
        (folder / "case.json").write_text(json.dumps({"architecture": architecture, "weights": file, "flags": []}))
        print("saved", folder.name, flush=True)


main(pathlib.Path(sys.argv[1]))
