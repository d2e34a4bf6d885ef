"""Classifies image files as a client of TensorFlow Serving's REST API does: the same lines work against both.

    pip install requests
    python3 tfserving_client.py resnet20-cifar10 cat.png dog.png
"""
import base64
import os
import sys

import requests

model, paths = sys.argv[1], sys.argv[2:]
url = f"http://{os.environ.get('RESNETD', '127.0.0.1:8000')}/v1/models/{model}:classify"
for path in paths:
    with open(path, "rb") as file:
        # The file as it is: resnetd decodes, resizes and normalizes.
        picture = {"b64": base64.b64encode(file.read()).decode()}
    answer = requests.post(url, json={"context": {"k": 3}, "examples": [{"image": picture}]}, timeout=10)
    if not answer.ok:
        sys.exit(f"{path}: {answer.json()['error']} (request {answer.headers['x-request-id']})")
    print(path, *(f"{label} {score:.2f}" for label, score in answer.json()["results"][0]), sep="  ")
