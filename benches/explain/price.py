"""What explanations cost: `:classify` of a build with them against one without, by turns, and `:explain` against `:classify`.

    python3 benches/explain/price.py --binary target/release/resnetd [--before OTHER/resnetd] [--model models/resnet20-cifar10] [--rounds 5]

One server of each binary, of the same model, one session of one thread. The processor time of the server for each request is what counts: it
does not depend on a busy neighbour as the time of a request does. Needs Python and Linux; asks 127.0.0.1 only.
"""
import argparse
import http.client
import os
import pathlib
import shutil
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
from target import ROOT, Server  # noqa: E402


def processor_time(server):
    fields = pathlib.Path(f"/proc/{server.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cost(server, path, picture, requests):
    """Milliseconds of a processor for each request."""
    connection = http.client.HTTPConnection(*server.http)
    began = processor_time(server)
    for _ in range(requests):
        connection.request("POST", path, picture, {"content-type": "image/jpeg"})
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body
    connection.close()
    return (processor_time(server) - began) * 1e3 / requests


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "target/release/resnetd"))
    parser.add_argument("--before", help="a binary without explanations")
    parser.add_argument("--model", type=pathlib.Path, default=ROOT / "models/resnet20-cifar10", help="a model's folder without [runtime]")
    parser.add_argument("--picture", type=pathlib.Path, default=ROOT / "tests/fixtures/cifar10/cat.jpg")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=300)
    given = parser.parse_args()
    picture = given.picture.read_bytes()
    with tempfile.TemporaryDirectory() as repository:
        folder = pathlib.Path(repository, "net")
        shutil.copytree(given.model, folder)
        with open(folder / "model.toml", "a") as settings:
            settings.write('\n[runtime]\nprovider = "cpu"\ninstances = 1\nintra_threads = 1\n')
        environment = {"RESNETD__MODELS__DIR": repository}
        now = Server(given.binary, environment)
        before = Server(given.before, environment) if given.before else None
        ratios = {"classify, with against without": [], "explain against classify": []}
        for _ in range(given.rounds):
            classify = cost(now, "/v1/models/net:classify", picture, given.requests)
            explain = cost(now, "/v1/models/net:explain", picture, given.requests)
            line = f"classify {classify:.3f} ms, explain {explain:.3f} ms"
            ratios["explain against classify"].append(explain / classify)
            if before:
                earlier = cost(before, "/v1/models/net:classify", picture, given.requests)
                line += f", classify without {earlier:.3f} ms"
                ratios["classify, with against without"].append(classify / earlier)
            print(line, flush=True)
        for name, values in ratios.items():
            if values:
                print(f"{name}: {statistics.median(values):.4f} of the processor time (median of {len(values)}, {min(values):.4f} to {max(values):.4f})")
        for server in filter(None, [now, before]):
            server.stop()


if __name__ == "__main__":
    main()
