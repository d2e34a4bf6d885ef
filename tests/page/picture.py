"""Takes docs/page.webp, the README's picture of the page, from a running server with two models, on a machine that does nothing else (the times are in it).

    RESNETD serves resnet20-cifar10 and its int8 version (`resnetd quantize`) under another name; then
    python tests/page/picture.py http://127.0.0.1:8000/ chelsea.png docs/page.webp

Needs what run.sh installs, and Pillow. The cat is `skimage.data.chelsea()`, CC0. The picture is asked about three times, so that what is shown is
no first run.
"""
import io
import os
import sys

from PIL import Image
from playwright.sync_api import sync_playwright

SIZE, SCALE = {"width": 1280, "height": 780}, 1.25

url, picture, out = sys.argv[1:]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=os.environ.get("CHROMIUM", "/usr/bin/chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport=SIZE, device_scale_factor=SCALE)
    for _ in range(3):
        page.goto(url)
        chips = page.locator(".chip input")
        chips.first.wait_for(state="attached")
        for place in range(min(2, chips.count())):
            chips.nth(place).check(force=True)
        page.locator("[data-way=files]").set_input_files(picture)
        page.locator(".phases").nth(1).wait_for()
        page.wait_for_load_state("networkidle")
    page.locator(".bar").first.click()
    page.locator(".frame canvas").wait_for()
    page.mouse.move(5, SIZE["height"] - 5)
    page.evaluate("window.scrollTo(0, 0)")
    shot = page.screenshot()
    browser.close()
Image.open(io.BytesIO(shot)).convert("RGB").save(out, "WEBP", quality=82, method=6)
