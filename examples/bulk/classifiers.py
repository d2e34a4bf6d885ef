"""Pictures to rows for Spark, Ray or any other engine's worker: through the `resnetd` binary beside it, or a fleet of servers.

Both classifiers take (key, bytes) pairs and give one dictionary for each, in their order. A bad picture has its error in its row. What is
not the picture's fault (an engine that failed, a fleet that does not answer) is raised instead, so that the engine that runs the
worker tries the task again: an error in a row is final. Needs Python 3.9 and nothing else.
"""
import collections
import concurrent.futures
import http.client
import json
import random
import struct
import subprocess
import tempfile
import threading
import time
import urllib.parse

# The answers that the picture itself is to blame for; all others may be different next time.
OF_THE_PICTURE = {"INVALID_ARGUMENT", "UNSUPPORTED_FORMAT", "TOO_LARGE"}


def row(key, classes=None, error=None, code=None):
    """As `resnetd classify --format parquet` has it."""
    best = classes[0] if classes else {}
    return {
        "key": key,
        "class_index": best.get("index"),
        "label": best.get("label"),
        "probability": best.get("probability"),
        "classes": classes,
        "error": error,
        "code": code,
    }


class Process:
    """One `resnetd classify --stdin` process, which lives as long as this object and batches by itself."""

    def __init__(self, form, binary, model, models, top_k, environment, more=()):
        command = [binary, "classify", "--stdin", "--format", form, "--top-k", str(top_k), *more]
        command += ["--model", model] if model else []
        command += ["--models", models] if models else []
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, env=environment
        )

    def close(self):
        """Ends the process; what it said on stderr."""
        try:
            self.process.stdin.close()
        except OSError:
            pass  # it has left
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.seek(0)
        return f"exit code {self.process.returncode}, {self.log.read().decode(errors='replace').strip()}"


class Local(Process):
    """A process that is driven by records, and answers in lines."""

    def __init__(self, binary="resnetd", model=None, models=None, top_k=5, environment=None):
        super().__init__("jsonl", binary, model, models, top_k, environment)

    def classify(self, pairs):
        """A row for each pair. The process reads no faster than it answers, and so does this."""
        # One thread writes while this one reads: with both in one, two full pipes would wait for each other.
        sent, trouble, on_their_way = 0, [], threading.Semaphore(0)

        def write():
            nonlocal sent
            try:
                for key, picture in pairs:
                    key = key.encode()
                    self.process.stdin.write(struct.pack("<I", len(key)) + key + struct.pack("<I", len(picture)))
                    self.process.stdin.write(picture)
                    sent += 1
                    on_their_way.release()
                self.process.stdin.flush()
            except Exception as error:  # handed to whoever reads
                trouble.append(error)
                if not isinstance(error, OSError):
                    # The pairs ended badly. What was sent is answered, and there may be half a record behind it.
                    self.process.stdin.close()
            on_their_way.release()

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        read = 0
        while True:
            # One for each record, and one behind the last.
            on_their_way.acquire()
            if read == sent:
                break
            line = self.process.stdout.readline()
            if not line:
                raise RuntimeError(f"resnetd ended in the middle: {self.close()}")
            read += 1
            answer = json.loads(line)
            if answer.get("code", "INVALID_ARGUMENT") not in OF_THE_PICTURE:
                raise RuntimeError(f"{answer['file']}: {answer['code']}: {answer['error']}")
            yield row(answer["file"], answer.get("classes"), answer.get("error"), answer.get("code"))
        writer.join()
        if trouble:
            raise trouble[0]


class Fleet:
    """The Open Inference Protocol of a server, or of a load balancer before many: `url` is its root.

    A picture a request, several requests at a time over connections that are kept; the servers make batches of them. 429 and 503 are how
    a fleet says that it has enough: the worker waits as long as it is told to, and reads nothing meanwhile.
    """

    def __init__(self, url, model, top_k=5, at_a_time=16, api_key=None, patience_s=300, timeout_s=60):
        self.url = urllib.parse.urlsplit(url)
        self.model, self.top_k, self.at_a_time = model, top_k, at_a_time
        self.patience_s, self.timeout_s = patience_s, timeout_s
        self.headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self.kept = threading.local()
        self.threads = concurrent.futures.ThreadPoolExecutor(at_a_time)
        status, body = self.ask("GET", f"/v2/models/{model}", None, {})
        if status != 200:
            raise RuntimeError(f"{url}: {status} {body.decode(errors='replace')}")
        self.input = json.loads(body)["inputs"][0]["name"]

    def connection(self):
        """This thread's own; it is opened anew when it was lost."""
        if not hasattr(self.kept, "connection"):
            kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
            self.kept.connection = kind(self.url.hostname, self.url.port, timeout=self.timeout_s)
        return self.kept.connection

    def ask(self, method, path, body, headers):
        """Status and body, after as many tries as there is patience for."""
        end = time.monotonic() + self.patience_s
        pause = 0.1
        while True:
            connection = self.connection()
            try:
                connection.request(method, self.url.path.rstrip("/") + path, body, {**self.headers, **headers})
                answer = connection.getresponse()
                status, wait, content = answer.status, answer.getheader("retry-after"), answer.read()
                if status not in (429, 500, 502, 503, 504):
                    return status, content
                trouble = f"{status} {content.decode(errors='replace')}"
                wait = float(wait) if wait and wait.isdigit() else None
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                trouble, wait = repr(error), None
            # All workers that were refused together must not come back together.
            pause = min(2 * pause, 10)
            wait = (wait if wait is not None else pause) * random.uniform(1, 1.5)
            if time.monotonic() + wait > end:
                raise RuntimeError(f"{self.url.geturl()} has not answered for {self.patience_s} s: {trouble}")
            time.sleep(wait)

    def one(self, pair):
        key, picture = pair
        said = {
            "inputs": [{"name": self.input, "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 4 + len(picture)}}],
            "outputs": [{"name": "probabilities", "parameters": {"classification": self.top_k}}],
        }
        head = json.dumps(said).encode()
        body = head + struct.pack("<I", len(picture)) + picture
        headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
        status, content = self.ask("POST", f"/v2/models/{self.model}/infer", body, headers)
        answer = json.loads(content)
        if status != 200:
            if answer.get("code") in OF_THE_PICTURE:
                return row(key, error=answer["error"], code=answer["code"])
            raise RuntimeError(f"{key}: {status} {answer}")
        classes = []
        for text in answer["outputs"][0]["data"]:
            value, index, label = text.split(":", 2)
            classes.append({"index": int(index), "label": label, "probability": float(value)})
        return row(key, classes)

    def classify(self, pairs):
        """A row for each pair; as many pairs are taken as are asked for at a time, and some that wait for their turn."""
        waiting = collections.deque()
        for pair in pairs:
            waiting.append(self.threads.submit(self.one, pair))
            if len(waiting) >= 2 * self.at_a_time:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def close(self):
        self.threads.shutdown(cancel_futures=True)


def make(options, local=Local, fleet=Fleet):
    """The classifier that the command line of an example names."""
    if options["url"]:
        return fleet(options["url"], options["model"] or "resnet20-cifar10", options["top_k"], options["at_a_time"], options["api_key"])
    return local(options["binary"], options["model"], options["models"], options["top_k"])
