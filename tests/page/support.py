"""The server, its models and the browser. Every page that is opened here is watched: nothing may leave its origin, be refused by its policy, or
end up in the console."""
import contextlib
import copy
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASSETS = ROOT / "src/server/http/page/assets"
PICTURES = ROOT / "tests/fixtures/cifar10"
OUT = pathlib.Path(os.environ["OUT"])
# Foreign text: where it is taken for markup, an element of this name appears, and a script runs.
MARKUP = "<x-foreign onclick=alert(1)><img src=x onerror=alert(1)>"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
# The cells of probabilities.tsv, which Pillow, NumPy and ONNX Runtime gave.
EXPECTED = {name: [float(value) for value in values] for name, *values in (line.split("\t") for line in (PICTURES / "probabilities.tsv").read_text().splitlines())}
LABELS = (ROOT / "models/resnet20-cifar10/labels.txt").read_text().split()


@contextlib.contextmanager
def models():
    """A repository: the built-in model in two versions, one whose labels are markup, and one that cannot be loaded."""
    built_in = ROOT / "models/resnet20-cifar10"
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for name, versions in (("cifar", (1, 2)), ("foreign", (1,))):
            for version in versions:
                shutil.copytree(built_in / "1", folder / name / str(version))
            for file in ("model.toml", "labels.txt"):
                shutil.copy(built_in / file, folder / name / file)
        with open(folder / "cifar/model.toml", "a") as settings:
            settings.write('\n[versions]\npolicy = "all"\n')
        labels = [f"{label} {MARKUP}" for label in LABELS]
        labels[3] = f"=cat{MARKUP}"
        (folder / "foreign/labels.txt").write_text("\n".join(labels) + "\n")
        (folder / "broken/1").mkdir(parents=True)
        (folder / "broken/1/model.onnx").write_bytes(b"no network at all")
        yield folder


class Server:
    """`resnetd serve` on a port that stays the same when it begins anew.

    * settings: further ones, without their `RESNETD__`
    """

    def __init__(self, folder, **settings):
        self.folder, self.settings = folder, settings
        self.ports = []
        for _ in range(2):
            with socket.socket() as listener:
                listener.bind(("127.0.0.1", 0))
                self.ports.append(listener.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.ports[0]}/"
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        settings = {"RUNTIME__TUNE": "false", "RUNTIME__PROVIDER": "cpu", "RUNTIME__PRECISION": "fp32", **self.settings}
        settings = {f"RESNETD__{name}": value for name, value in settings.items()}
        http, grpc = (f"127.0.0.1:{port}" for port in self.ports)
        command = [os.environ["RESNETD"], "serve", "--models", str(self.folder), "--http", http, "--grpc", grpc]
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, env={**os.environ, **settings}, cwd=ROOT, stderr=self.log)
        deadline = time.monotonic() + 90
        while True:
            with contextlib.suppress(OSError):
                if urllib.request.urlopen(f"{self.url}readyz").status == 200:
                    return
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.log.seek(0)
                sys.exit(f"resnetd does not become ready:\n{self.log.read()}")
            time.sleep(0.05)

    def stop(self):
        # The second one does not wait for a load balancer.
        for _ in range(2):
            self.process.send_signal(signal.SIGINT)
        self.process.wait(30)


class Browser:
    def __init__(self, server):
        self.server = server

    def __enter__(self):
        self.playwright = sync_playwright().start()
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        self.chromium = self.playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=arguments)
        return self

    def __exit__(self, *_):
        self.chromium.close()
        self.playwright.stop()

    def at(self, server):
        """The same browser, whose pages are another server's."""
        other = copy.copy(self)
        other.server = server
        return other

    @contextlib.contextmanager
    def page(self, view="", dark=False, width=1280, height=900, refusals=False, **options):
        """A page of its own.

        * `refusals`: the server refuses something here, or is away; Chromium itself notes in its console that a request failed
        """
        context = self.chromium.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", reduced_motion="reduce", **options
        )
        wrong = []

        def said(message):
            if not (refusals and message.text.startswith("Failed to load resource")):
                wrong.append(f"console: {message.type}: {message.text}")

        def asked(request):
            if not request.url.startswith((self.server.url, "blob:", "data:")):
                wrong.append(f"a request elsewhere: {request.url}")

        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", said)
        page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        context.on("request", asked)
        if os.environ.get("FILES"):
            context.route("**/page/*", from_tree)
        page.goto(f"{self.server.url}{view}")
        try:
            yield page
            assert page.locator("x-foreign").count() == 0, "foreign text became markup"
        except Exception:
            print("\n".join(wrong))
            with contextlib.suppress(Exception):
                shoot(page, "failed")
            raise
        finally:
            context.close()
        assert not wrong, "\n".join(wrong)


def from_tree(route):
    name = route.request.url.rsplit("/", 1)[1]
    path = next(path for path in (ASSETS / name, ASSETS / "vendor" / name) if path.exists())
    route.fulfill(body=path.read_bytes(), headers={"content-type": TYPES[path.suffix]})


def picture(name):
    return PICTURES / f"{name}.jpg"


def choose(page, files, way="files"):
    """Picks files as the dialog of the browser would."""
    page.locator(f"[data-way={way}]").set_input_files(files)


def drop(page, files, onto="body"):
    """Drops files: [(name, type, bytes)]."""
    files = [[name, kind, list(content)] for name, kind, content in files]
    transfer = page.evaluate_handle(
        """(files) => {
            const transfer = new DataTransfer();
            for (const [name, type, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name, { type }));
            return transfer;
        }""",
        files,
    )
    for event in ("dragenter", "dragover", "drop"):
        page.dispatch_event(onto, event, {"dataTransfer": transfer, "bubbles": True, "cancelable": True})


def ask(page, model, on=True):
    """Chooses whether a model is asked."""
    page.get_by_role("checkbox", name=model, exact=True).set_checked(on)


def answered(page, answers=1):
    """Waits until so many models have answered."""
    page.locator(".phases").nth(answers - 1).wait_for()
    return page.locator(".answer")


def has_route(browser, path):
    """Whether the server describes a route."""
    with urllib.request.urlopen(f"{browser.server.url}openapi.json") as answer:
        return path in json.load(answer)["paths"]


def shoot(page, name):
    page.screenshot(path=OUT / f"{name}.png", full_page=True)


def audit(page, what):
    """Axe finds nothing."""
    if not os.environ.get("AXE"):
        return
    page.evaluate(pathlib.Path(os.environ["AXE"]).read_text())
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate("(tags) => axe.run(document, { runOnly: tags })", tags)["violations"]
    lines = [f"{one['id']}: {one['help']}: " + "; ".join(node["html"][:200] for node in one["nodes"]) for one in found]
    assert not lines, f"{what}:\n" + "\n".join(lines)
