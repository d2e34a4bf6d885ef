"""Classifies files with the Python client that openapi-generator makes, and shows that its refusals are typed."""
import base64
import json
import pathlib
import sys

import resnetd_client
from resnetd_client.models import Base64Picture, ClassifyBody, ClassifyInstances, ErrorDocument, Picture

url, *files = sys.argv[1:]
with resnetd_client.ApiClient(resnetd_client.Configuration(host=url)) as client:
    api = resnetd_client.ResnetdApi(client)
    for file in files:
        picture = Picture(Base64Picture(b64=base64.b64encode(pathlib.Path(file).read_bytes()).decode()))
        body = ClassifyBody(ClassifyInstances(instances=[picture]))
        answer = api.classify("resnet20-cifar10", body, top_k=10).actual_instance
        print(json.dumps([[best.label, best.probability] for best in answer.predictions[0].classes]))
    try:
        api.model_labels("no-such-model")
        sys.exit("a model that is not there has labels")
    except resnetd_client.exceptions.NotFoundException as refused:
        assert isinstance(refused.data, ErrorDocument) and refused.data.code == "NOT_FOUND", refused.data
    assert "resnet20-cifar10" in api.list_models().models
    assert resnetd_client.OpenInferenceProtocol2Api(client).v2_ready().ready
