"""`classify --stdin --format arrow` driven by pyarrow: every layout of a column, a batch in and a batch out, streams that are cut."""
import subprocess

import pyarrow as pa


def start(binary, models, *options):
    command = [binary, "classify", "--stdin", "--format", "arrow", "--models", str(models), *options]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def layouts(pictures):
    """Names, and columns of these pictures; each with the key as text or as a number."""
    keys, files = [key for key, _ in pictures], [file for _, file in pictures]
    structure = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    structures = pa.array([file and {"bytes": file, "path": key} for key, file in pictures], structure)
    text, numbers = pa.array(keys), pa.array([int(key) for key in keys])
    yield "binary", text, pa.array(files, pa.binary())
    yield "large_binary", text.cast(pa.large_string()), pa.array(files, pa.large_binary())
    yield "binary_view", text.cast(pa.string_view()), pa.array(files, pa.binary_view())
    yield "a dictionary", text.dictionary_encode(), pa.array(files, pa.binary()).dictionary_encode()
    yield "a structure", numbers.cast(pa.uint32()), structures
    yield "a slice", pa.concat_arrays([text.slice(0, 3), text]).slice(3), pa.concat_arrays([pa.array(files[:3], pa.binary()), pa.array(files, pa.binary())]).slice(3)


def check(binary, models, pictures, wanted, compare):
    """`pictures`: pairs of a key and a file or None; `wanted`: the rows that `classify` has of them."""
    for name, keys, column in layouts(pictures):
        batch = pa.record_batch([keys, column], names=["key", "image"])
        process = start(binary, models, "--key", "key")
        # The answers' columns are there before anything was sent.
        answers = pa.ipc.open_stream(process.stdout)
        assert answers.schema.metadata[b"resnetd.model"], answers.schema
        rows = []
        with pa.ipc.new_stream(process.stdin, batch.schema) as stream:
            for start_at in range(0, batch.num_rows, 100):
                part = batch.slice(start_at, 100)
                for sent in (part, part.slice(0, 0)):
                    stream.write_batch(sent)
                    process.stdin.flush()
                    answer = answers.read_next_batch()
                    assert answer.num_rows == sent.num_rows, (name, answer.num_rows, sent.num_rows)
                    answer.validate(full=True)
                    rows += answer.to_pylist()
        process.stdin.close()
        assert process.wait(30) == 0, process.stderr.read()
        found = {}
        for (key, _), row in zip(pictures, rows, strict=True):
            assert row["key"].zfill(len(key)) == key, (name, row, key)
            found[key] = {**row, "key": key}
        compare(f"as {name}", found, {key: wanted[key] for key, _ in pictures})

    # Compressed batches are refused with the remedy; a stream without its end was cut.
    for words, options, end in [(b"send it plain", pa.ipc.IpcWriteOptions(compression="lz4"), True), (b"without its end mark", None, False)]:
        sink = pa.BufferOutputStream()
        stream = pa.ipc.new_stream(sink, batch.schema, options=options)
        stream.write_batch(batch)
        if end:
            stream.close()
        process = start(binary, models)
        output, said = process.communicate(sink.getvalue().to_pybytes())
        assert process.returncode == 1 and words in said, said
        rows = pa.ipc.open_stream(output).read_all().to_pylist()
        assert len(rows) == (1 if end else len(pictures) + 1) and words.decode() in rows[-1]["error"], rows[-1]
    print("  compressed and cut streams are refused by name", flush=True)
