# ruff: noqa: INP001 - a script beside its pictures, no module of a package
"""Take the pictures of the documentation from a run: `python docs/gallery/make_gallery.py RUN`.

It needs Chromium, its driver, and selenium, as the tests of the report do. The first picture is the first
screen; the second, where rows fail.
"""

from __future__ import annotations

import base64
import shutil
import sys
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

WIDTH = 1000
PICTURES = {"first-screen": ("top", "overview", 1400), "where-rows-fail": ("regions", "regions", 760)}
"""By name: the elements at which a picture begins and ends, and its greatest height in pixels."""


def main(run: Path) -> None:
    """Write the pictures beside this script."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for flag in ("headless", "no-sandbox", "disable-gpu", "hide-scrollbars", "no-first-run"):
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    try:
        size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.get((run / "report.html").resolve().as_uri())
        for name, (first, last, most) in PICTURES.items():
            _take(driver, name, first, last, most)
    finally:
        driver.quit()


def _take(driver: webdriver.Chrome, name: str, first: str, last: str, most: int) -> None:
    top = driver.find_element("id", first).rect["y"]
    end = driver.find_element("id", last).rect
    height = min(end["y"] + end["height"] - top, most)
    clip = {"x": 0, "y": top, "width": WIDTH, "height": height, "scale": 1}
    shot = driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    Path(__file__).with_name(f"{name}.png").write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
