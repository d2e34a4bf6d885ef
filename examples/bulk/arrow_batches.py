"""Record batches to record batches for Spark or Ray: columns `key` and `image` in, the columns of `resnetd classify --format arrow` out.

As classifiers.py, for engines that have Arrow's batches anyway: with the binary beside it a batch goes through two pipes as it is, and no
picture or row becomes an object of Python's. Needs pyarrow.
"""
import collections
import queue
import threading

import pyarrow as pa

import classifiers

CLASS = pa.struct([("index", pa.int32()), ("label", pa.string()), ("probability", pa.float32())])
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("class_index", pa.int32()),
        ("label", pa.string()),
        ("probability", pa.float32()),
        ("classes", pa.list_(pa.field("element", CLASS))),
        ("error", pa.string()),
        ("code", pa.string()),
    ]
)

# What goes in. Engines say of their columns what they like, and a stream has one kind of them.
COLUMNS = pa.schema([("key", pa.string()), ("image", pa.binary())])

# Batches that the process has not answered: one that it works on, and the next one.
AHEAD = 2


class Local(classifiers.Process):
    """One `resnetd classify --stdin` process, which answers each record batch with one of as many rows."""

    def __init__(self, binary="resnetd", model=None, models=None, top_k=5, environment=None):
        super().__init__("arrow", binary, model, models, top_k, environment, ["--column", "image", "--key", "key"])
        self.waiting, self.answers, self.trouble = queue.Queue(), None, None
        self.writer = threading.Thread(target=self.write, daemon=True)
        self.writer.start()

    def write(self):
        """On a thread of its own: with both pipes in one, two that are full would wait for each other."""
        try:
            with pa.ipc.new_stream(self.process.stdin, COLUMNS) as batches:
                while (batch := self.waiting.get()) is not None:
                    batches.write_batch(batch)
                    self.process.stdin.flush()
        except Exception as error:  # told by whoever reads, who would wait for ever for an answer to this batch
            self.trouble = error
            self.process.kill()

    def classify(self, batches):
        """A batch for each batch. The process reads no faster than it answers, and so does this."""
        under_way = collections.deque()
        for batch in batches:
            self.waiting.put(batch.select(COLUMNS.names).cast(COLUMNS))
            under_way.append(batch.num_rows)
            if len(under_way) == AHEAD:
                yield self.answer(under_way.popleft())
        while under_way:
            yield self.answer(under_way.popleft())

    def answer(self, rows):
        try:
            self.answers = self.answers or pa.ipc.open_stream(self.process.stdout)
            answer = self.answers.read_next_batch()
        except (StopIteration, OSError, pa.ArrowException):
            raise RuntimeError(f"resnetd ended in the middle: {self.close()}") from self.trouble
        for place, code in enumerate(answer.column("code").to_pylist()):
            if code is not None and code not in classifiers.OF_THE_PICTURE:
                raise RuntimeError(f"{answer.column('key')[place]}: {code}: {answer.column('error')[place]}")
        if answer.num_rows != rows:
            raise RuntimeError(f"{answer.num_rows} rows for {rows} pictures; the last one: {answer.slice(answer.num_rows - 1).to_pylist()}")
        return answer.replace_schema_metadata(None)

    def close(self):
        """Ends the process; what it said on stderr."""
        self.waiting.put(None)
        self.writer.join(5)
        if self.writer.is_alive():
            # The process waits for somebody to read its answers, and the writer for the process: the pipe, which the writer holds, cannot be closed before.
            self.process.kill()
            self.writer.join()
        return super().close()


class Fleet(classifiers.Fleet):
    """As `classifiers.Fleet`, a picture a request."""

    def classify(self, batches):
        for batch in batches:
            keys, pictures = batch.column("key").to_pylist(), batch.column("image").to_pylist()
            rows = super().classify((key, picture) for key, picture in zip(keys, pictures) if picture is not None)
            nothing = "the row has no picture: the column is null there"
            rows = [
                classifiers.row(key, error=nothing, code="INVALID_ARGUMENT") if picture is None else next(rows)
                for key, picture in zip(keys, pictures)
            ]
            yield pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def make(options):
    """The classifier that the command line of an example names."""
    return classifiers.make(options, Local, Fleet)
