"""Asks resnetd as Triton's users do, with Triton's own client, and compares with what Pillow, NumPy and ONNX Runtime said.

The expected probabilities are tests/fixtures/cifar10/probabilities.tsv, which none of our code made.
"""
import asyncio
import base64
import queue
import sys

import ml_dtypes
import numpy
import tritonclient.grpc as grpc
import tritonclient.grpc.aio as grpc_aio
import tritonclient.http as http
import tritonclient.http.aio as http_aio
from tritonclient.utils import InferenceServerException

import served
from served import EXPECTED, LABELS, MODEL, NAMES, check, passed, pixels, server, softmax, tensor


def files():
    """The pictures as Triton's client takes them."""
    return numpy.array(served.files(), dtype=numpy.object_)


def check_classes(way, texts):
    assert texts.shape == (len(NAMES), 2), (way, texts.shape)
    for name, row in zip(NAMES, texts):
        value, index, label = row[0].decode().split(":")
        assert label == name == LABELS[int(index)], (way, name, row)
        assert abs(float(value) - EXPECTED[name].max()) < 2e-6, (way, row)
    passed.append(way)


def inputs(module, binary=True, column=False):
    """Every form of the input: what it is called, the input, and how exact it is."""
    blobs = files().reshape(-1, 1) if column else files()
    forms = [("BYTES", blobs, "BYTES", 2e-6), ("FP32", tensor(), "FP32", 2e-6), ("UINT8", pixels(), "UINT8", 2e-6)]
    if binary:
        # Halves have 11 bits, BF16 8: the input is rounded.
        forms += [("FP16", tensor().astype(numpy.float16), "FP16", 2e-3), ("BF16", tensor().astype(ml_dtypes.bfloat16), "BF16", 2e-2)]
    for name, data, datatype, tolerance in forms:
        sent = module.InferInput("input", list(data.shape), datatype)
        if module in (http, http_aio):
            if datatype == "BYTES" and not binary:
                # JSON has no bytes: the file's base64, as the metadata says.
                data = numpy.array([base64.b64encode(blob) for blob in data.flatten()], dtype=numpy.object_).reshape(data.shape)
            sent.set_data_from_numpy(data, binary_data=binary)
        else:
            sent.set_data_from_numpy(data)
        yield name, sent, tolerance


