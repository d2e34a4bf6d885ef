"""The models and the running server, looked at."""
import urllib.request

from support import LABELS, MARKUP, answered, audit, choose, has_route, picture, shoot


def a_models_card_says_what_it_is_where_it_stands_and_what_it_knows(browser):
    with browser.page("#/models", refusals=True) as page:
        card = page.get_by_role("article", name="cifar", exact=True)
        card.locator(".facts").wait_for()
        text = card.inner_text()
        for fact in ("resnet20-cifar", "20, in basic modules [3, 3, 3]", "N × 3 × 32 × 32, rgb", "cpu, fp32", "as set"):
            assert fact in text, (fact, text)
        # Each version can be looked at.
        first = card.get_by_role("button", name="version 1")
        first.click()
        assert first.get_attribute("aria-pressed") == "true"
        card.get_by_text("Labels").click()
        card.get_by_text("10 of 10").wait_for()
        card.get_by_label("Find a label of cifar").fill("tru")
        card.get_by_text("1 of 10").wait_for()
        assert card.locator("li", has_text="truck").count() == 1
        card.get_by_label("Find a label of cifar").fill("")
        assert page.get_by_role("article", name="broken").get_by_text("Version 1:").count() == 1
        audit(page, "models")
        shoot(page, "models")


def a_network_is_drawn_or_it_is_said_why_not(browser):
    drawing = '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40"><rect width="120" height="40"/></svg>'
    words = f"the network of `cifar` is not drawn: {MARKUP}"
    with browser.page(refusals=True) as page:
        refusal = {"error": words, "code": "INVALID_ARGUMENT", "request_id": "1"}
        page.route("**/cifar/**/architecture.svg", lambda route: route.fulfill(body=drawing, content_type="image/svg+xml"))
        page.route("**/foreign/**/architecture.svg", lambda route: route.fulfill(status=400, json=refusal))
        page.get_by_role("link", name="Models").click()
        image = page.get_by_role("article", name="cifar", exact=True).locator(".drawing img")
        image.wait_for()
        assert "resnet20-cifar" in image.get_attribute("alt")
        page.get_by_role("article", name="foreign").get_by_text(words).wait_for()


def the_servers_own_drawing_is_shown(browser):
    if not has_route(browser, "/v1/models/{model}/architecture.svg"):
        print("SKIPPED the server's own drawing: it has no architecture.svg")
        return
    with browser.page("#/models", refusals=True) as page:
        image = page.get_by_role("article", name="cifar", exact=True).locator(".drawing img")
        image.wait_for()
        assert image.evaluate("async (image) => (await image.decode(), image.naturalWidth > 100)")


def the_labels_of_a_model_are_text(browser):
    with browser.page("#/models", refusals=True) as page:
        card = page.get_by_role("article", name="foreign")
        card.get_by_text("Labels").click()
        card.get_by_text(f"{LABELS[0]} {MARKUP}").wait_for()


def the_live_view_shows_what_the_server_does(browser):
    with browser.page("#/live") as page:
        page.get_by_label("Model").select_option("foreign@1")
        page.locator(".chart canvas").nth(3).wait_for()
        before = _runs(page)
        url = f"{browser.server.url}v1/models/foreign:classify"
        for _ in range(5):
            request = urllib.request.Request(url, picture("cat").read_bytes(), {"content-type": "image/jpeg"})
            assert urllib.request.urlopen(request).status == 200
        # The numbers come by themselves.
        page.locator(".batches td").first.wait_for()
        while _runs(page) < before + 5:
            page.wait_for_timeout(100)
        assert page.get_by_role("img", name="Throughput over the last minutes").count() == 1
        assert page.get_by_text("No image was refused.").count() == 1
        audit(page, "live")
        shoot(page, "live")


def _runs(page):
    """The runs that the page knows of."""
    cells = page.locator(".batches tbody td:nth-child(2)").all_inner_texts()
    return sum(int(cell.replace(",", "")) for cell in cells)


def refusals_are_told_by_their_reason(browser):
    with browser.page() as page:

        def stats(route):
            answer = route.fetch()
            document = answer.json()
            for model in document["models"]:
                model["refused_images"] |= {"queue_full": 12, "deadline": 3}
            route.fulfill(response=answer, json=document)

        page.route("**/v1/stats", stats)
        page.get_by_role("link", name="Live").click()
        page.get_by_role("cell", name="the queue was full").wait_for()
        page.get_by_text("15", exact=True).wait_for()


def the_live_view_is_drawn_in_dark_and_on_a_phone(browser):
    with browser.page("#/live", dark=True, width=390, height=844) as page:
        page.locator(".chart canvas").nth(3).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        audit(page, "live, dark")
        shoot(page, "live-dark-phone")
    with browser.page("#/models", dark=True, width=390, height=844, refusals=True) as page:
        page.locator(".facts").nth(1).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        audit(page, "models, dark")


def the_views_keep_what_lies_on_the_desk(browser):
    with browser.page() as page:
        choose(page, picture("ship"))
        answered(page)
        page.get_by_role("link", name="Live").click()
        page.locator(".chart").first.wait_for()
        page.get_by_role("link", name="Classify").click()
        answered(page)
        assert page.locator("figcaption .name").inner_text() == "ship.jpg"
