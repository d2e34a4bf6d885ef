"""A server that wants a key: the page asks for it, keeps it in its tab and nowhere else, and asks again when it is revoked."""
import contextlib
import hashlib
import http.server
import pathlib
import secrets
import tempfile
import threading

from support import Server, answered, audit, choose, picture, shoot

ASKS = "The server wants an API key."


class _Keys:
    """A file of keys that the server follows."""

    def __init__(self, folder):
        self.file = pathlib.Path(folder) / "keys.toml"
        self.hashes = {}

    def add(self, name):
        key = "resnetd_" + secrets.token_hex(32)
        self.hashes[name] = hashlib.sha256(key.encode()).hexdigest()
        self._write()
        return key

    def revoke(self, name):
        del self.hashes[name]
        self._write()

    def _write(self):
        self.file.write_text("".join(f'[[keys]]\nname = "{name}"\nhash = "sha256:{hash}"\n' for name, hash in self.hashes.items()))
        self.file.chmod(0o600)


@contextlib.contextmanager
def _wanting(browser, **settings):
    """The browser at a server that wants a key, and its keys; one of them is somebody else's."""
    with tempfile.TemporaryDirectory() as folder:
        keys = _Keys(folder)
        keys.add("other")
        front = keys.add("front")
        with Server(browser.server.folder, AUTH__KEYS_FILE=str(keys.file), **settings) as server:
            yield browser.at(server), keys, front


def _give(page, key):
    page.get_by_role("textbox", name="API key").fill(key)
    page.get_by_role("button", name="Use it").click()


def the_key_that_the_server_wants_is_asked_for_and_a_wrong_one_is_told(browser):
    with _wanting(browser) as (browser, _, key), browser.page(refusals=True) as page:
        page.get_by_text(ASKS).wait_for()
        field = page.get_by_role("textbox", name="API key")
        assert field.get_attribute("type") == "password"
        audit(page, "a key is wanted")
        shoot(page, "key")
        _give(page, "resnetd_" + 64 * "0")
        page.get_by_text("this key is not known here, or was revoked").wait_for()
        # What cannot stand in a header is told before it is sent.
        _give(page, "k\u00e9y with blanks")
        page.get_by_text("A key has no blanks").wait_for()
        audit(page, "a wrong key")
        shoot(page, "key-wrong")
        _give(page, f" {key} ")
        page.get_by_text(ASKS).wait_for(state="detached")
        choose(page, picture("cat"))
        assert answered(page).first.locator(".bar .label").first.inner_text() == "cat"
        # Every view has it, and what is shown to be copied has none of it.
        page.get_by_role("link", name="Live").click()
        page.locator(".chart").first.wait_for()
        page.get_by_role("link", name="Classify").click()
        for tab in ("curl", "Python", "grpcurl"):
            page.get_by_role("tab", name=tab, exact=True).click()
            assert "RESNETD_API_KEY" in page.locator("pre").inner_text() and key not in page.content()


def the_key_stays_in_its_tab_and_nowhere_else(browser):
    with _wanting(browser) as (browser, _, key), browser.page(refusals=True) as page:
        asked = []
        page.context.on("request", lambda request: asked.append(request))
        page.get_by_text(ASKS).wait_for()
        _give(page, key)
        page.get_by_text(ASKS).wait_for(state="detached")
        choose(page, picture("cat"))
        answered(page)
        kept = page.evaluate("() => [{ ...sessionStorage }, { ...localStorage }, document.cookie, location.href, history.length]")
        assert list(kept[0].values()) == [key] and kept[1] == {} and kept[2] == "" and kept[3] == browser.server.url, kept
        assert page.context.cookies() == [] and page.evaluate("async () => (await indexedDB.databases()).length + (await caches.keys()).length") == 0
        # It travels in one header, and in no address.
        assert asked and not any(key in request.url or key.encode() in (request.post_data_buffer or b"") for request in asked)
        shown = {name for request in asked for name, value in request.headers.items() if key in value}
        assert shown == {"x-api-key"}, shown
        # The tab has it when it is loaded anew, and another tab has not.
        page.reload()
        page.get_by_role("checkbox", name="foreign", exact=True).wait_for()
        assert page.get_by_text(ASKS).count() == 0
        other = page.context.new_page()
        other.goto(browser.server.url)
        other.get_by_text(ASKS).wait_for()
        other.close()
        page.get_by_role("button", name="Forget the key").click()
        page.get_by_text(ASKS).wait_for()
        assert page.evaluate("sessionStorage.length") == 0


