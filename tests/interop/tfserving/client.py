"""Asks resnetd as TensorFlow Serving's users do: with its own gRPC stubs, and with `requests` as its documentation does."""
import base64
import json
import sys

import grpc
import numpy
import requests
from tensorflow.core.example import example_pb2
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from served import LABELS, MODEL, NAMES, check, check_classes, files, finish, passed, pixels, server, softmax, tensor


def b64(file):
    return {"b64": base64.b64encode(file).decode()}


def post(address, verb, document, route=f"/v1/models/{MODEL}"):
    # Without a content type, as the documented client of ResNet sends it.
    answer = requests.post(f"http://{address}{route}:{verb}", data=json.dumps(document))
    assert answer.status_code == 200, (answer.status_code, answer.text[:400])
    return answer.json()


def rest(address):
    base = f"http://{address}/v1/models/{MODEL}"
    status = requests.get(base).json()
    assert status["model_version_status"] == [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}], status
    metadata = requests.get(f"{base}/metadata").json()
    signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    (name,) = signature["inputs"]
    assert [int(dim["size"]) for dim in signature["inputs"][name]["tensor_shape"]["dim"]] == [-1, 3, 32, 32], signature

    for way, instances in [
        ("rows of b64", [b64(file) for file in files()]),
        ("rows of image_bytes", [{"image_bytes": b64(file)} for file in files()]),
        ("rows of a tensor", tensor().tolist()),
        ("rows of a named tensor", [{name: image} for image in tensor().tolist()]),
    ]:
        answer = post(address, "predict", {"signature_name": "serving_default", "instances": instances})
        check(f"requests, predict, {way}", answer["predictions"])
    for way, inputs in [
        ("column of b64", [b64(file) for file in files()]),
        ("named column of b64", {"image_bytes": [b64(file) for file in files()]}),
        ("column of a tensor", tensor().tolist()),
        ("named column of a tensor", {name: tensor().tolist()}),
    ]:
        check(f"requests, predict, {way}", post(address, "predict", {"inputs": inputs}, f"/v1/models/{MODEL}/versions/1")["outputs"])
    headers = {"content-type": "application/json"}
    answer = requests.post(f"{base}:predict", data=json.dumps({"instances": tensor().tolist()}), headers=headers)
    check("requests, predict, as JSON", json.loads(answer.text)["predictions"])
    raw = post(address, "predict", {"signature_name": "raw", "instances": tensor().tolist()})
    check("requests, predict, signature raw", softmax(numpy.array(raw["predictions"])))

    examples = {"context": {"k": 3}, "examples": [{"image/encoded": b64(file), "image/format": "jpeg"} for file in files()]}
    check_classes("requests, classify", post(address, "classify", examples)["results"])
    for verb, document in [("regress", {"examples": [{"x": 1.0}]}), ("predict", {"instances": [[0.5]]}), ("predict", {"signature_name": "other", "instances": [b64(files()[0])]})]:
        answer = requests.post(f"{base}:{verb}", json=document)
        assert answer.status_code == 400 and answer.json()["error"], answer.text
    assert requests.get(f"http://{address}/v1/models/plants").status_code == 404
    assert requests.post(f"{base}/versions/7:predict", json={"instances": [b64(files()[0])]}).status_code == 404


def make_tensor(values, dtype, content=False):
    """A TensorProto as `tf.make_tensor_proto` makes it: a list's field, or the bytes of an array."""
    made = tensor_pb2.TensorProto(dtype=dtype)
    shape = [len(values)] if isinstance(values, list) else values.shape
    for size in shape:
        made.tensor_shape.dim.add(size=size)
    if dtype == types_pb2.DT_STRING:
        made.string_val.extend(values)
    elif content:
        made.tensor_content = values.tobytes()
    elif dtype == types_pb2.DT_FLOAT:
        made.float_val.extend(values.flatten().tolist())
    elif dtype == types_pb2.DT_HALF:
        made.half_val.extend(values.view(numpy.uint16).flatten().tolist())
    else:
        made.int_val.extend(values.flatten().tolist())
    return made


def rows(output):
    return numpy.array(output.float_val).reshape([dim.size for dim in output.tensor_shape.dim])


def predict(stub, name, value, **spec):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = spec.pop("model", MODEL)
    request.model_spec.signature_name = spec.pop("signature_name", "serving_default")
    request.output_filter.extend(spec.pop("output_filter", []))
    if "version" in spec:
        request.model_spec.version.value = spec["version"]
    request.inputs[name].CopyFrom(value)
    return stub.Predict(request, 10.0)


def refused(code, call):
    try:
        call()
    except grpc.RpcError as error:
        assert error.code() == code and error.details(), error
        return
    raise AssertionError(f"{code} was expected")


