"""Work in pieces that are done or not: what lets a job of Spark or Ray that was killed go on where it was.

The input's files are cut into chunks in the order of their names; each chunk's rows are a folder `chunk=N` of the output, which is done when
it has a `_SUCCESS` in it. A job that is started again passes over what is done and makes the rest anew. `_job.json` says what job it is, and
`_lock` keeps a second one away, where the file system knows locks. Needs Python 3.9 and nothing else.
"""
import argparse
import fcntl
import json
import os
import pathlib

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}


def arguments(description):
    """The options that both examples have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("input", type=pathlib.Path, help="a folder of Parquet files, or of pictures")
    parser.add_argument("output", type=pathlib.Path, help="a folder of Parquet files")
    parser.add_argument("--column", default="image", help="of Parquet files: the pictures")
    parser.add_argument("--key", default="key", help="of Parquet files: what they are called")
    parser.add_argument("--chunk", type=int, default=0, help="files of a chunk [default: 1 Parquet file, 1000 pictures]")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--top-k", type=int, default=5)
    parser.add_argument("--model")
    parser.add_argument("--url", help="a server or load balancer; without it the binary runs in each worker")
    parser.add_argument("--at-a-time", type=int, default=16, help="with --url: requests of a worker")
    parser.add_argument("--binary", default="resnetd", help="without --url")
    parser.add_argument("--models", help="without --url: the repository")
    parser.add_argument("--arrow", action="store_true", help="record batches as they are, to the binary or a server: arrow_batches.py")
    options = parser.parse_args()
    # Not on the command line, where everybody on the machine sees it.
    options.api_key = os.environ.get("RESNETD_API_KEY")
    return options


class Job:
    """The chunks of a job, and which of them are done."""

    def __init__(self, options):
        self.output = options.output.absolute()
        files = sorted(path.absolute() for path in options.input.rglob("*") if path.is_file())
        shards = [path for path in files if path.suffix == ".parquet"]
        self.is_parquet = bool(shards)
        files = shards or [path for path in files if path.suffix.lower() in PICTURES]
        if not files:
            raise SystemExit(f"there is neither a .parquet file nor a picture in {options.input}")
        size = options.chunk or (1 if self.is_parquet else 1000)
        self.chunks = [files[start : start + size] for start in range(0, len(files), size)]
        self.output.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.output / "_lock", "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SystemExit(f"another job is writing {self.output}; wait for it, or name another output")
        # A file that was changed is another one.
        states = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in files]
        job = {"files": states, "chunk": size, "model": options.model, "top_k": options.top_k, "column": options.column, "key": options.key}
        job = json.dumps(job)
        said = self.output / "_job.json"
        if said.exists() and said.read_text() != job:
            raise SystemExit(f"{self.output} has the rows of other files, or of other options; name another output")
        staged = self.output / "_job.json.new"
        staged.write_text(job)
        staged.rename(said)

    def todo(self):
        """Number, folder and files of each chunk that is not done."""
        for number, files in enumerate(self.chunks):
            folder = self.output / f"chunk={number}"
            if not (folder / "_SUCCESS").exists():
                yield number, folder, [str(path) for path in files]
