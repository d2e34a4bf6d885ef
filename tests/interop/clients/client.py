"""The programs of examples/ against a running server, and what gRPC's own tools say of it.

Each program prints a line a picture, `FILE  LABEL PROBABILITY  …`, with two digits, and a line on stderr for what is wrong. The expected figures
are those of `served`; none of our code made them.
"""
import base64
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import grpc
import httpx
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

import served

EXAMPLES = served.ROOT / "examples"
BUILD = served.ROOT / "target/interop/clients-build"
PICTURES = [f"{served.FIXTURES}/{name}.jpg" for name in served.NAMES]
passed_over = []


def run(*command, **settings):
    return subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=900)


def build(*command, **settings):
    made = run(*command, **settings)
    assert made.returncode == 0, (command, made.stdout, made.stderr)


def missing(*programs):
    return [program for program in programs if not shutil.which(program)]


def check_program(way, command, addresses, bad, **settings):
    """Runs a program over all pictures, over a file that is none, and for a model that there is not."""
    settings |= {"RESNETD_HTTP": addresses[0], "RESNETD_GRPC": addresses[1], "RESNETD": addresses[0], **settings}
    told = run(*command, served.MODEL, *PICTURES, **settings)
    assert told.returncode == 0, (way, told.stderr)
    lines = [line.split("  ") for line in told.stdout.splitlines()]
    answered = {line[0]: line[1:] for line in lines}
    assert sorted(answered) == sorted(PICTURES), (way, told.stdout)
    for name, picture in zip(served.NAMES, PICTURES):
        classes = [entry.rsplit(" ", 1) for entry in answered[picture]]
        assert len(classes) == 3 and classes[0][0] == name, (way, name, classes)
        for label, probability in classes:
            expected = served.EXPECTED[name][served.LABELS.index(label)]
            assert abs(float(probability) - expected) <= 0.00502, (way, name, label, probability, expected)
    for model, words in ((served.MODEL, "image"), ("plants", "there is no model `plants`")):
        told = run(*command, model, bad, **settings)
        assert told.returncode != 0 and words in told.stderr, (way, told.returncode, told.stderr, told.stdout)
        assert "Traceback" not in told.stderr, (way, told.stderr)
    served.passed.append(way)


def programs(addresses, bad):
    python = (sys.executable,)
    for name in ("http_client", "grpc_client", "tfserving_client"):
        check_program(f"Python, {name}.py", (*python, f"{EXAMPLES}/python/{name}.py"), addresses, bad)
    http = addresses[0]
    check_program("Python, grpc_client.py on the HTTP port", (*python, f"{EXAMPLES}/python/grpc_client.py"), (http, http), bad)
    if missing("node", "npm"):
        passed_over.append("Node and the page: there is no node or no npm")
    else:
        build("npm", "install", "--silent", "--prefix", f"{EXAMPLES}/node")
        for name in ("http_client", "grpc_client"):
            check_program(f"Node, {name}.mjs", ("node", f"{EXAMPLES}/node/{name}.mjs"), addresses, bad)
        build("npm", "install", "--silent", "--prefix", f"{EXAMPLES}/web")
        build("npm", "run", "--silent", "--prefix", f"{EXAMPLES}/web", "generate")
        check_program("a page, gRPC-Web with Connect's library", ("node", f"{EXAMPLES}/web/client.mjs"), addresses, bad)
    BUILD.mkdir(parents=True, exist_ok=True)
    if missing("java"):
        passed_over.append("Java: there is no java")
    else:
        check_program("Java, java.net.http", ("java", f"{EXAMPLES}/java/Client.java"), addresses, bad)
    if missing("curl", "jq"):
        passed_over.append("curl and buf: there is no curl or no jq")
    else:
        check_program("curl", (f"{EXAMPLES}/curl/classify.sh",), addresses, bad)
        check_program("buf curl, gRPC", (f"{EXAMPLES}/buf/classify.sh",), addresses, bad)
        check_program("buf curl, gRPC on the HTTP port", (f"{EXAMPLES}/buf/classify.sh",), (http, http), bad)
        check_program("buf curl, gRPC-Web", (f"{EXAMPLES}/buf/classify.sh",), (http, http), bad, PROTOCOL="grpcweb")
    if missing("make", "c++", "protoc", "grpc_cpp_plugin", "pkg-config"):
        passed_over.append("C++: there is no compiler, protoc, grpc_cpp_plugin or pkg-config")
    else:
        build("make", "--silent", "-C", f"{EXAMPLES}/cpp", f"OUT={BUILD}/cpp")
        check_program("C++, gRPC", (f"{BUILD}/cpp/classify",), addresses, bad)
    if missing("mcs", "mono"):
        passed_over.append("C#: there is no mcs or no mono")
    else:
        build("mcs", "-r:System.Net.Http.dll", f"-out:{BUILD}/Client.exe", f"{EXAMPLES}/csharp/Client.cs")
        check_program("C#, System.Net.Http", ("mono", f"{BUILD}/Client.exe"), addresses, bad)
    build("go", "build", "-o", f"{BUILD}/go-client", f"{EXAMPLES}/go/main.go", CGO_ENABLED="0", GO111MODULE="off")
    check_program("Go, net/http", (f"{BUILD}/go-client",), addresses, bad)


