"""Runs one fuzz target from seeds made of the tests' fixtures: python3 fuzz/run.py TARGET [SECONDS] [-- LIBFUZZER OPTIONS]

Needs `cargo install cargo-fuzz`; a stable toolchain will do. What is found lies in fuzz/artifacts/TARGET.
"""
import base64
import json
import pathlib
import struct
import subprocess
import sys
import zipfile

sys.dont_write_bytecode = True
ROOT = pathlib.Path(__file__).resolve().parents[1]
FIXTURES = ROOT / "tests/fixtures"
sys.path.insert(0, str(FIXTURES / "http"))
import cases

MEMORY_MB = 512
SLOWEST_INPUT_S = 10


def files(*folders, most, endings=("",)):
    """The files of some folders, up to a size."""
    for folder in folders:
        for path in sorted((FIXTURES / folder).rglob("*")):
            if path.is_file() and path.name.endswith(endings) and path.stat().st_size <= most:
                yield path.read_bytes()


def pictures():
    yield from files("images", "preprocess/images", "preprocess/cases", "preprocess/damaged", "cifar10", most=MOST["picture"], endings=(".jpg", ".png", ".gif", ".webp", ".bmp", ".tiff", ".tif"))
    for line in (FIXTURES / "preprocess/fuzzed.jsonl").read_text().splitlines():
        yield base64.b64decode(json.loads(line)["file"])


def entries(ending, inner):
    """The entries of the archives among the weight files."""
    for path in sorted((FIXTURES / "import").iterdir()):
        if path.suffix in ending and zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                yield [archive.read(name) for name in archive.namelist() if name.endswith(inner)]


def pickles():
    for found in entries((".pth", ".pt"), "data.pkl"):
        yield from found


def arrays():
    for found in entries((".npz",), ".npy"):
        yield b"".join(found[:10])
        yield from found


def safetensors_headers():
    for path in sorted((FIXTURES / "import").glob("*.safetensors")):
        whole = path.read_bytes()
        yield whole[8:8 + struct.unpack("<Q", whole[:8])[0]]


def weight_files():
    yield from files("import", most=MOST["weight_file"], endings=(".pth", ".pt", ".npz", ".safetensors"))


def graphs():
    yield from files("onnx", most=MOST["onnx"], endings=(".onnx",))


def messages():
    def field(number, payload):
        return bytes([number << 3 | 2, len(payload)]) + payload
    request = field(1, b"resnet50") + b"\x10\x03" + field(3, b"\xff\xd8\xff\xe0") + b"\x20\x05\x2d\0\0\0\x3f"
    yield b"\x00" + request
    yield b"\x01" + field(1, b"a") + field(2, request) + b"\x18\x64"
    yield b"\x02" + field(1, b"a") + field(2, field(1, b"m") + field(4, field(1, b"\x08\x01" + field(2, b"cat"))))
    yield b"\x03" + field(1, b"resnet50") + b"\x10\x01"
    yield b"\x04" + field(1, b"resnet50") + b"\x10\x01" + field(4, b"cat") + field(5, b"dog")


def bodies(content_type):
    """The bodies of recorded requests whose content type begins so."""
    for line in (FIXTURES / "http/recorded.jsonl").read_text().splitlines()[1:]:
        head, *pieces = json.loads(line)["send"]
        if isinstance(head, str) and f"content-type: {content_type}" in head.lower():
            whole = cases.sent([head, *pieces])
            yield whole.split(b"\r\n\r\n", 1)[1][:MOST["multipart"]]


def inferences():
    """A byte that says what comes: JSON and binary data with a zero between them, binary data alone, JSON alone."""
    def document(datatype, shape, more=(), **parts):
        given = {"name": "input", "datatype": datatype, "shape": shape, **parts}
        return json.dumps({"inputs": [given], **dict(more)}, separators=(",", ":")).encode()
    floats = struct.pack("<192f", *[0.5] * 192)
    sized = lambda data: {"parameters": {"binary_data_size": len(data)}}
    yield b"\0" + document("FP32", [1, 3, 8, 8], **sized(floats)) + b"\0" + floats
    yield b"\0" + document("UINT8", [1, 3, 8, 8], **sized(bytes(192))) + b"\0" + bytes(192)
    yield b"\0" + document("FP16", [1, 3, 8, 8], **sized(bytes(384))) + b"\0" + bytes(384)
    for count in (1, 2):
        elements = b"".join(struct.pack("<I", len(file)) + file for file in [b"\xff\xd8\xff\xe0", b"GIF89a"][:count])
        yield b"\0" + document("BYTES", [count], **sized(elements)) + b"\0" + elements
        yield b"\1" + elements
    texts = [base64.b64encode(b"\xff\xd8\xff").decode()] * 2
    yield b"\2" + document("BYTES", [2, 1], data=texts)
    yield b"\2" + document("BYTES", [1], data=texts[:1], more={"id": "a", "parameters": {"timeout": 1000, "priority": "2", "binary_data_output": True},
                            "outputs": [{"name": "logits", "parameters": {"classification": 3, "binary_data": False}}, {"name": "probabilities"}]})
    yield b"\2" + document("UINT8", [1, 3, 8, 8], data=[7] * 192)
    yield b"\2" + document("FP32", [1, 3, 8, 8], data=[[[[0.5] * 8] * 8] * 3])
    yield b"\2" + document("INT8", [1, 3, 8, 8], data=[-1.5e3, None])
    yield b"\2" + document("BYTES", [1], parameters={"shared_memory_region": "a"})


