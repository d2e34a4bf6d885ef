"""Asks resnetd as KServe's users do, with its own InferenceClient: version 1 of its protocol, and version 2, the Open Inference Protocol."""
import asyncio
import base64
import sys

import httpx
import numpy
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

from served import MODEL, check, files, finish, passed, server, tensor


def b64(file):
    return {"b64": base64.b64encode(file).decode()}


async def version_1(address):
    url = f"http://{address}"
    client = InferenceRESTClient(RESTConfig(protocol="v1"))
    assert await client.is_server_live(url)
    assert await client.is_model_ready(url, MODEL)
    names = httpx.get(f"{url}/v1/models").json()["models"]
    assert names == [MODEL], names
    for way, instances in [
        ("b64", [b64(file) for file in files()]),
        ("image_bytes", [{"image_bytes": b64(file)} for file in files()]),
        ("arrays", tensor().tolist()),
    ]:
        answer = await client.infer(url, {"instances": instances}, model_name=MODEL)
        check(f"kserve v1, {way}", answer["predictions"])
    for model, document in [("plants", {"instances": [b64(files()[0])]}), (MODEL, {"instances": [{"b64": "?"}]})]:
        try:
            await client.infer(url, document, model_name=model)
        except httpx.HTTPStatusError as error:
            assert error.response.json()["error"], error
        else:
            raise AssertionError(f"{model} should be refused")
    await client.close()


def requests():
    """The pictures and the tensor, with data of either kind."""
    pictures = InferInput("input", [len(files())], "BYTES")
    pictures.set_data_from_numpy(numpy.array(files(), dtype=numpy.object_), binary_data=True)
    yield "pictures, binary", pictures
    for binary in [True, False]:
        numbers = InferInput("input", list(tensor().shape), "FP32")
        numbers.set_data_from_numpy(tensor(), binary_data=binary)
        yield f"tensor, {'binary' if binary else 'JSON'}", numbers


def probabilities(answer):
    (output,) = [output for output in answer.outputs if output.name == "probabilities"]
    return output.as_numpy()


async def version_2(address):
    url = f"http://{address}"
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, MODEL)
    for way, sent in requests():
        check(f"kserve v2, {way}", probabilities(await client.infer(url, InferRequest(MODEL, [sent]), model_name=MODEL)))
    await client.close()


async def version_2_grpc(address):
    async with InferenceGRPCClient(address) as client:
        assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready(MODEL)
        for way, sent in requests():
            check(f"kserve v2 gRPC, {way}", probabilities(await client.infer(InferRequest(MODEL, [sent]))))


async def main():
    with server(sys.argv[1]) as (http_address, grpc_address):
        await version_1(http_address)
        passed.append("kserve v1, live, ready and list")
        await version_2(http_address)
        await version_2_grpc(grpc_address)
    finish()


asyncio.run(main())
