"""Runs schemathesis against the description that the server gives out: fuzz.py BINARY [--quick].

--quick leaves out what is made up at random, so that the same binary is asked the same every time.
"""
import os
import pathlib
import subprocess
import sys

from served import server

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = 90

binary, quick = sys.argv[1], "--quick" in sys.argv
# The description has their routes whether or not they are on.
os.environ["RESNETD__SERVER__DIALECTS"] = '["sagemaker", "torchserve"]'
with server(binary) as (http, _):
    command = [
        pathlib.Path(sys.executable).parent / "schemathesis",
        "--config-file", HERE / "schemathesis.toml",
        "run", f"http://{http}/openapi.json",
        "--checks", "all",
        "--seed", "12",
        *(["--phases", "examples,coverage"] if quick else ["--max-time", str(SECONDS)]),
    ]
    sys.exit(subprocess.run(command, cwd=HERE).returncode)