def predictions():
    picture = {"b64": base64.b64encode(b"\xff\xd8\xff\xe0").decode()}
    image = [[[0.5] * 8] * 8] * 3
    for body in ({"instances": [picture, picture]}, {"instances": [{"input": picture}]}, {"instances": [image]}, {"instances": [{"input": [0] * 192}]},
                 {"inputs": [picture]}, {"inputs": {"input": [picture]}}, {"inputs": {"input": [image]}}, {"inputs": picture},
                 {"signature_name": "serving_default", "instances": [picture["b64"]], "parameters": {"top_k": 1}}, {"instances": []}):
        yield json.dumps(body, separators=(",", ":")).encode()
    yield b"\xef\xbb\xbf" + b'{"instances":[[1e999,-0.0,2,"\\u0000"]]}'


def picture_streams():
    yield from files("bulk", most=MOST["picture_stream"], endings=(".arrows",))
    for key, picture in [(b"a", b"one"), (b"", b""), (b"key", b"\xff\xd8\xff\xe0" * 20)]:
        yield (struct.pack("<I", len(key)) + key + struct.pack("<I", len(picture)) + picture) * 3


def key_headers():
    """A byte says how many of the lines are `x-api-key`; the others are `authorization`."""
    for count, *lines in [(1, b"resnetd_known"), (0, b"Bearer resnetd_known"), (0, b"bearer  resnetd_known "), (0, b"Basic dTpw"), (0, b"Bearer"),
                          (1, b"a", b"Bearer b"), (2, b"a", b"a"), (0, b"Bearer a", b"Bearer a"), (1, b""), (0,), (1, b"\xff\x00")]:
        yield bytes([count]) + b"\n".join(lines)


def tokens():
    """Header, claims and signature, as lines behind an even byte; behind an odd one as they are sent."""
    header, claims = b'{"alg":"RS256","kid":"a"}', b'{"iss":"http://127.0.0.1:1/realms/main","aud":["resnetd"],"exp":4e9,"nbf":0,"act":{"sub":"alice"}}'
    for parts in [(header, claims, b"signature"), (b'{"alg":"none"}', claims, b""), (b'{"alg":"EdDSA","crit":["b64"]}', claims, b"s"), (header, b"[]", b"s")]:
        yield b"\0" + b"\n".join(parts)
        yield b"\1" + b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)


# The longest input of each target, and where its seeds are from.
MOST = {"picture_header": 8192, "picture": 8192, "picture_stream": 16384, "protobuf": 512, "multipart": 4096, "json": 4096, "infer": 4096, "predict": 4096, "key_header": 1024, "token": 2048, "pickle": 8192, "safetensors": 4096, "npz": 4096, "weight_file": 8192, "onnx": 32768}
SEEDS = {"picture_header": pictures, "picture": pictures, "picture_stream": picture_streams, "protobuf": messages,
         "multipart": lambda: bodies("multipart/form-data"), "json": lambda: bodies("application/json"), "infer": inferences, "predict": predictions, "key_header": key_headers, "token": tokens, "pickle": pickles, "safetensors": safetensors_headers,
         "npz": arrays, "weight_file": weight_files, "onnx": graphs}


def main():
    arguments, options = split(sys.argv[1:])
    if not arguments or arguments[0] not in SEEDS:
        sys.exit(f"usage: fuzz/run.py TARGET [SECONDS] [-- LIBFUZZER OPTIONS]; targets: {', '.join(SEEDS)}")
    target, seconds = arguments[0], arguments[1] if len(arguments) > 1 else "600"
    corpus = ROOT / "fuzz/corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(SEEDS[target]()):
        (corpus / f"seed-{index:03}").write_bytes(seed)
    command = ["cargo", "fuzz", "run", "--sanitizer", "none", target, "--", f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MB}",
               f"-timeout={SLOWEST_INPUT_S}", f"-max_len={MOST[target]}", "-print_final_stats=1", *options]
    sys.exit(subprocess.run(command, cwd=ROOT).returncode)


def split(arguments):
    """What stands before `--`, and what after it."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], arguments[at + 1:]


if __name__ == "__main__":
    main()
