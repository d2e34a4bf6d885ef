"""How long a key is let in after it was revoked, on a connection that stays open.

    python3 benches/keys/revoked.py --binary target/release/resnetd [--rounds 20] [--asks 100]

Each round `resnetd keys add` makes a key in the server's file, one kept connection of HTTP/1.1 asks with it so many times a second, and
`resnetd keys revoke` takes it away at a moment of chance between two looks of the server at its file. Prints the seconds from the end of that
command to the first 401, their median and the longest. Any other answer than 200 before it, or a connection that was closed, ends the script.
Needs Python and Linux; asks 127.0.0.1 only.
"""
import argparse
import http.client
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "hostile"))
from target import Server

# As often as the server looks at the file, by default.
LOOK_S = 0.25
PATIENCE_S = 10


def keys(binary, path, *arguments):
    return subprocess.run([binary, "keys", *arguments, "--file", path], check=True, capture_output=True, text=True).stdout.strip()


def asked_until(status, connection, key, every_s):
    """Asks with the key until the answer has this status."""
    other = {200: 401, 401: 200}[status]
    end = time.monotonic() + PATIENCE_S
    while True:
        began = time.monotonic()
        connection.request("GET", "/v1/models", headers={"x-api-key": key})
        answer = connection.getresponse()
        answer.read()
        if answer.status == status:
            return
        if answer.status != other or began > end:
            sys.exit(f"{answer.status} instead of {status}")
        time.sleep(max(0, began + every_s - time.monotonic()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--asks", type=float, default=100, help="a second")
    options = parser.parse_args()
    every_s = 1 / options.asks
    took = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "keys.toml"
        # The file is to be there when the server starts.
        keys(options.binary, path, "add", "stays")
        server = Server(options.binary, {"RESNETD__AUTH__KEYS_FILE": str(path)})
        try:
            connection = http.client.HTTPConnection(*server.http, timeout=PATIENCE_S)
            connection.connect()
            # A connection that was closed is not opened again: what is measured is an open one.
            connection.auto_open = 0
            for number in range(options.rounds):
                key = keys(options.binary, path, "add", f"round{number}")
                asked_until(200, connection, key, every_s)
                time.sleep(random.uniform(0, LOOK_S))
                keys(options.binary, path, "revoke", f"round{number}")
                revoked = time.monotonic()
                asked_until(401, connection, key, every_s)
                took.append(time.monotonic() - revoked)
        finally:
            server.stop()
    print(f"refused after {' '.join(f'{seconds:.2f}' for seconds in sorted(took))} s: median {statistics.median(took):.2f}, longest {max(took):.2f}")


if __name__ == "__main__":
    main()
