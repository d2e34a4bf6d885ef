"""One picture, or a few: every way in, what the models say, why, and how a program asks the same."""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from support import EXPECTED, LABELS, ROOT, answered, ask, audit, choose, drop, has_route, picture, shoot


def _bars(answer):
    return [(bar.locator(".label").inner_text(), bar.locator(".value").inner_text()) for bar in answer.locator(".bar").all()]


def _expected(name, count):
    order = sorted(range(10), key=lambda index: -EXPECTED[name][index])[:count]
    return [(LABELS[index], f"{100 * EXPECTED[name][index]:.1f} %") for index in order]


def a_chosen_picture_is_answered_with_bars_and_the_phases_of_the_time(browser):
    with browser.page() as page:
        choose(page, picture("cat"))
        answer = answered(page).first
        assert _bars(answer) == _expected("cat", 5), _bars(answer)
        said = page.locator(".phases").get_attribute("aria-label")
        assert all(phase in said for phase in ("decode", "queue", "inference")), said
        assert [part.inner_text() for part in answer.locator("dt").all()] == ["decode", "queue", "inference", "other", "in all"]
        shoot(page, "one")


def several_models_and_versions_answer_side_by_side(browser):
    with browser.page() as page:
        ask(page, "cifar version 2")
        ask(page, "foreign")
        choose(page, picture("frog"))
        answers = answered(page, 3)
        assert answers.count() == 3
        assert _bars(answers.nth(0)) == _bars(answers.nth(1)) == _expected("frog", 5)
        assert answers.nth(1).get_by_role("heading", name="cifar version 2").count() == 1
        # Another choice is asked for by itself.
        ask(page, "foreign", False)
        ask(page, "cifar version 1")
        page.get_by_label("Classes").select_option("3")
        page.locator(".bar").nth(9).wait_for(state="detached")
        assert [_bars(answer) for answer in page.locator(".answer").all()] == 3 * [_expected("frog", 3)]


def pictures_are_dropped_pasted_and_chosen_as_a_folder(browser):
    with browser.page() as page, tempfile.TemporaryDirectory() as folder:
        drop(page, [("dropped.jpg", "image/jpeg", picture("dog").read_bytes())])
        assert _bars(answered(page).first) == _expected("dog", 5)
        page.evaluate(
            """(bytes) => {
                const clipboardData = new DataTransfer();
                clipboardData.items.add(new File([new Uint8Array(bytes)], 'image.png', { type: 'image/png' }));
                document.dispatchEvent(new ClipboardEvent('paste', { clipboardData, bubbles: true, cancelable: true }));
            }""",
            list((ROOT / "tests/fixtures/cifar10/cat.png").read_bytes()),
        )
        page.get_by_role("heading", name="2 pictures").wait_for()
        os.makedirs(f"{folder}/inner")
        shutil.copy(picture("ship"), f"{folder}/a.jpg")
        shutil.copy(picture("truck"), f"{folder}/inner/b.jpg")
        with open(f"{folder}/notes.txt", "w") as notes:
            notes.write("no picture")
        choose(page, folder, "folder")
        page.get_by_role("heading", name="4 pictures").wait_for()
        page.get_by_text("1 file that is no picture was left out.").wait_for()
        page.get_by_text("4 answered").wait_for()
        assert page.get_by_role("button", name="inner/b.jpg").count() == 1


def a_photograph_is_taken_with_the_camera(browser):
    with browser.page(permissions=["camera"]) as page:
        page.get_by_role("button", name="Take a photograph").click()
        take = page.get_by_role("button", name="Take it")
        page.locator("video").wait_for()
        audit(page, "the camera")
        take.click()
        assert "photograph" in answered(page).page.locator("figcaption").inner_text()
        assert page.locator("dialog").count() == 0


def a_phone_gives_its_own_camera(browser):
    with browser.page(width=390, height=844, is_mobile=True, has_touch=True, device_scale_factor=2) as page:
        shoot(page, "phone-empty")
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Take a photograph").click()
        assert chooser.value.element.get_attribute("capture") == "environment"
        chooser.value.set_files(picture("horse"))
        answered(page)
        page.locator(".picture img").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        audit(page, "a phone")
        shoot(page, "phone")


def _grid(index):
    """What the server says of why, with a crop."""
    cells = [[0.5 if (x, y) == (1, 1) else -0.1 for x in range(4)] for y in range(4)]
    entry = {"index": index, "label": LABELS[index], "probability": 0.9, "logit": -0.7, "bias": 0.3, "map": cells}
    return {"explanations": [{"classes": [entry], "crop": {"x": 4, "y": 0, "width": 24, "height": 32}}]}


