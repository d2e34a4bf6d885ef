"""Classifies a folder of Parquet files or of pictures with PySpark: `mapInPandas` (`--arrow`: `mapInArrow`) over a classifier in each Python worker.

    spark-submit classify.py INPUT OUTPUT --binary /usr/local/bin/resnetd
    spark-submit classify.py INPUT OUTPUT --url http://fleet:8000

(with `--deploy-mode cluster` also `--py-files ../bulk/classifiers.py,../bulk/arrow_batches.py,../bulk/chunks.py`). Each picture has one row in OUTPUT, a bad one with its error. Killed, the same command goes on where it was: docs/bulk.md. Tested with
PySpark 4.3 and Java 17; needs pandas and pyarrow.
"""
import os
import pathlib
import sys

BULK = pathlib.Path(__file__).absolute().parent.parent / "bulk"
sys.path.insert(0, str(BULK))

import chunks

SCHEMA = """key string, class_index int, label string, probability float,
    classes array<struct<index: int, label: string, probability: float>>, error string, code string"""


def classifier(options):
    """This Python worker's own, kept from one partition to the next: Spark keeps the worker, and a network is loaded once."""
    import classifiers

    if not hasattr(classifiers, "kept"):
        classifiers.kept = classifiers.make(options)
    return classifiers.kept


def mapper(options):
    def classify(frames):
        import pandas
        import classifiers

        for frame in frames:
            nothing = frame["image"].isna()
            there = frame[~nothing]
            try:
                rows = list(classifier(options).classify(zip(there["key"], there["image"])))
            except Exception:
                # What is left of it is of no use to the next try.
                classifiers.__dict__.pop("kept").close()
                raise
            rows += [classifiers.row(key, error="the row has no picture: the column is null there", code="INVALID_ARGUMENT") for key in frame[nothing]["key"]]
            columns = ["key", "class_index", "label", "probability", "classes", "error", "code"]
            table = pandas.DataFrame(rows, columns=columns)
            yield table.astype({"class_index": "Int32", "probability": "Float32"})

    return classify


def arrow_mapper(options):
    def classify(batches):
        import arrow_batches

        if not hasattr(arrow_batches, "kept"):
            arrow_batches.kept = arrow_batches.make(options)
        try:
            yield from arrow_batches.kept.classify(batches)
        except BaseException:
            # As above; nor is one of use whose answers nobody waited for.
            arrow_batches.__dict__.pop("kept").close()
            raise

    return classify


def main():
    arguments = chunks.arguments(__doc__.splitlines()[0])
    job = chunks.Job(arguments)
    options = {**vars(arguments), "input": None, "output": None}

    from pyspark.sql import SparkSession
    from pyspark.sql.functions import col

    builder = SparkSession.builder.appName("resnetd")
    # Pictures are larger than Spark expects rows to be: fewer of them are handed over at a time.
    session = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", 256).getOrCreate()
    if BULK.is_dir():
        # Onto the workers; else --py-files has done that.
        for module in ["classifiers.py", "arrow_batches.py"]:
            session.sparkContext.addPyFile(str(BULK / module))
    for number, folder, files in job.todo():
        if job.is_parquet:
            pictures = session.read.parquet(*files)
            pictures = pictures.select(col(arguments.key).cast("string").alias("key"), col(arguments.column).alias("image"))
        else:
            # Spark passes over files without a byte, and each is to have a row.
            empty = [(f"file:{path}", b"") for path in files if not os.path.getsize(path)]
            pictures = session.createDataFrame(empty, "key string, image binary")
            if len(empty) < len(files):
                read = session.read.format("binaryFile").load([path for path in files if os.path.getsize(path)])
                pictures = pictures.union(read.select(col("path").alias("key"), col("content").alias("image")))
        pictures = pictures.repartition(arguments.workers)
        rows = pictures.mapInArrow(arrow_mapper(options), SCHEMA) if arguments.arrow else pictures.mapInPandas(mapper(options), SCHEMA)
        # Spark's committer writes _SUCCESS when all of it is there.
        rows.write.mode("overwrite").parquet(str(folder))
        print(f"chunk {number + 1} of {len(job.chunks)} is done", flush=True)
    session.stop()


if __name__ == "__main__":
    main()