def stubs(address):
    channel = grpc.insecure_channel(address)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    models = model_service_pb2_grpc.ModelServiceStub(channel)
    for way, name, value, tolerance in [
        ("pictures", "image_bytes", make_tensor(files(), types_pb2.DT_STRING), 2e-6),
        ("float_val", "input", make_tensor(tensor(), types_pb2.DT_FLOAT), 2e-6),
        ("tensor_content", "input", make_tensor(tensor(), types_pb2.DT_FLOAT, content=True), 2e-6),
        ("pixels, int_val", "input", make_tensor(pixels(), types_pb2.DT_UINT8), 2e-6),
        ("pixels, tensor_content", "input", make_tensor(numpy.ascontiguousarray(pixels()), types_pb2.DT_UINT8, content=True), 2e-6),
        # Halves have 11 bits: the input is rounded.
        ("half_val", "input", make_tensor(tensor().astype(numpy.float16), types_pb2.DT_HALF), 2e-3),
        ("halves, tensor_content", "input", make_tensor(tensor().astype(numpy.float16), types_pb2.DT_HALF, content=True), 2e-3),
    ]:
        answer = predict(stub, name, value)
        check(f"stubs, Predict, {way}", rows(answer.outputs["probabilities"]), tolerance)
        check(f"stubs, Predict, {way}, the graph's output", softmax(rows(answer.outputs["logits"])), tolerance)
        assert answer.model_spec.version.value == 1 and answer.model_spec.name == MODEL, answer.model_spec
    answer = predict(stub, "image_bytes", make_tensor(files(), types_pb2.DT_STRING), output_filter=["probabilities"], version=1)
    assert list(answer.outputs) == ["probabilities"], answer
    check("stubs, Predict, output_filter and version", rows(answer.outputs["probabilities"]))

    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = MODEL
    for file in files():
        example = example_pb2.Example()
        example.features.feature["image/encoded"].bytes_list.value.append(file)
        example.features.feature["image/format"].bytes_list.value.append(b"jpeg")
        example.features.feature["image/height"].int64_list.value.append(32)
        request.input.example_list.examples.append(example)
    answer = stub.Classify(request, 10.0)
    check_classes("stubs, Classify", [[(it.label, it.score) for it in image.classes] for image in answer.result.classifications])
    request.input.example_list_with_context.examples.extend(request.input.example_list.examples)
    request.input.example_list_with_context.context.features.feature["k"].int64_list.value.append(2)
    answer = stub.Classify(request, 10.0)
    assert all(len(image.classes) == 2 for image in answer.result.classifications), answer
    check_classes("stubs, Classify with context", [[(it.label, it.score) for it in image.classes] for image in answer.result.classifications])

    request = get_model_metadata_pb2.GetModelMetadataRequest()
    request.model_spec.name = MODEL
    request.metadata_field.append("signature_def")
    answer = stub.GetModelMetadata(request, 10.0)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures), answer
    default = signatures.signature_def["serving_default"]
    assert default.method_name == "tensorflow/serving/predict" and default.inputs["input"].dtype == types_pb2.DT_FLOAT, default
    assert [dim.size for dim in default.outputs["probabilities"].tensor_shape.dim] == [-1, len(LABELS) - 1 if LABELS[-1] == "" else len(LABELS)], default
    passed.append("stubs, GetModelMetadata")

    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = MODEL
    (version,) = models.GetModelStatus(request, 10.0).model_version_status
    assert version.version == 1 and version.state == get_model_status_pb2.ModelVersionStatus.AVAILABLE and version.status.error_code == 0, version
    passed.append("stubs, GetModelStatus")

    one = make_tensor(files()[:1], types_pb2.DT_STRING)
    refused(grpc.StatusCode.NOT_FOUND, lambda: predict(stub, "image_bytes", one, model="plants"))
    refused(grpc.StatusCode.NOT_FOUND, lambda: predict(stub, "image_bytes", one, version=9))
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: predict(stub, "image_bytes", one, signature_name="other"))
    refused(grpc.StatusCode.INVALID_ARGUMENT, lambda: predict(stub, "input", make_tensor(tensor()[:, :, :8], types_pb2.DT_FLOAT)))
    refused(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.Regress(regression_pb2.RegressionRequest(), 10.0))
    refused(grpc.StatusCode.UNIMPLEMENTED, lambda: stub.MultiInference(inference_pb2.MultiInferenceRequest(), 10.0))


def main():
    assert len(NAMES) == 10
    with server(sys.argv[1]) as (http_address, grpc_address):
        rest(http_address)
        stubs(grpc_address)
    finish()


main()