def the_map_of_a_class_that_is_clicked_lies_over_the_picture(browser):
    with browser.page() as page:
        asked = []

        def explain(route):
            asked.append(route.request.url)
            route.fulfill(json=_grid(int(route.request.url.rsplit("=", 1)[1])))

        page.route("**/*:explain*", explain)
        choose(page, picture("cat"))
        answered(page)
        page.locator(".bar").nth(1).click()
        canvas = page.locator(".frame canvas")
        canvas.wait_for()
        assert [url.split("/")[-1] for url in asked] == [f"cifar:explain?class={LABELS.index(_expected('cat', 2)[1][0])}"]
        places = [[4 / 32 + 0.375 * 24 / 32, 0.375], [0.8, 0.875], [0.03, 0.5]]
        warm, cool, dark = canvas.evaluate(
            """(canvas, places) => {
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                const start = ([x, y]) => 4 * (Math.floor(y * canvas.height) * canvas.width + Math.floor(x * canvas.width));
                return places.map((place) => [...data.slice(start(place), start(place) + 4)]);
            }""",
            places,
        )
        assert warm[0] > warm[2] and warm[3] > 150, warm
        assert cool[2] > cool[0] and cool[3] > 0, cool
        assert sum(dark[:3]) < 60 and dark[3] > 100, dark
        page.get_by_text("Together −1.00, with a bias of 0.30: a logit of −0.70").wait_for()
        slider = page.get_by_role("slider")
        slider.fill("20")
        assert canvas.evaluate("(canvas) => canvas.style.opacity") == "0.2"
        slider.fill("75")
        audit(page, "a map")
        shoot(page, "map")
        page.locator(".bar").nth(1).click()
        canvas.wait_for(state="detached")


def the_servers_own_map_is_drawn(browser):
    if not has_route(browser, "/v1/models/{model}:explain"):
        print("SKIPPED the server's own map: it has no :explain")
        return
    with browser.page() as page:
        choose(page, picture("cat"))
        answered(page)
        page.locator(".bar").first.click()
        page.locator(".frame canvas").wait_for()
        said = page.locator(".why").inner_text()
        total, bias, logit = (float(number.replace("−", "-")) for number in re.findall(r"−?\d+\.\d\d", said))
        assert abs(total + bias - logit) < 0.02, said


def a_model_that_cannot_explain_says_why(browser):
    words = "model `cifar` has no global average pooling before its last layer: its classes have no map"
    with browser.page(refusals=True) as page:
        refusal = {"error": words, "code": "INVALID_ARGUMENT", "request_id": "1"}
        page.route("**/*:explain*", lambda route: route.fulfill(status=400, json=refusal))
        choose(page, picture("cat"))
        answered(page)
        page.locator(".bar").first.click()
        page.locator(".why").get_by_text(words).wait_for()
        audit(page, "no map")


def what_is_copied_runs_and_answers_the_same(browser):
    name = """it's "a" $(cat) @ picture.jpg"""
    with browser.page(permissions=["clipboard-read", "clipboard-write"]) as page, tempfile.TemporaryDirectory() as folder:
        shutil.copy(picture("bird"), f"{folder}/{name}")
        ask(page, "foreign")
        choose(page, f"{folder}/{name}")
        answered(page, 2)
        texts = {}
        for language in ("curl", "Python", "grpcurl"):
            page.get_by_role("tab", name=language, exact=True).click()
            page.get_by_role("button", name=f"Copy the request for {language}").click()
            page.get_by_text("Copied").wait_for()
            texts[language] = page.evaluate("navigator.clipboard.readText()")
            assert texts[language] == page.locator("pre").inner_text()
        runs = {"curl": ["sh", "-c", f"{texts['curl']} --silent --fail-with-body"], "Python": [sys.executable, "-c", texts["Python"]]}
        if shutil.which("grpcurl"):
            runs["grpcurl"] = ["sh", "-c", texts["grpcurl"].split("\n\n")[0]]
        else:
            print("SKIPPED the request as grpcurl is not run: grpcurl is not installed (go install github.com/fullstorydev/grpcurl/cmd/grpcurl@latest)")
        for language, command in runs.items():
            ran = subprocess.run(command, cwd=folder, capture_output=True, text=True)
            assert ran.returncode == 0, (language, ran)
            document = json.loads(ran.stdout)
            first = document.get("models", [document])[0]
            best = first["predictions"][0]["classes"][0]
            assert best["label"] == "bird" and abs(best["probability"] - EXPECTED["bird"][2]) < 2e-6, (language, best)


def everything_is_reached_by_keyboard(browser):
    with browser.page() as page:
        page.locator(".chip").first.wait_for()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "main"
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "Choose pictures"
        choose(page, picture("deer"))
        answered(page)
        page.locator(".bar").first.focus()
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className").startswith("bar")
        page.get_by_role("tab", name="curl", exact=True).focus()
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.textContent") == "Python"
        assert page.get_by_role("tab", name="Python").get_attribute("aria-selected") == "true"
        # Who hears the page hears the answer.
        assert page.locator(".classify > [role=status].spoken").inner_text() == f"cifar: deer, {_expected('deer', 1)[0][1]}"


def axe_finds_nothing_in_light_and_in_dark(browser):
    for dark in (False, True):
        with browser.page(dark=dark) as page:
            page.locator(".chip").first.wait_for()
            audit(page, "nothing yet")
            ask(page, "foreign")
            choose(page, picture("automobile"))
            answered(page, 2)
            audit(page, "an answer")
            shoot(page, "dark" if dark else "light")
