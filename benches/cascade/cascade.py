"""A cascade on a labelled folder: the threshold that `resnetd tune --cascade` finds, then accuracy and time over a running server.

    python3 benches/cascade/cascade.py --binary target/release/resnetd --data DIR [--first MODEL_FOLDER | --calibration DIR]
                                       [--large MODEL_FOLDER] [--max-drop 0.2] [--rounds 3] [--most IMAGES_A_CLASS]

The larger model is the one in --large, or the built-in `resnet20-cifar10`; the first one is the one in --first, or an int8 version of the
larger one, made from the calibration images. A model's folder is that of its `model.toml`; the highest version in it counts. Folders of images
have them in folders named after their class. The threshold is chosen on every other image of each class and everything else is measured on
the others. Each round asks the larger model alone (by its version), the first one alone, and the cascade, all images in requests of 64 on
two connections, served as measuring finds best. Prints the top-1 accuracy of each, images a second (median of the rounds), the cascade's time
by the larger model's, and the part that escalated, from the server's own metric. Needs Python and Linux; asks 127.0.0.1 only.
"""
import argparse
import http.client
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
from target import ROOT, Server  # noqa: E402

BUILT_IN = ROOT / "models/resnet20-cifar10"
IMAGES_A_REQUEST = 64
CONNECTIONS = 2


def ran(command, **more):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout


def halves(data, root, most):
    """The images of a folder, every other one in each half."""
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        for place, image in enumerate(sorted(folder.iterdir())[:most]):
            half = root / ("measured" if place % 2 else "chosen") / folder.name
            half.mkdir(parents=True, exist_ok=True)
            os.symlink(image.resolve(), half / image.name)


def highest_version(model):
    return max(int(path.name) for path in model.iterdir() if path.name.isdigit())


def forms(folder, classes):
    """Bodies of forms with the classes of their images."""
    images = [(classes.index(image.parent.name), image.read_bytes()) for image in sorted(folder.glob("*/*"))]
    for start in range(0, len(images), IMAGES_A_REQUEST):
        part = images[start : start + IMAGES_A_REQUEST]
        head = b'--cut\r\ncontent-disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        yield [of for of, _ in part], b"".join(head + image + b"\r\n" for _, image in part) + b"--cut--\r\n"


def ask(address, path, bodies):
    """How many images are right, and how long all of them take."""
    right, waiting, lock = [0], list(bodies), threading.Lock()

    def work():
        connection = http.client.HTTPConnection(*address, timeout=60)
        while True:
            with lock:
                if not waiting:
                    return
                classes, body = waiting.pop()
            connection.request("POST", path, body, {"content-type": "multipart/form-data; boundary=cut"})
            answer = connection.getresponse()
            document = json.loads(answer.read())
            if answer.status != 200:
                sys.exit(f"{path}: {document}")
            said = [image["classes"][0]["index"] for image in document["predictions"]]
            with lock:
                right[0] += sum(one == other for one, other in zip(said, classes, strict=True))

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return right[0], time.monotonic() - begun


def counted(address):
    """Images of the cascade by why they were answered by whom."""
    connection = http.client.HTTPConnection(*address, timeout=60)
    connection.request("GET", "/metrics")
    counts = {}
    for line in connection.getresponse().read().decode().splitlines():
        if line.startswith("resnetd_cascade_images_total{"):
            labels, count = line.rsplit(" ", 1)
            counts[labels.split('reason="')[1].split('"')[0]] = int(count)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--calibration", type=pathlib.Path)
    parser.add_argument("--first", type=pathlib.Path)
    parser.add_argument("--large", type=pathlib.Path, default=BUILT_IN)
    parser.add_argument("--max-drop", default="0.2")
    parser.add_argument("--most", type=int, help="images a class", default=None)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    if not (args.first or args.calibration):
        parser.error("give a smaller model with --first, or images to make one of with --calibration")
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        models = scratch / "models"
        shutil.copytree(args.large, models / "large")
        shutil.copytree(args.first or args.large, models / "small")
        if not args.first:
            version = highest_version(models / "small")
            ran([args.binary, "quantize", "small", "--calibration", args.calibration, "--models", models, "--force"])
            shutil.rmtree(models / "small" / str(version))
        halves(args.data, scratch, args.most)
        tuned = [args.binary, "tune", "large", "--cascade", "small", "--models", models, "--max-drop", args.max_drop]
        found = json.loads(ran([*tuned, "--data", scratch / "chosen", "--format", "json"]))
        print(json.dumps({key: value for key, value in found.items() if key != "data"}))
        threshold = found["chosen"]["threshold"]
        with open(models / "large/model.toml", "a", encoding="utf-8") as manifest:
            manifest.write(f'\n[cascade]\nfirst = "small"\nthreshold = {threshold}\n')
        classes = (args.large / "labels.txt").read_text(encoding="utf-8").splitlines()
        bodies = list(forms(scratch / "measured", classes))
        images = sum(len(classes) for classes, _ in bodies)
        kept = {"RESNETD__RUNTIME__TUNE": "true", "RESNETD__RUNTIME__TUNE_CACHE": str(scratch / "tune"),
                "RESNETD__RUNTIME__WEIGHTS_CACHE": str(scratch / "weights")}
        server = Server(args.binary, {"RESNETD__MODELS__DIR": str(models), **kept})
        try:
            ways = {
                "large alone": f"/v1/models/large/versions/{highest_version(models / 'large')}:classify",
                "small alone": "/v1/models/small:classify",
                "the cascade": "/v1/models/large:classify",
            }
            rates, rights = {way: [] for way in ways}, {}
            for _ in range(args.rounds):
                for way, path in ways.items():
                    right, took = ask(server.http, path, bodies)
                    rates[way].append(images / took)
                    rights[way] = right
            counts = counted(server.http)
        finally:
            server.stop()
        whole = sum(counts.values())
        print(f"{images} other images, served, {args.rounds} rounds")
        for way in ways:
            print(f"  {way}: top-1 {100 * rights[way] / images:.2f} %, {statistics.median(rates[way]):.0f} images/s")
        price = statistics.median(large / both for large, both in zip(rates["large alone"], rates["the cascade"], strict=True))
        print(f"  the cascade takes {price:.2f} of the larger model's time (median of the rounds)")
        print(f"  escalated {100 * counts['unsure'] / whole:.2f} %, {counts}")


if __name__ == "__main__":
    main()