def a_revoked_key_is_asked_for_again_and_nothing_on_the_desk_is_lost(browser):
    with _wanting(browser) as (browser, keys, key), browser.page(refusals=True) as page:
        page.get_by_text(ASKS).wait_for()
        _give(page, key)
        choose(page, picture("cat"))
        answered(page)
        keys.revoke("front")
        # The page comes upon it with its next request: whoever looks at it asks for the numbers every second.
        page.get_by_role("link", name="Live").click()
        page.get_by_text(ASKS).wait_for()
        page.get_by_role("link", name="Classify").click()
        choose(page, picture("ship"))
        page.get_by_text("1 answered, 1 to come").wait_for()
        audit(page, "a revoked key")
        shoot(page, "key-revoked")
        _give(page, keys.add("next"))
        # The file is followed within a second; until then the key is not known yet.
        while page.get_by_text(ASKS).count():
            page.evaluate("document.querySelector('form.key button')?.click()")
            page.wait_for_timeout(100)
        # Nobody has to do anything else.
        page.get_by_text("2 answered").wait_for()
        assert page.locator(".rows .cell .label").all_inner_texts() == ["cat", "ship"]


def the_form_of_the_key_is_drawn_in_dark_and_on_a_phone(browser):
    with _wanting(browser) as (browser, _, key):
        with browser.page(refusals=True, dark=True) as page:
            page.get_by_text(ASKS).wait_for()
            audit(page, "a key is wanted, dark")
            shoot(page, "key-dark")
        with browser.page(refusals=True, dark=True, width=390, height=844) as page:
            page.get_by_text(ASKS).wait_for()
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
            audit(page, "a key is wanted, dark, on a phone")
            shoot(page, "key-dark-phone")
            # By keys alone.
            page.get_by_role("textbox", name="API key").focus()
            page.keyboard.type(key)
            page.keyboard.press("Enter")
            page.get_by_text(ASKS).wait_for(state="detached")


class _Foreign(http.server.BaseHTTPRequestHandler):
    """A page of another origin, with nothing on it."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>elsewhere</title>")

    def log_message(self, *_):
        pass


def a_page_of_another_origin_may_send_a_key_where_it_is_named_and_reads_what_programs_read(browser):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Foreign) as foreign:
        threading.Thread(target=foreign.serve_forever, daemon=True).start()
        origin = "http://127.0.0.1:{}".format(foreign.server_port)
        asked = """async ([url, headers, bytes]) => {
            try {
                const answer = await fetch(url, { method: 'POST', headers, body: new Uint8Array(bytes) });
                return [answer.status, await answer.json(), Object.fromEntries(answer.headers)];
            } catch (error) {
                return [String(error)];
            }
        }"""
        file = list(picture("cat").read_bytes())
        try:
            for named in ([origin], ["*"], ["https://example.com"]):
                with _wanting(browser, SERVER__CORS_ORIGINS=str(named).replace("'", '"')) as (other, _, key):
                    page = other.chromium.new_page()
                    page.goto(origin)
                    url = f"{other.server.url}v1/models/cifar:classify"
                    for header, value in (("authorization", f"Bearer {key}"), ("x-api-key", key)):
                        status, *rest = page.evaluate(asked, [url, {header: value, "content-type": "image/jpeg", "x-priority": "bulk"}, file])
                        if named == ["https://example.com"]:
                            assert "TypeError" in status, status
                            continue
                        assert status == 200 and rest[0]["predictions"][0]["classes"][0]["label"] == "cat", (named, header, status, rest)
                        assert {"server-timing", "x-request-id"} <= set(rest[1]), rest[1]
                    if named == [origin]:
                        status, refusal, _ = page.evaluate(asked, [url, {"authorization": "Bearer k"}, file])
                        assert (status, refusal["code"]) == (401, "UNAUTHENTICATED"), (status, refusal)
                    page.close()
        finally:
            foreign.shutdown()
