"""What goes wrong: the server's words, a server that ends, text that would like to be markup."""
import os
import tempfile

from support import MARKUP, ROOT, answered, ask, audit, choose, drop, picture, shoot


def what_the_server_refuses_is_told_in_its_own_words(browser):
    with browser.page(refusals=True) as page:
        choose(page, ROOT / "README.md")
        page.locator(".trouble").get_by_text("not an image format that is read").wait_for()
        page.locator(".trouble").get_by_text("UNSUPPORTED_FORMAT").wait_for()
        audit(page, "a refusal")
        shoot(page, "refused")
        # It can be tried again, and says the same.
        page.get_by_role("button", name="Try again").click()
        page.locator(".trouble").get_by_text("not an image format that is read").wait_for()


def a_server_that_ends_is_said_and_recovered_from(browser):
    with browser.page(refusals=True) as page:
        choose(page, picture("cat"))
        answered(page)
        browser.server.stop()
        try:
            choose(page, [picture(name) for name in ("dog", "frog", "ship")])
            page.get_by_text("The server does not answer.").wait_for()
            page.get_by_text("1 answered, 3 to come").wait_for()
            assert page.locator(".state").inner_text() == "away"
            audit(page, "away")
            shoot(page, "away")
        finally:
            browser.server.start()
        # Nobody has to do anything.
        page.get_by_text("4 answered").wait_for()
        page.get_by_text("The server does not answer.").wait_for(state="detached")
        assert page.locator(".rows .cell .label").all_inner_texts() == ["cat", "dog", "frog", "ship"]


def a_server_that_is_not_ready_says_why(browser):
    with browser.page(refusals=True) as page:
        words = "draining: this server is about to stop, use another one"
        refusal = {"error": words, "code": "UNAVAILABLE", "request_id": "1"}
        page.route("**/readyz", lambda route: route.fulfill(status=503, json=refusal))
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        page.get_by_text(words).wait_for()


def foreign_text_is_never_markup(browser):
    with browser.page(refusals=True) as page:
        ask(page, "foreign")
        name = f"{MARKUP}.jpg"
        drop(page, [(name, "image/jpeg", picture("cat").read_bytes()), (f"2{name}", "image/jpeg", b"no picture")])
        page.get_by_text("2 answered").wait_for()
        page.locator(".bar .label").get_by_text(f"=cat{MARKUP}").wait_for()
        page.get_by_role("button", name=name, exact=True).wait_for()
        words = f"there is no <b>{MARKUP}</b>"
        page.route("**/*:explain*", lambda route: route.fulfill(status=400, json={"error": words, "code": MARKUP, "request_id": "1"}))
        page.locator(".bar").first.click()
        page.locator(".why").get_by_text(words).wait_for()
        page.get_by_role("tab", name="Python").click()
        assert MARKUP in page.locator("pre").inner_text()


def a_file_that_is_gone_is_told_from_a_server_that_is_away(browser):
    with browser.page(refusals=True) as page, tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/soon gone.jpg"
        with open(path, "wb") as file:
            file.write(picture("cat").read_bytes())
        ask(page, "cifar", False)
        choose(page, path)
        page.get_by_text("Choose a model to ask.").wait_for()
        os.remove(path)
        ask(page, "cifar")
        page.locator(".trouble").get_by_text("the browser cannot read this file any more").wait_for()


def a_picture_that_the_browser_cannot_show_is_answered_all_the_same(browser):
    with browser.page() as page:
        choose(page, ROOT / "tests/fixtures/images/tiff.tiff")
        answered(page)
        page.get_by_text("This browser does not show such a file.").wait_for()


def nothing_answers_yet_and_it_is_said(browser):
    with browser.page() as page:
        listed = {"models": ["cifar"], "model_versions": [{"name": "cifar", "version": 1, "state": "LOADING"}]}
        page.route("**/v1/models", lambda route: route.fulfill(json=listed))
        page.reload()
        page.get_by_text("No model answers yet.").wait_for()
        audit(page, "no model")
