"""Versions of models that come while a server runs: put there whole, and waited for."""
import http.client
import json
import shutil
import time


def put(repository, model, version, graph):
    """A version that appears whole."""
    staged = repository / ".staged"
    staged.mkdir()
    shutil.copy(graph, staged / "model.onnx")
    # A tick of the file system's clock: a rename within the tick of the writing does not show that the folder came whole.
    time.sleep(0.02)
    staged.rename(repository / model / str(version))


def ask(address, method, path):
    connection = http.client.HTTPConnection(*address, timeout=120)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def wait_for(address, model, version):
    """Until this version answers, and no other."""
    while True:
        _, body = ask(address, "GET", f"/v1/models/{model}")
        states = {entry["version"]: entry["state"] for entry in json.loads(body)["model_version_status"]}
        if states == {str(version): "AVAILABLE"}:
            return
        time.sleep(0.02)
