"""Honest clients: they ask for what they may, wait for the answer, and measure how long it took.

Each is a thread that asks at a steady pace. A connection that the server closed between two requests, as it may at any
time, is opened again and the request sent once more; everything else that is no answer is a failure.
"""
import dataclasses
import http.client
import sys
import threading
import time

import h2
from target import CLASSIFY, MODEL, fixture

PAUSE_S = 0.02
PATIENCE_S = 30


@dataclasses.dataclass
class Sample:
    client: str
    at: float
    seconds: float
    failure: str = ""


class Http:
    """HTTP/1.1 on a kept connection, or on a new one each time."""

    def __init__(self, address, keeps, body, path=CLASSIFY, method="POST"):
        self.address, self.keeps, self.body, self.path, self.method = address, keeps, body, path, method
        self.connection = None

    def ask(self):
        if self.connection is None:
            self.connection = http.client.HTTPConnection(*self.address, timeout=PATIENCE_S)
        self.connection.request(self.method, self.path, body=self.body)
        answer = self.connection.getresponse()
        text = answer.read()
        if not self.keeps or answer.will_close:
            self.leave()
        if answer.status != 200:
            return f"{answer.status} {text[:100]!r}"
        return ""

    def leave(self):
        if self.connection:
            self.connection.close()
        self.connection = None


class Http2:
    """HTTP/2 without TLS: gRPC, or plain requests at a door that takes both."""

    def __init__(self, address, headers, body, is_answer):
        self.address, self.headers, self.body, self.is_answer = address, headers, body, is_answer
        self.connection = None

    def ask(self):
        if self.connection is None:
            self.connection = h2.Connection(self.address, PATIENCE_S)
        is_ok, answer = self.connection.request(self.headers, self.body)
        if self.connection.is_leaving:
            self.leave()
        return "" if is_ok and self.is_answer(answer) else f"no answer: {answer[:100]!r}"

    def leave(self):
        if self.connection:
            self.connection.close()
        self.connection = None


def clients(http_address, grpc_address, with_h2c):
    cat, photo = fixture("cifar10/cat.jpg"), fixture("images/jpeg_exif6.jpg")
    call = h2.request_headers("POST", "/resnetd.v1.Classifier/Classify", h2.GRPC)
    made = {
        "http kept": Http(http_address, True, cat),
        "http new": Http(http_address, False, cat),
        "http photo": Http(http_address, True, photo),
        "livez": Http(http_address, True, None, "/livez", "GET"),
        "livez new": Http(http_address, False, None, "/livez", "GET"),
        "grpc": Http2(grpc_address, call, h2.message(h2.classify_message(MODEL, cat)), lambda answer: b"cat" in answer),
    }
    if with_h2c:
        headers = h2.request_headers("POST", CLASSIFY, [("content-length", str(len(cat)))])
        made["h2c"] = Http2(http_address, headers, cat, lambda answer: b'"cat"' in answer)
    return made


def run(name, client, stop, report):
    """Asks until `stop`; `report` is given a `Sample` each time."""
    while not stop.is_set():
        at = time.monotonic()
        was_kept = client.connection is not None
        try:
            failure = client.ask()
        except (OSError, http.client.HTTPException) as error:
            failure = f"{type(error).__name__}: {error}"
            client.leave()
            if was_kept and isinstance(error, (ConnectionError, http.client.RemoteDisconnected)):
                try:
                    failure = client.ask()
                except (OSError, http.client.HTTPException) as again:
                    failure = f"{type(again).__name__}: {again}"
                    client.leave()
        report(Sample(name, at, time.monotonic() - at, failure))
        stop.wait(PAUSE_S)
    client.leave()


def main(http_address, grpc_address, with_h2c, stop, samples):
    """A process of honest clients; `samples` is a queue."""
    # Threads take turns in Python: at the usual 5 ms a turn, what is measured would be the wait for one's turn.
    sys.setswitchinterval(0.0002)
    made = clients(http_address, grpc_address, with_h2c)
    threads = [threading.Thread(target=run, args=(name, client, stop, samples.put)) for name, client in made.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    samples.put(None)
