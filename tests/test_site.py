"""The built site in a real browser, opened from files: it fits, searches, and shows each picture once."""

from __future__ import annotations

from pathlib import Path

import pytest
from browsers import needs_browser

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "docs"
SOURCES = [path for path in (ROOT / "docs").rglob("*") if path.is_file() and "generated" not in path.parts]
PAGES = ["index.html", "coming_from.html", "numerics.html", "performance.html", "rules.html", "api/losses.html"]
PAGES += ["zh/index.html", "zh/mistakes.html", "tour.html", "design.html"]


def built() -> bool:
    """Whether the site is there, and no older than its sources."""
    front = SITE / "index.html"
    written = [path for path in SOURCES if path.suffix in (".md", ".css", ".js", ".html")]
    return front.exists() and (SITE / "searchindex.js").stat().st_mtime >= max(path.stat().st_mtime for path in written)


pytestmark = [
    needs_browser,
    pytest.mark.skipif(not built(), reason="build/docs is not there, or older than docs: make docs"),
]


def address(page: str) -> str:
    return (SITE / page).as_uri()


@pytest.mark.parametrize("page", PAGES)
def test_pages_fit_a_phone_and_a_desk(browser, page):
    for width in (360, 1280):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(address(page))
        assert browser.execute_script("return document.documentElement.scrollWidth;") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert browser.get_log("browser") == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_each_picture_is_shown_once(browser, theme):
    feature = {"name": "prefers-color-scheme", "value": theme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    browser.get(address("index.html"))
    script = """return [...document.querySelectorAll('figure.picture img')].filter((it) => it.offsetWidth > 0)
      .map((it) => [it.naturalWidth > 0, it.src.split('/').pop(), it.alt.length > 20]);"""
    shown = browser.execute_script(script)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert shown == [[True, f"row-{theme}.svg", True], [True, f"merge-{theme}.svg", True]]


def test_search_works_from_files(browser):
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(address("search.html") + "?q=label_smoothing")
    WebDriverWait(browser, 20).until(lambda it: "finished" in it.find_element("id", "search-results").text)
    found = [link.get_attribute("href") for link in browser.find_elements("css selector", "#search-results li a")]
    assert any("/choosing.html" in link for link in found)
    assert browser.get_log("browser") == []


def test_chinese_pages_say_that_they_are(browser):
    for page, language in (("zh/index.html", "zh-CN"), ("index.html", "en")):
        browser.get(address(page))
        assert browser.execute_script("return document.documentElement.lang;") == language


def test_the_playground_is_there(browser):
    browser.get(address("playground.html"))
    browser.find_element("link text", "Open the playground").click()
    assert browser.find_element("id", "loss").text == "0.4170"
