"""Load of a few clients, each with a connection that it keeps, and what became of every request. Knows nothing of replicas.

A client asks again once, on a new connection and when it was told to; both outcomes are counted: what a patient client sees, and what the proxy alone gives.
"""
import collections
import http.client
import math
import threading
import time

from replicas import MODEL, ROOT

CLIENTS = 6
# Of all clients together: a fraction of what one replica can do, so that what fails fails for the fault.
REQUESTS_PER_S = 60
PATIENCE_S = 15
# How long a client waits before its second try where nobody says, and at most.
PAUSE_S, LONGEST_PAUSE_S = 0.1, 2
# A request that takes longer has met a replica that is not there.
LATE_S = 0.9
PICTURE = (ROOT / "tests/fixtures/cifar10/ship.jpg").read_bytes()


class OverHttp:
    def __init__(self, address, port):
        self.pause = PAUSE_S
        self.connection = http.client.HTTPConnection(address, port, timeout=PATIENCE_S)

    def is_open(self):
        """Whether the next request goes over a connection that is there."""
        return self.connection.sock is not None

    def ask(self):
        """None where the picture was answered rightly, else what went wrong."""
        try:
            self.connection.request("POST", f"/v1/models/{MODEL}:classify?top_k=1", PICTURE, {"content-type": "image/jpeg"})
            answer = self.connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        if answer.status != 200:
            self.pause = float(answer.headers.get("retry-after", PAUSE_S))
            return str(answer.status)
        return None if b'"label":"ship"' in body else "another answer"

    def close(self):
        self.connection.close()


class OverGrpc:
    # resnetd.v1.ClassifyRequest by hand: model = 1, images = 3, top_k = 4.
    MESSAGE = b"\x0a" + bytes([len(MODEL)]) + MODEL.encode() + b"\x1a" + bytes([len(PICTURE) & 127 | 128, len(PICTURE) >> 7]) + PICTURE + b"\x20\x01"

    # Without the first every client of a process would share one connection; and the library is not to try by itself.
    OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))

    def __init__(self, address, port):
        import grpc

        self.pause = PAUSE_S
        self.error = grpc.RpcError
        self.channel = grpc.insecure_channel(f"{address}:{port}", self.OPTIONS)
        self.call = self.channel.unary_unary("/resnetd.v1.Classifier/Classify")

    def ask(self):
        try:
            answer = self.call(self.MESSAGE, timeout=PATIENCE_S, wait_for_ready=False)
        except self.error as error:
            told = dict(error.trailing_metadata() or ())
            self.pause = float(told.get("grpc-retry-pushback-ms", PAUSE_S * 1000)) / 1000
            return error.code().name
        return None if b"ship" in answer else "another answer"

    def close(self):
        self.channel.close()


class OverGrpcAsItComes(OverGrpc):
    """With what the library does by itself: a call that a connection refused because it ends, unseen by the server, is sent over the next one."""

    OPTIONS = OverGrpc.OPTIONS[:1]


class Hog:
    """Clients that ask one replica without a pause, beside the proxy, with as many pictures in each request as it may have in work."""

    CLIENTS = 3

    def __init__(self, address, port, pictures):
        self.address, self.port, self.ended = address, port, threading.Event()
        boundary = b"pictures"
        part = b"--" + boundary + b"\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\ncontent-type: image/jpeg\r\n\r\n" + PICTURE + b"\r\n"
        self.body = part * pictures + b"--" + boundary + b"--\r\n"
        self.kind = {"content-type": "multipart/form-data; boundary=pictures"}

    def _run(self):
        while not self.ended.is_set():
            connection = http.client.HTTPConnection(self.address, self.port, timeout=PATIENCE_S)
            try:
                while not self.ended.is_set():
                    connection.request("POST", f"/v1/models/{MODEL}:classify", self.body, self.kind)
                    connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                self.ended.wait(0.1)
            finally:
                connection.close()

    def __enter__(self):
        self.threads = [threading.Thread(target=self._run) for _ in range(self.CLIENTS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()


class Load:
    """Runs from `with` to its end, then has the figures."""

    def __init__(self, client, address, port):
        self.client, self.at = client, (address, port)
        self.ended = threading.Event()
        self.lock = threading.Lock()
        self.asked, self.first_failures, self.failures, self.seconds, self.hit = 0, {}, {}, [], []

    def _run(self, number):
        client = self.client(*self.at)
        step = CLIENTS / REQUESTS_PER_S
        due = time.monotonic() + step * number / CLIENTS
        while not self.ended.wait(max(0, due - time.monotonic())):
            # Whoever is late goes on from now: a burst of what was missed would be another test.
            due = max(due + step, time.monotonic())
            begun = time.monotonic()
            first = client.ask()
            last = first
            if first:
                client.close()
                time.sleep(min(client.pause, LONGEST_PAUSE_S))
                client = self.client(*self.at)
                last = client.ask()
            with self.lock:
                self.asked += 1
                self.seconds.append(time.monotonic() - begun)
                if first or self.seconds[-1] > LATE_S:
                    self.hit.append(begun)
                if first:
                    self.first_failures[first] = self.first_failures.get(first, 0) + 1
                if last:
                    self.failures[last] = self.failures.get(last, 0) + 1
        client.close()

    def __enter__(self):
        self.threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def failed(self, and_first, but=()):
        """How many were not answered after all, `but` for what may be said; with those that had to ask twice where `and_first`."""
        counted = [self.failures] + ([self.first_failures] if and_first else [])
        return sum(number for counts in counted for what, number in counts.items() if what not in but)

    def hit_since(self, moment):
        """In which seconds after `moment` those were asked that failed at first or were late, and how many."""
        hit = collections.Counter(math.floor(begun - moment) for begun in self.hit)
        return f"; {len(self.hit)} failed at first or took over {LATE_S} s, by the second after it: " + (", ".join(f"{at}: {hit[at]}" for at in sorted(hit)) or "none")

    def figures(self):
        """One line: how many, what failed at first and after all, how late."""
        late = sorted(self.seconds)
        at = lambda share: f"{late[min(len(late) - 1, int(share * len(late)))] * 1000:.0f}"
        failed = lambda counts: f"{sum(counts.values())}" + (f" ({', '.join(f'{n} {what}' for what, n in sorted(counts.items()))})" if counts else "")
        return f"{self.asked} requests, failed {failed(self.failures)}, once {failed(self.first_failures)}; p50 {at(0.5)}, p99 {at(0.99)}, max {at(1)} ms"
