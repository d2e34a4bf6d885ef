"""Asks resnetd as KServe's users do, with KServe's own client, unmodified, and compares with what others said."""
import asyncio
import base64
import pathlib
import sys

import numpy
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from serving import MODEL, check, files, pixels, report, server, softmax, tensor


def request(data, datatype, binary):
    sent = InferInput("input", list(data.shape), datatype)
    sent.set_data_from_numpy(data, binary_data=binary)
    return InferRequest(model_name=MODEL, infer_inputs=[sent], request_id="42")


def look(way, answer):
    assert answer.id == "42", (way, answer.id)
    outputs = {output.name: output.as_numpy() for output in answer.outputs}
    check(f"{way} logits", softmax(outputs["logits"]))
    check(f"{way} probabilities", outputs["probabilities"])


async def rest(address):
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    url = f"http://{address}"
    assert await client.is_server_live(url) and await client.is_server_ready(url) and await client.is_model_ready(url, MODEL)
    texts = numpy.array([base64.b64encode(file) for file in files()], dtype=numpy.object_)
    forms = [("BYTES", files(), True), ("BYTES", texts, False)]
    forms += [(datatype, data, binary) for datatype, data in [("FP32", tensor()), ("UINT8", pixels())] for binary in [True, False]]
    for datatype, data, binary in forms:
        answer = await client.infer(url, request(data, datatype, binary), model_name=MODEL)
        look(f"REST {'binary' if binary else 'JSON'} {datatype}", answer)


async def grpc(address):
    client = InferenceGRPCClient(url=address)
    assert await client.is_server_live() and await client.is_server_ready() and await client.is_model_ready(MODEL)
    # Its client refuses to put bytes that are no text into `bytes_contents`.
    forms = [("BYTES", files(), True)]
    forms += [(datatype, data, binary) for datatype, data in [("FP32", tensor()), ("UINT8", pixels())] for binary in [True, False]]
    for datatype, data, binary in forms:
        answer = await client.infer(request(data, datatype, binary))
        look(f"gRPC {'raw' if binary else 'contents'} {datatype}", answer)


def main():
    with server(sys.argv[1]) as (http_address, grpc_address):
        asyncio.run(rest(http_address))
        asyncio.run(grpc(grpc_address))
    report()


main()
