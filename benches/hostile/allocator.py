"""What memory the server keeps after many small pictures, and how fast it answers them: to choose the allocator's settings by.

    python3 benches/hostile/allocator.py --binary target/release/resnetd [--pictures 20000] [--large 0] [--rounds 1] [--set NAME=VALUE[,NAME=VALUE…]…]

Each `--set` is a case, a server of its own with these environment variables; `--set =` is one without any. Cases take turns. Four
connections send the fixtures' small pictures, of every format, one after the other; with `--large N` every fortieth is one of N
megapixels in the form that takes most memory, of each format in turn. Prints memory at rest before, after each fifth
of the pictures, five seconds after the last one, and pictures/s. Needs Python and Linux.
"""
import argparse
import http.client
import itertools
import os
import pathlib
import threading
import time

from pictures import worst
from target import CLASSIFY, ROOT, Server

CONNECTIONS = 4
REST_S = 5
LARGE_EACH = 40


def pictures(large):
    files = [path for folder in ("preprocess/images", "images", "cifar10") for path in sorted((ROOT / "tests/fixtures" / folder).iterdir())]
    endings = (".jpg", ".png", ".gif", ".webp", ".bmp", ".tiff", ".tif", ".ppm")
    small = [path.read_bytes() for path in files if path.suffix in endings and path.stat().st_size < 200_000]
    if not large:
        return small
    mixed = []
    for _, picture in worst(large):
        mixed += [small[(len(mixed) + index) % len(small)] for index in range(LARGE_EACH - 1)] + [picture]
    return mixed


def run(binary, variables, count, files):
    os.environ.update(variables)
    server = Server(binary)
    for name in variables:
        del os.environ[name]
    numbers, lock = itertools.count(), threading.Lock()
    refused, marks = 0, []
    before, started = server.status("VmRSS"), time.monotonic()

    def client():
        nonlocal refused
        connection = http.client.HTTPConnection(*server.http, timeout=60)
        while True:
            with lock:
                number = next(numbers)
                if number >= count:
                    return
                if number % (count // 5) == count // 5 - 1:
                    marks.append(server.status("VmRSS"))
            connection.request("POST", CLASSIFY, body=files[number % len(files)])
            answer = connection.getresponse()
            answer.read()
            if answer.status != 200:
                with lock:
                    refused += 1

    threads = [threading.Thread(target=client) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    time.sleep(REST_S)
    after, user = server.status("VmRSS"), processor_time(server.process.pid)
    server.process.kill()
    server.process.wait()
    return before, marks, after, count / seconds, user, refused


def processor_time(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=["target/release/resnetd"], nargs="+")
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--large", type=int, default=0, metavar="MEGAPIXELS")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--set", nargs="+", default=["="], metavar="NAME=VALUE")
    arguments = parser.parse_args()
    files = pictures(arguments.large)
    print(f"{len(files)} files, {arguments.pictures} pictures, {CONNECTIONS} connections; memory in MB, processor time in s")
    for _ in range(arguments.rounds):
        for binary in arguments.binary:
            for case in arguments.set:
                variables = dict(part.split("=", 1) for part in case.split(",") if part != "=")
                before, marks, after, rate, seconds, refused = run(binary, variables, arguments.pictures, files)
                growing = " ".join(f"{mark:.0f}" for mark in marks)
                print(f"{binary} {case}: before {before:.0f}, then {growing}, after {after:.0f}; {rate:.0f}/s, {seconds:.1f} s, {refused} not answered", flush=True)


if __name__ == "__main__":
    main()
