"""Classifies image files with Triton's own client: the same lines work against Triton, KServe and resnetd.

    pip install 'tritonclient[http]'
    python3 triton_client.py resnet20-cifar10 cat.png dog.png
"""
import os
import sys

import numpy
import tritonclient.http as triton

model, paths = sys.argv[1], sys.argv[2:]
with triton.InferenceServerClient(os.environ.get("RESNETD", "127.0.0.1:8000")) as client:
    name = client.get_model_metadata(model)["inputs"][0]["name"]
    for path in paths:
        with open(path, "rb") as file:
            # The file as it is: resnetd decodes, resizes and normalizes.
            picture = numpy.array([file.read()], dtype=numpy.object_)
        sent = triton.InferInput(name, [1], "BYTES")
        sent.set_data_from_numpy(picture)
        wanted = triton.InferRequestedOutput("probabilities", class_count=3)
        # Microseconds: what has no answer by then is not worked on any more.
        answer = client.infer(model, [sent], outputs=[wanted], timeout=10_000_000)
        classes = (entry.decode().split(":", 2) for entry in answer.as_numpy("probabilities")[0])
        print(path, *(f"{label} {float(value):.2f}" for value, _, label in classes), sep="  ")
