"""Many pictures: the table, its file, and what happens when ten thousand come at once or the server has no room."""
import csv
import io
import threading

from support import EXPECTED, LABELS, MARKUP, answered, ask, audit, choose, drop, picture, shoot

NAMES = sorted(EXPECTED)


def many_pictures_come_as_a_table(browser):
    with browser.page() as page:
        ask(page, "cifar version 2")
        choose(page, [picture(name) for name in NAMES])
        page.get_by_text(f"{len(NAMES)} answered").wait_for()
        rows = page.locator(".rows .row")
        for name in NAMES[:5]:
            row = rows.filter(has=page.get_by_role("button", name=f"{name}.jpg", exact=True))
            best = LABELS[max(range(10), key=lambda index: EXPECTED[name][index])]
            assert row.locator(".cell .label").all_inner_texts() == [best, best], name
        # A row is looked at by a click and by keys.
        rows.nth(2).click()
        page.locator(".detail figcaption").get_by_text(f"{NAMES[2]}.jpg").wait_for()
        page.locator(".scroller").press("ArrowDown")
        page.locator(".detail figcaption").get_by_text(f"{NAMES[3]}.jpg").wait_for()
        page.get_by_label("Find a file or a label").fill("ship")
        rows.nth(1).wait_for(state="detached")
        assert rows.count() == 1
        page.get_by_label("Find a file or a label").fill("")
        audit(page, "a table")
        shoot(page, "many")


def _exported(page):
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    assert download.value.suggested_filename == "answers.csv"
    return download.value.path().read_text()


def the_table_is_exported_and_no_cell_is_a_formula(browser):
    wild = f"""=cmd|' /C calc'!A0, "{MARKUP}".jpg"""
    with browser.page(refusals=True) as page:
        ask(page, "foreign")
        content = picture("cat").read_bytes()
        drop(page, [(wild, "image/jpeg", content), ("plain.jpg", "image/jpeg", content), ("@none", "", b"no picture")])
        page.get_by_text("3 answered").wait_for()
        text = _exported(page)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert list(rows[0]) == ["file", "model", "version", "rank", "index", "label", "probability", "error"]
    of_foreign = [row for row in rows if row["model"] == "foreign" and row["file"] == f"'{wild}"]
    assert [row["rank"] for row in of_foreign] == ["1", "2", "3", "4", "5"]
    first = of_foreign[0]
    assert (first["version"], first["index"], first["label"]) == ("1", "3", f"'=cat{MARKUP}")
    assert abs(float(first["probability"]) - EXPECTED["cat"][3]) < 2e-6
    failed = [row for row in rows if row["file"] == "'@none"]
    assert failed and all("not an image" in row["error"] and row["rank"] == "" for row in failed), failed
    assert not any(cell[:1] in "=+-@" for row in rows for cell in row.values() if cell)


def every_kind_of_cell_is_quoted(browser):
    with browser.page() as page:
        cells = ["a", "a,b", 'a"b', "a\nb", " a", "=1", "+1", "-1", "@a", "\t=1", "＝1", -1.5, 3, ""]
        line = page.evaluate("async (cells) => (await import('./page/csv.js')).line(cells)", cells)
        assert next(csv.reader(io.StringIO(line, newline=""))) == [
            "a", "a,b", 'a"b', "a\nb", " a", "'=1", "'+1", "'-1", "'@a", "'\t=1", "'＝1", "-1.5", "3", "",
        ]


def ten_thousand_files_at_once_are_asked_a_few_at_a_time_and_can_be_cancelled(browser):
    with browser.page() as page:
        flying, most, total, lock = set(), [0], [0], threading.Lock()
        held = []

        def asked(route):
            with lock:
                total[0] += 1
                flying.add(route.request)
                most[0] = max(most[0], len(flying))
                # The first are answered, the others wait until they are given up.
                if total[0] > 40:
                    held.append(route)
                    return
            route.continue_()

        def over(request):
            flying.discard(request)

        page.route("**/*:classify*", asked)
        page.on("requestfinished", over)
        page.on("requestfailed", over)
        page.evaluate(
            """(bytes) => {
                const transfer = new DataTransfer();
                const content = new Uint8Array(bytes);
                for (let i = 0; i < 10_000; i += 1) transfer.items.add(new File([content], `picture ${i}.jpg`, { type: 'image/jpeg' }));
                document.body.dispatchEvent(new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true }));
            }""",
            list(picture("cat").read_bytes()),
        )
        page.get_by_role("heading", name="10,000 pictures").wait_for()
        page.get_by_text("40 answered, 9,960 to come").wait_for()
        assert page.locator(".rows .row").count() < 60
        page.locator(".scroller").evaluate("(box) => { box.scrollTop = box.scrollHeight; }")
        page.get_by_role("button", name="picture 9999.jpg").wait_for()
        shoot(page, "ten-thousand")
        page.get_by_role("button", name="Cancel").click()
        page.get_by_text("40 answered, 9,960 not asked").wait_for()
        assert most[0] <= 4, most
        assert total[0] <= 44, total
        text = _exported(page)
        assert text.count("cancelled") == 9_960 and text.count("picture 39.jpg") >= 1
        for route in held:
            route.abort()
        # What was given up can still be asked for.
        assert page.get_by_role("button", name="Ask for the 9,960 left").count() == 1
        page.get_by_role("button", name="Clear").click()
        page.get_by_role("heading", name="What is in this picture?").wait_for()


def what_the_server_has_no_room_for_comes_again_when_it_says_so(browser):
    with browser.page(refusals=True) as page:
        times, refused = [], []

        def asked(route):
            if len(refused) < 3:
                refused.append(route.request.url)
                status, code = [(429, "OVERLOADED"), (503, "UNAVAILABLE"), (429, "OVERLOADED")][len(refused) - 1]
                body = {"error": "too much at a time", "code": code, "request_id": "1"}
                route.fulfill(status=status, json=body, headers={"retry-after": "1"})
            else:
                times.append(route.request.url)
                route.continue_()

        page.route("**/*:classify*", asked)
        choose(page, [picture(name) for name in NAMES[:6]])
        page.get_by_text("6 answered").wait_for()
        assert len(refused) == 3 and len(times) == 6, (refused, times)
        assert page.get_by_text("failed").count() == 0


def of_several_models_only_the_one_without_room_is_asked_again(browser):
    with browser.page() as page:
        paths = []

        def asked(route):
            paths.append(route.request.url.split("/models/")[1].split(":")[0])
            if len(paths) > 1:
                return route.continue_()
            answer = route.fetch()
            document = answer.json()
            document["models"][1] = {"model": "foreign", "error": "model `foreign` has 256 images in work", "code": "OVERLOADED"}
            return route.fulfill(response=answer, json=document)

        page.route("**/*:classify*", asked)
        ask(page, "foreign")
        choose(page, picture("dog"))
        answered(page, 2)
        assert paths == ["cifar,foreign", "foreign"], paths
