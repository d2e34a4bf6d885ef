"""Whether the time of an answer tells how near a wrong key is to a right one.

    python3 benches/keys/timing.py --binary target/release/resnetd [--requests 20000] [--keys 1000]

A server with so many keys is asked over one kept connection, with each kind of key in turn and their order mixed anew each round: wrong in its first
letter, wrong in its last, random, and right without the right to what is asked, so that it is refused as well (403 for 401). Prints the median of each
kind, and of each pair of wrong kinds the difference with a 95 % interval (bootstrap over the rounds). An interval with 0 in it shows nothing; what one
without it shows is how many requests somebody would need. Needs Python and Linux.
"""
import argparse
import http.client
import pathlib
import random
import secrets
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
from key_file import write_keys
from target import Server

WARM_UP = 200
RESAMPLES = 400


def other(letter):
    return "0" if letter != "0" else "1"


def kinds(keys):
    """A key of each kind, another one each time."""
    key = random.choice(keys)
    start, body = key[:8], key[8:]
    return {"wrong in its first": start + other(body[0]) + body[1:], "wrong in its last": key[:-1] + other(key[-1]),
            "random": "resnetd_" + secrets.token_hex(32), "right, not allowed": key}


def ask(connection, key):
    began = time.perf_counter_ns()
    connection.request("GET", "/v1/models", headers={"x-api-key": key})
    answer = connection.getresponse()
    answer.read()
    took = time.perf_counter_ns() - began
    return took, answer.status


def interval(one, two):
    """The difference of the medians, and where 95 of 100 of them lie when rounds are drawn anew."""
    pairs = list(zip(one, two))
    drawn = []
    for _ in range(RESAMPLES):
        sample = random.choices(pairs, k=len(pairs))
        drawn.append(statistics.median(a for a, _ in sample) - statistics.median(b for _, b in sample))
    drawn.sort()
    return statistics.median(one) - statistics.median(two), drawn[RESAMPLES // 40], drawn[-RESAMPLES // 40]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--keys", type=int, default=1_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "keys.toml"
        keys = write_keys(path, options.keys, 'rights = ["classify"]')
        server = Server(options.binary, {"RESNETD__AUTH__KEYS_FILE": str(path)})
        times = {kind: [] for kind in kinds(keys)}
        connection = http.client.HTTPConnection(*server.http, timeout=60)
        for turn in range(WARM_UP + options.requests // len(times)):
            order = list(kinds(keys).items())
            random.shuffle(order)
            for kind, key in order:
                took, status = ask(connection, key)
                wanted = 403 if kind == "right, not allowed" else 401
                if status != wanted:
                    sys.exit(f"{kind}: {status} instead of {wanted}")
                if turn >= WARM_UP:
                    times[kind].append(took / 1e3)
        server.process.kill()
        server.process.wait()
    for kind, all_of_it in times.items():
        print(f"{kind:20} median {statistics.median(all_of_it):8.2f} us of {len(all_of_it)}")
    wrong = [kind for kind in times if kind != "right, not allowed"]
    for place, one in enumerate(wrong):
        for two in wrong[place + 1:]:
            difference, low, high = interval(times[one], times[two])
            print(f"{one} - {two}: {difference:+.3f} us, 95 % between {low:+.3f} and {high:+.3f}")


if __name__ == "__main__":
    main()
