"""Runs the examples for Spark and Ray as people do, with the binary and with a server, and holds each row against `resnetd classify`."""
import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

import served
import streams

ROOT = served.ROOT
PYTHON = sys.executable
# How far a probability may be: batches of other sizes are added up in another order.
TOLERANCE = 2e-6
# Bytes that a worker has written when it is in the middle of its partition: some answers, and not all of them.
IN_THE_MIDDLE = 4_000


def pictures(count):
    """Keys and files: of PICTURES, or of the fixtures, as often as it takes; a few are damaged, a few missing."""
    source = os.environ.get("PICTURES")
    if source and pathlib.Path(source).is_file():
        with tarfile.open(source) as tar:
            files = [tar.extractfile(member).read() for member in tar if member.isfile()][:count]
    else:
        folder = pathlib.Path(source) if source else served.FIXTURES
        files = [path.read_bytes() for path in sorted(folder.rglob("*.jpg"))][:count]
    for number in range(count):
        content = files[number % len(files)]
        if number % 997 == 3:
            content = content[: len(content) // 2]
        if number % 997 == 5:
            content = b"no picture"
        yield f"{number:06}", None if number % 997 == 7 else content


def write_shards(folder, count, shards):
    folder.mkdir()
    rows = list(pictures(count))
    size = -(-count // shards)
    for shard, start in enumerate(range(0, count, size)):
        part = rows[start : start + size]
        table = pa.table({"key": [key for key, _ in part], "image": pa.array([content for _, content in part], pa.binary())})
        pq.write_table(table, folder / f"{shard:03}.parquet", row_group_size=500)
    loose = folder.parent / "loose"
    loose.mkdir()
    for key, content in rows[:300]:
        (loose / f"{key}.jpg").write_bytes(content or b"")


def read(path):
    """The rows by key; a key that is there twice is an error."""
    table = ds.dataset(path, format="parquet", exclude_invalid_files=True).to_table() if path.is_dir() else pq.read_table(path)
    rows = {}
    for row in table.to_pylist():
        row.pop("chunk", None)
        assert row["key"] not in rows, f"{row['key']} has two rows"
        rows[row["key"]] = row
    return rows


def compare(what, found, wanted):
    assert found.keys() == wanted.keys(), f"{what}: {len(found)} rows, {len(wanted)} are wanted"
    exact = 0
    for key, row in found.items():
        want = wanted[key]
        exact += row == want
        assert [row["label"], row["class_index"], row["code"]] == [want["label"], want["class_index"], want["code"]], (what, row, want)
        assert (row["error"] is None) == (want["error"] is None), (what, row, want)
        pairs = zip(row["classes"] or [], want["classes"] or [], strict=True)
        assert all(a["label"] == b["label"] and abs(a["probability"] - b["probability"]) < TOLERANCE for a, b in pairs), (what, row, want)
    errors = sum(row["error"] is not None for row in found.values())
    print(f"  {what}: {len(found)} rows as `classify` has them, {errors} with their error, {exact} to the last bit", flush=True)


class Engine:
    def __init__(self, name, work, binary):
        self.name, self.work, self.binary = name, work, binary
        script = str(ROOT / "examples" / name / "classify.py")
        if name == "spark":
            # A task that failed is tried again also on one machine.
            submit = str(pathlib.Path(PYTHON).parent / "spark-submit")
            settings = ["--master", "local[2,4]", "--conf", "spark.ui.enabled=false", "--conf", f"spark.local.dir={work}/spark"]
            self.command = [submit, *settings, script]
        else:
            self.command = [PYTHON, script]
        self.environment = {
            **os.environ,
            "PYSPARK_PYTHON": PYTHON,
            "RAY_TMPDIR": str(work / "ray"),
            "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
            "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        }

    def start(self, source, output, *options):
        command = [*self.command, str(source), str(output), "--workers", "2", *options]
        self.log = open(self.work / f"{self.name}.log", "w")
        return subprocess.Popen(command, env=self.environment, stdout=self.log, stderr=subprocess.STDOUT, start_new_session=True, cwd=self.work)

    def run(self, source, output, *options):
        """Seconds."""
        begin = time.monotonic()
        process = self.start(source, output, *options)
        if process.wait() != 0:
            print((self.work / f"{self.name}.log").read_text()[-6000:])
            sys.exit(f"{self.name} failed")
        return time.monotonic() - begin

    def killed(self, source, output, *options):
        """Killed as soon as a chunk is done; how many are done."""
        process = self.start(source, output, *options)
        while process.poll() is None and not list(output.glob("chunk=*/_SUCCESS")):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return len(list(output.glob("chunk=*/_SUCCESS")))


    def wounded(self, source, output, models, *options):
        """One of its `resnetd` processes is killed in the middle of a partition, and a second job tries to write what this one writes."""
        process = self.start(source, output, *options)
        killed = None
        while process.poll() is None and killed is None:
            time.sleep(0.02)
            for pid, written in workers(models):
                if killed is None and written > IN_THE_MIDDLE:
                    os.kill(pid, signal.SIGKILL)
                    killed = written
        assert killed, f"{self.name}: no worker has written {IN_THE_MIDDLE} bytes"
        second = subprocess.run([*self.command, str(source), str(output), *options], env=self.environment, capture_output=True, text=True)
        assert second.returncode != 0 and "another job is writing" in second.stderr + second.stdout, second
        if process.wait() != 0:
            print((self.work / f"{self.name}.log").read_text()[-6000:])
            sys.exit(f"{self.name} did not survive its worker")
        return killed


def workers(models):
    """The `--stdin` processes with this folder of models, and how many bytes each has written."""
    for folder in pathlib.Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0") if folder.name.isdigit() else []
            if b"--stdin" in command and str(models).encode() in command:
                yield int(folder.name), int(re.search(r"wchar: (\d+)", (folder / "io").read_text())[1])
        except (OSError, TypeError):
            pass  # it has ended


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", choices=["spark", "ray"])
    parser.add_argument("--local", action="store_true", help="without a server, and without a folder of pictures")
    parser.add_argument("--rounds", type=int, default=1, help="timings by turns")
    options = parser.parse_args()
    binary = str(pathlib.Path(options.binary).absolute())
    count = int(os.environ.get("COUNT", 400 if options.quick else 10_000))
    work = pathlib.Path(tempfile.mkdtemp(prefix="bulk-"))
    os.environ["RESNETD__RUNTIME__PROVIDER"] = "cpu"
    os.environ["RESNETD__RUNTIME__PRECISION"] = "fp32"
    os.environ.setdefault("ORT_DYLIB_PATH", str(ROOT / ".runtime/libonnxruntime.so"))
    try:
        source, models = work / "pictures", work / "models"
        # None of its own: the built-in one answers.
        models.mkdir()
        write_shards(source, count, 4)

        def classify():
            begin = time.monotonic()
            (work / "wanted.parquet").unlink(missing_ok=True)
            command = [binary, "classify", str(source), "--key", "key", "--models", str(models), "--output", str(work / "wanted.parquet")]
            subprocess.run(command, check=True)
            return time.monotonic() - begin

        alone = classify()
        wanted = read(work / "wanted.parquet")
        assert len(wanted) == count
        print(f"classify alone: {count / alone:.0f} images/s, with its start")
        print("record batches by pyarrow")
        streams.check(binary, models, list(pictures(count))[:300], wanted, compare)
        local = ["--binary", binary, "--models", str(models)]
        for name in [options.only] if options.only else ["spark", "ray"]:
            engine = Engine(name, work, binary)
            print(name)
            done = engine.killed(source, work / f"{name}-killed", *local)
            engine.run(source, work / f"{name}-killed", *local)
            compare(f"killed after {done} of 4 chunks, then again", read(work / f"{name}-killed"), wanted)
            killed = engine.wounded(source, work / f"{name}-wounded", models, *local)
            compare(f"a worker was killed after {killed} bytes of answers, and a second job refused", read(work / f"{name}-wounded"), wanted)
            for turn in range(options.rounds):
                def whole(way, *more):
                    shutil.rmtree(work / f"{name}-{way}", ignore_errors=True)
                    return count / engine.run(source, work / f"{name}-{way}", *local, *more)

                speed, arrow, alone = whole("whole"), whole("arrow", "--arrow"), count / classify()
                print(f"  turn {turn + 1}: {speed:.0f} images/s with the engine's start, {arrow:.0f} with --arrow, classify alone {alone:.0f}", flush=True)
            compare("with --arrow", read(work / f"{name}-arrow"), wanted)
            compare("in one go", read(work / f"{name}-whole"), wanted)
            if options.local:
                continue
            os.environ["RESNETD__BATCHING__QUEUE_CAPACITY"] = "8"
            with served.server(binary) as (address, _):
                seconds = engine.run(source, work / f"{name}-fleet", "--url", f"http://{address}", "--at-a-time", "16")
                metrics = urllib.request.urlopen(f"http://{address}/metrics").read().decode()
            del os.environ["RESNETD__BATCHING__QUEUE_CAPACITY"]
            refused = sum(float(value) for value in re.findall(r'^resnetd_requests_total\{[^}]*code="OVERLOADED"[^}]*\} (\S+)', metrics, re.M))
            print(f"  by a server with a queue of 8: {count / seconds:.0f} images/s, {refused:.0f} refused with 429 and asked again")
            compare("by a server", read(work / f"{name}-fleet"), wanted)
            engine.run(work / "loose", work / f"{name}-loose", "--chunk", "150", *local)
            loose = {pathlib.Path(key).stem: row for key, row in read(work / f"{name}-loose").items()}
            assert loose.keys() == set(list(wanted)[:300]), len(loose)
            for key, row in loose.items():
                assert row["label"] == wanted[key]["label"], (row, wanted[key])
            print(f"  a folder of pictures: {len(loose)} rows")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    print("passed")


main()
