#!/usr/bin/env python3
"""Classifies image files over HTTP. Standard library only.

    python3 examples/python/http_client.py MODEL FILE...

RESNETD_HTTP is the server's address, 127.0.0.1:8000 by default.
"""

import http.client
import json
import os
import sys
import time

ADDRESS = os.environ.get("RESNETD_HTTP", "127.0.0.1:8000")
TIMEOUT_S = 10
ATTEMPTS = 4


def classify(connection, model, image, top_k=3):
    """The predicted classes of one image file's bytes, the most probable first."""
    path = f"/v1/models/{model}:classify?top_k={top_k}&timeout_ms={TIMEOUT_S * 1000}"
    for attempt in range(ATTEMPTS):
        try:
            connection.request("POST", path, image, {"Content-Type": "application/octet-stream"})
            response = connection.getresponse()
            answer = json.load(response)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            # The server closes connections of a certain age, so that load spreads; http.client opens a new one.
            connection.close()
            continue
        if response.status == 200:
            return answer["predictions"][0]["classes"]
        if response.status not in (429, 503) or attempt + 1 == ATTEMPTS:
            raise RuntimeError(f"{answer['error']} ({answer['code']}, request {answer['request_id']})")
        time.sleep(float(response.headers.get("Retry-After", 1)))
    raise RuntimeError(f"{ADDRESS} closed the connection {ATTEMPTS} times")


def main(model, files):
    # One connection for all files: opening one costs as much as a small image.
    connection = http.client.HTTPConnection(ADDRESS, timeout=TIMEOUT_S)
    failed = False
    for file in files:
        try:
            with open(file, "rb") as image:
                classes = classify(connection, model, image.read())
            print(file, *(f"{c['label']} {c['probability']:.2f}" for c in classes), sep="  ")
        except (OSError, RuntimeError) as error:
            print(f"{file}: {error}", file=sys.stderr)
            failed = True
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
