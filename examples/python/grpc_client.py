#!/usr/bin/env python3
"""Classifies image files over one gRPC stream: answers come as they are ready.

    pip install grpcio-tools
    python3 examples/python/grpc_client.py MODEL FILE...

RESNETD_GRPC is the server's address, 127.0.0.1:8001 by default. The messages are made from the .proto when the program starts;
a larger program generates them once: python3 -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. resnetd/v1/classifier.proto
"""

import os
import sys
from pathlib import Path

import grpc

ADDRESS = os.environ.get("RESNETD_GRPC", "127.0.0.1:8001")
TIMEOUT_S = 60

sys.path.insert(0, str(Path(__file__).parents[2] / "proto"))
messages, services = grpc.protos_and_services("resnetd/v1/classifier.proto")


def requests(model, files):
    """One request a file, read when the stream has room for it."""
    for file in files:
        request = messages.ClassifyRequest(model=model, images=[Path(file).read_bytes()], top_k=3)
        yield messages.ClassifyStreamRequest(id=file, request=request)


def main(model, files):
    failed = False
    with grpc.insecure_channel(ADDRESS) as channel:
        classifier = services.ClassifierStub(channel)
        answers = classifier.ClassifyStream(requests(model, files), timeout=TIMEOUT_S)
        try:
            for answer in answers:
                if answer.HasField("error"):
                    # This file only; the stream goes on.
                    code = messages.Error.Code.Name(answer.error.code).removeprefix("CODE_")
                    print(f"{answer.id}: {answer.error.message} ({code})", file=sys.stderr)
                    failed = True
                    continue
                classes = answer.response.predictions[0].classes
                print(answer.id, *(f"{c.label} {c.probability:.2f}" for c in classes), sep="  ")
        except grpc.RpcError as error:
            metadata = dict(error.trailing_metadata() or ()) | dict(error.initial_metadata() or ())
            print(f"{error.code().name}: {error.details()} (request {metadata.get('x-request-id')})", file=sys.stderr)
            failed = True
    return failed


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2:]))