def details(addresses, bad):
    """What Python's own library makes of a refusal, on both ports."""
    sys.path.insert(0, f"{served.ROOT}/proto")
    messages, services = grpc.protos_and_services("resnetd/v1/classifier.proto")
    picture = served.files()[0]
    for address in addresses:
        with grpc.insecure_channel(address) as channel:
            classifier = services.ClassifierStub(channel)
            status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=served.MODEL))
            assert status.status == health_pb2.HealthCheckResponse.SERVING
            for request, kind, expected in (
                (messages.ClassifyRequest(model=served.MODEL, images=[picture, picture, b"none"]), "BadRequest", "images[2]"),
                (messages.ClassifyRequest(model=served.MODEL, images=[picture], top_k=99), "BadRequest", "top_k"),
                (messages.ClassifyRequest(model="plants", images=[picture]), "ResourceInfo", "plants"),
                (messages.ClassifyRequest(model="é" * 3000, images=[picture]), "ResourceInfo", "é" * 150 + "…" + "é" * 50),
            ):
                try:
                    classifier.Classify(request, timeout=30)
                    raise AssertionError(f"not refused: {expected}")
                except grpc.RpcError as error:
                    rich = rpc_status.from_call(error)
                found = {detail.TypeName().rsplit(".", 1)[1]: detail for detail in rich.details}
                message = getattr(error_details_pb2, kind)()
                assert found[kind].Unpack(message), found
                got = message.resource_name if kind == "ResourceInfo" else message.field_violations[0].field
                assert got == expected, (got, expected)
                info = error_details_pb2.ErrorInfo()
                assert found["ErrorInfo"].Unpack(info) and info.domain == "resnetd", found
    served.passed.append("grpcio: grpc_status, health, on both ports")


def reflection(addresses):
    """Every service there is, and a call made of what the server says of itself."""
    for address in addresses:
        told = run("buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--list-methods", f"http://{address}")
        assert told.returncode == 0, told.stderr
        services = {line.rsplit("/", 1)[0] for line in told.stdout.splitlines()}
        wanted = {
            "resnetd.v1.Classifier", "inference.GRPCInferenceService", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService",
            "grpc.health.v1.Health",
        }
        assert wanted <= services and any(service.startswith("grpc.reflection.v1") for service in services), services
        for version in ("grpc-v1", "grpc-v1alpha"):
            told = run(
                "buf", "curl", "--protocol", "grpc", "--http2-prior-knowledge", "--reflect-protocol", version,
                f"http://{address}/grpc.health.v1.Health/Check",
            )
            assert told.returncode == 0 and "SERVING" in told.stdout, (version, told.stderr)
    served.passed.append("buf curl: reflection v1 and v1alpha, on both ports")


def by_hand(addresses):
    """gRPC-Web with httpx: five bytes before each message, and the trailers as the last one."""
    sys.path.insert(0, f"{served.ROOT}/proto")
    messages = grpc.protos("resnetd/v1/classifier.proto")
    images, url = [], f"http://{addresses[0]}/resnetd.v1.Classifier/Classify"
    with httpx.Client() as client:
        for at, picture in enumerate(served.files()):
            request = messages.ClassifyRequest(model=served.MODEL, images=[picture], top_k=10).SerializeToString()
            body = struct.pack(">BI", 0, len(request)) + request
            kind = ("application/grpc-web", "application/grpc-web-text")[at % 2]
            if at % 2:
                body = base64.b64encode(body)
            answer = client.post(url, content=body, headers={"content-type": kind, "accept": kind, "grpc-timeout": "10S"})
            content = answer.content
            if at % 2:
                content = b"".join(base64.b64decode(content[four : four + 4]) for four in range(0, len(content), 4))
            flag, length = struct.unpack(">BI", content[:5])
            assert flag == 0 and content[5 + length] == 0x80 and b"grpc-status:0\r\n" in content[5 + length :], content
            got = messages.ClassifyResponse.FromString(content[5 : 5 + length])
            images.append([(one.label, one.probability) for one in got.predictions[0].classes])
    served.check_classes("httpx: gRPC-Web by hand, bytes and text", images)


with tempfile.TemporaryDirectory() as folder, served.server(sys.argv[1]) as addresses:
    bad = pathlib.Path(folder, "bad.jpg")
    bad.write_bytes(b"this is no picture")
    programs(addresses, str(bad))
    details(addresses, bad)
    reflection(addresses)
    by_hand(addresses)
served.finish()
for reason in passed_over:
    print(f"PASSED OVER {reason}")
