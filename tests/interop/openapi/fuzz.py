"""Runs schemathesis against the description that the server gives out."""
import pathlib
import subprocess
import sys

from served import server

HERE = pathlib.Path(__file__).resolve().parent
SECONDS = 90

binary = sys.argv[1]
with server(binary) as (http, _):
    command = [
        pathlib.Path(sys.executable).parent / "schemathesis",
        "--config-file", HERE / "schemathesis.toml",
        "run", f"http://{http}/openapi.json",
        "--checks", "all",
        "--seed", "12",
        "--max-time", str(SECONDS),
    ]
    sys.exit(subprocess.run(command, cwd=HERE).returncode)
