#!/usr/bin/env python3
"""Sorts pictures by how alike they are to the first one. Standard library only.

    python3 examples/python/search.py MODEL QUERY FILE...

RESNETD_HTTP is the server's address, 127.0.0.1:8000 by default. In a program of your own, keep the features (and the model's version) in a
database of vectors.
"""

import array
import http.client
import math
import os
import sys

ADDRESS = os.environ.get("RESNETD_HTTP", "127.0.0.1:8000")


def features(connection, model, file):
    """What the network's last layer reads for a picture, of length 1."""
    with open(file, "rb") as image:
        headers = {"Content-Type": "application/octet-stream", "Accept": "application/octet-stream"}
        connection.request("POST", f"/v1/models/{model}:classify?outputs=features", image.read(), headers)
    response = connection.getresponse()
    body = response.read()
    if response.status != 200:
        raise SystemExit(f"{file}: {body.decode()}")
    values = array.array("f", body)
    if sys.byteorder == "big":
        values.byteswap()
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / length for value in values]


def main(model, query, files):
    connection = http.client.HTTPConnection(ADDRESS, timeout=10)
    wanted = features(connection, model, query)
    alike = lambda file: sum(a * b for a, b in zip(wanted, features(connection, model, file)))
    for cosine, file in sorted(((alike(file), file) for file in files), reverse=True):
        print(f"{cosine:.3f}  {file}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
