"""Lets each generated client classify the pictures, and compares what it read with what other software says of them.

Each is a program of its own that is given the server's address and files, and prints a line of JSON a file: label and probability of each class.
"""
import json
import pathlib
import subprocess
import sys

from served import FIXTURES, NAMES, check_classes, finish, server

binary, work = sys.argv[1], pathlib.Path(sys.argv[2])
paths = [str(FIXTURES / f"{name}.jpg") for name in NAMES]

with server(binary) as (http, grpc):
    for way, command, address in [
        ("openapi-generator: Python", [sys.executable, work / "python/classify.py"], http),
        ("openapi-generator: Go", [work / "go/classify"], http),
        ("openapi-generator: TypeScript", ["node", work / "typescript-fetch/built/classify.js"], http),
        ("buf: JavaScript over gRPC", ["node", work / "buf/classify.js"], grpc),
    ]:
        done = subprocess.run([*command, f"http://{address}", *paths], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            sys.exit(f"{way}: exit code {done.returncode}")
        check_classes(way, [json.loads(line) for line in done.stdout.splitlines()])
finish()