def http_ways(address):
    with http.InferenceServerClient(address) as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
        assert not client.is_model_ready("plants")
        metadata = client.get_server_metadata()
        assert metadata["name"] == "resnetd" and "binary_tensor_data" in metadata["extensions"], metadata
        model = client.get_model_metadata(MODEL)
        assert model["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3, 32, 32]}], model
        assert [output["name"] for output in model["outputs"]] == ["logits", "probabilities"], model
        config = client.get_model_config(MODEL)
        assert config["input"][0]["dims"] == [3, 32, 32] and config["max_batch_size"] >= 1, config
        index = client.get_model_repository_index()
        assert index == [{"name": MODEL, "version": "1", "state": "READY", "reason": ""}], index
        for binary in [True, False]:
            kind = "binary" if binary else "JSON"
            for column in [False, True]:
                for name, sent, tolerance in inputs(http, binary, column):
                    result = client.infer(MODEL, [sent], request_id="42")
                    assert result.get_response()["id"] == "42"
                    check(f"http {kind} {name} {'[N,1] ' * column}logits", softmax(result.as_numpy("logits")), tolerance)
                    wanted = [http.InferRequestedOutput("probabilities", binary_data=binary)]
                    result = client.infer(MODEL, [sent], outputs=wanted, model_version="1")
                    check(f"http {kind} {name} {'[N,1] ' * column}probabilities", result.as_numpy("probabilities"), tolerance)
            sent = next(inputs(http, binary))[1]
            wanted = [http.InferRequestedOutput("probabilities", binary_data=binary, class_count=2)]
            texts = client.infer(MODEL, [sent], outputs=wanted).as_numpy("probabilities")
            check_classes(f"http {kind} classification", numpy.vectorize(lambda text: text if isinstance(text, bytes) else text.encode(), otypes=[object])(texts))
        for algorithm in ["gzip", "deflate"]:
            sent = next(inputs(http))[1]
            result = client.infer(MODEL, [sent], request_compression_algorithm=algorithm, response_compression_algorithm=algorithm)
            check(f"http {algorithm}", result.as_numpy("probabilities"))
        sent = next(inputs(http))[1]
        result = client.infer(MODEL, [sent], priority=1, timeout=20_000_000)
        check("http priority and timeout", result.as_numpy("probabilities"))
        jobs = [client.async_infer(MODEL, [sent]) for _ in range(8)]
        for job in jobs:
            check("http async_infer", job.get_result().as_numpy("probabilities"))
        try:
            client.infer("plants", [sent])
            raise AssertionError("a model that there is not answers")
        except InferenceServerException as error:
            assert MODEL in error.message(), error
        statistics = client.get_inference_statistics(MODEL)["model_stats"][0]
        check_statistics(statistics["inference_count"], statistics["execution_count"], [(int(it["batch_size"]), int(it["compute_infer"]["count"]), int(it["compute_infer"]["ns"])) for it in statistics["batch_stats"]], {name: (int(it["count"]), int(it["ns"])) for name, it in statistics["inference_stats"].items()})


def check_statistics(images, runs, batches, sums):
    assert images == sum(size * count for size, count, _ in batches), (images, batches)
    assert runs == sum(count for _, count, _ in batches), (runs, batches)
    assert all(ns > 0 for _, _, ns in batches), batches
    assert sums["success"][0] == sums["queue"][0] > 0 and sums["fail"][0] == 0, sums
    parts = sum(sums[name][1] for name in ["queue", "compute_input", "compute_infer", "compute_output"])
    assert 0 < parts <= sums["success"][1], sums
    passed.append("statistics")


async def http_aio_ways(address):
    async with http_aio.InferenceServerClient(address) as client:
        assert await client.is_server_ready()
        for name, sent, tolerance in inputs(http_aio):
            check(f"http asyncio {name}", (await client.infer(MODEL, [sent])).as_numpy("probabilities"), tolerance)
        sent = next(inputs(http_aio))[1]
        answers = await asyncio.gather(*(client.infer(MODEL, [sent]) for _ in range(8)))
        for answer in answers:
            check("http asyncio, 8 at a time", answer.as_numpy("probabilities"))


def grpc_ways(address):
    with grpc.InferenceServerClient(address) as client:
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(MODEL) and client.is_model_ready(MODEL, "1")
        assert not client.is_model_ready("plants")
        assert client.get_server_metadata().name == "resnetd"
        model = client.get_model_metadata(MODEL)
        assert [(it.name, it.datatype, list(it.shape)) for it in model.inputs] == [("input", "FP32", [-1, 3, 32, 32])], model
        config = client.get_model_config(MODEL).config
        assert list(config.input[0].dims) == [3, 32, 32] and config.backend == "onnxruntime", config
        assert [(it.name, it.state) for it in client.get_model_repository_index().models] == [(MODEL, "READY")]
        for column in [False, True]:
            for name, sent, tolerance in inputs(grpc, column=column):
                result = client.infer(MODEL, [sent], request_id="42")
                assert result.get_response().id == "42"
                check(f"grpc {name} {'[N,1] ' * column}logits", softmax(result.as_numpy("logits")), tolerance)
                check(f"grpc {name} {'[N,1] ' * column}probabilities", result.as_numpy("probabilities"), tolerance)
        sent = next(inputs(grpc))[1]
        wanted = [grpc.InferRequestedOutput("probabilities", class_count=2)]
        check_classes("grpc classification", client.infer(MODEL, [sent], outputs=wanted).as_numpy("probabilities"))
        for algorithm in ["gzip", "deflate"]:
            check(f"grpc {algorithm}", client.infer(MODEL, [sent], compression_algorithm=algorithm).as_numpy("probabilities"))
        result = client.infer(MODEL, [sent], priority=1, timeout=20_000_000, client_timeout=20)
        check("grpc priority and timeout", result.as_numpy("probabilities"))
        answers = queue.Queue()
        for _ in range(8):
            client.async_infer(MODEL, [sent], lambda result, error: answers.put((result, error)))
        for _ in range(8):
            result, error = answers.get(timeout=60)
            assert error is None, error
            check("grpc async_infer", result.as_numpy("probabilities"))
        client.start_stream(lambda result, error: answers.put((result, error)))
        for number in range(8):
            client.async_stream_infer(MODEL if number != 5 else "plants", [sent], request_id=str(number), enable_empty_final_response=True)
        for number in range(8):
            result, error = answers.get(timeout=60)
            if number == 5:
                assert MODEL in error.message(), error
                continue
            assert error is None and result.get_response().id == str(number), (number, error)
            assert result.get_response().parameters["triton_final_response"].bool_param
            check("grpc stream", result.as_numpy("probabilities"))
        client.stop_stream()
        try:
            client.load_model(MODEL)
            raise AssertionError("load_model is not there yet")
        except InferenceServerException as error:
            assert "UNIMPLEMENTED" in error.status(), error
        statistics = client.get_inference_statistics(MODEL).model_stats[0]
        sums = {name: (getattr(statistics.inference_stats, name).count, getattr(statistics.inference_stats, name).ns) for name in ["success", "fail", "queue", "compute_input", "compute_infer", "compute_output"]}
        check_statistics(statistics.inference_count, statistics.execution_count, [(it.batch_size, it.compute_infer.count, it.compute_infer.ns) for it in statistics.batch_stats], sums)


async def grpc_aio_ways(address):
    async with grpc_aio.InferenceServerClient(address) as client:
        assert await client.is_server_ready()
        for name, sent, tolerance in inputs(grpc_aio):
            check(f"grpc asyncio {name}", (await client.infer(MODEL, [sent])).as_numpy("probabilities"), tolerance)
        sent = next(inputs(grpc_aio))[1]

        async def requests():
            for number in range(8):
                yield {"model_name": MODEL, "inputs": [sent], "request_id": str(number)}

        seen = []
        async for result, error in client.stream_infer(requests()):
            assert error is None, error
            seen.append(result.get_response().id)
            check("grpc asyncio stream", result.as_numpy("probabilities"))
        assert seen == [str(number) for number in range(8)], seen


def main():
    with server(sys.argv[1]) as (http_address, grpc_address):
        http_ways(http_address)
        asyncio.run(http_aio_ways(http_address))
        grpc_ways(grpc_address)
        asyncio.run(grpc_aio_ways(grpc_address))
    for way in dict.fromkeys(passed):
        print(way)
    print(f"{len(set(passed))} ways to ask gave what Pillow, NumPy and ONNX Runtime gave")


main()
