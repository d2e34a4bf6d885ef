"""Classifies a folder of Parquet files or of pictures with Ray Data: `map_batches` over actors with a classifier each.

    python classify.py INPUT OUTPUT --binary /usr/local/bin/resnetd
    python classify.py INPUT OUTPUT --url http://fleet:8000

Each picture has one row in OUTPUT, a bad one with its error. Killed, the same command goes on where it was: docs/bulk.md. Tested with
`ray[data]` 2.60; on a cluster `../bulk` goes into the runtime environment's `py_modules`, or onto every machine.
"""
import pathlib
import shutil
import sys

BULK = str(pathlib.Path(__file__).absolute().parent.parent / "bulk")
sys.path.insert(0, BULK)

import chunks


class Classify:
    """An actor: one classifier, for as many batches as it gets."""

    def __init__(self, options):
        sys.path.insert(0, BULK)
        import classifiers

        self.row = classifiers.row
        self.make = lambda: classifiers.make(options)
        self.classifier = self.make()

    def __call__(self, table):
        import pyarrow

        keys, pictures = table["key"].to_pylist(), table["image"].to_pylist()
        there = [(key, picture) for key, picture in zip(keys, pictures) if picture is not None]
        try:
            rows = iter(list(self.classifier.classify(there)))
        except Exception:
            # Ray gives the batch to an actor once more, and what is left of this one's classifier is out of step.
            self.classifier.close()
            self.classifier = self.make()
            raise
        nothing = "the row has no picture: the column is null there"
        rows = [self.row(key, error=nothing, code="INVALID_ARGUMENT") if picture is None else next(rows) for key, picture in zip(keys, pictures)]
        kind = pyarrow.struct([("index", pyarrow.int32()), ("label", pyarrow.string()), ("probability", pyarrow.float32())])
        schema = pyarrow.schema(
            [
                ("key", pyarrow.string()),
                ("class_index", pyarrow.int32()),
                ("label", pyarrow.string()),
                ("probability", pyarrow.float32()),
                ("classes", pyarrow.list_(kind)),
                ("error", pyarrow.string()),
                ("code", pyarrow.string()),
            ]
        )
        return pyarrow.Table.from_pylist(rows, schema=schema)


class ClassifyBatches:
    """The same, with record batches as they are."""

    def __init__(self, options):
        sys.path.insert(0, BULK)
        import arrow_batches

        self.make = lambda: arrow_batches.make(options)
        self.classifier = self.make()

    def __call__(self, table):
        import pyarrow

        try:
            answers = list(self.classifier.classify(table.to_batches()))
        except Exception:
            # As above.
            self.classifier.close()
            self.classifier = self.make()
            raise
        return pyarrow.Table.from_batches(answers)


def named(arguments, is_parquet):
    """Renames columns to the two that the actors take."""

    def rename(table):
        import pyarrow

        key, picture = (arguments.key, arguments.column) if is_parquet else ("path", "bytes")
        return pyarrow.table({"key": table[key].cast(pyarrow.string()), "image": table[picture]})

    return rename


def main():
    arguments = chunks.arguments(__doc__.splitlines()[0])
    job = chunks.Job(arguments)
    options = {**vars(arguments), "input": None, "output": None}

    import ray

    ray.init(ignore_reinit_error=True)
    # What a classifier raises is not the picture's fault, and may be gone the next time.
    ray.data.DataContext.get_current().actor_task_retry_on_errors = True
    for number, folder, files in job.todo():
        # What an earlier try left there is not whole.
        shutil.rmtree(folder, ignore_errors=True)
        pictures = ray.data.read_parquet(files) if job.is_parquet else ray.data.read_binary_files(files, include_paths=True)
        pictures = pictures.map_batches(named(arguments, job.is_parquet), batch_format="pyarrow")
        rows = pictures.map_batches(
            ClassifyBatches if arguments.arrow else Classify,
            fn_constructor_args=(options,),
            batch_size=256,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=arguments.workers),
            num_cpus=0.5,  # reading needs some of the cores, too, or nothing ever comes
        )
        rows.write_parquet(str(folder))
        (folder / "_SUCCESS").touch()
        print(f"chunk {number + 1} of {len(job.chunks)} is done", flush=True)


if __name__ == "__main__":
    main()
