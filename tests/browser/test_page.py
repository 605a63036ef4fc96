"""The page in a real browser, on the demo site as real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from system.running import RunningSite, running_site

pytestmark = pytest.mark.browser

FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
PICTURE = os.environ.get("BUSBAR_PICTURE")
"""Where `make picture` keeps the screenshot of the README."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with running_site(tmp_path_factory.mktemp("browser"), 71) as running:
        running.wait_until_controlled()
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser, site: RunningSite) -> Iterator[Page]:
    """The open page; a console error or a request to another host fails the test."""
    complaints: list[str] = []
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(site.page) else complaints.append(request.url))
    page.goto(site.page)
    page.wait_for_selector("#link.live")
    yield page
    page.close()
    assert complaints == []


def test_fuses_connectors_and_reasons_are_there_and_move(page: Page, site: RunningSite) -> None:
    assert page.locator(".collector").count() == 5
    assert page.locator("tr[id^=connector-]").count() == 8
    assert all(text.strip() for text in page.locator("td.why").all_inner_texts())
    before = page.locator("#collector-grid .amps").all_inner_texts()
    page.wait_for_function(
        "text => document.querySelector('#collector-grid .bars').innerText !== text", arg=str(before)
    )
    page.wait_for_timeout(3000)
    assert page.locator("#collector-grid .amps").all_inner_texts() != before
    if PICTURE:
        page.wait_for_timeout(60_000)
        page.screenshot(path=Path(PICTURE), full_page=True)


def test_choosing_a_fuse_charts_it(page: Page) -> None:
    page.locator("#collector-row-b button").click()
    page.wait_for_function("document.getElementById('chart-title').innerText.startsWith('Row B')")
    assert page.locator("#chart canvas").count() == 1


def test_a_narrow_screen_needs_no_sideways_scrolling(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_timeout(300)
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_when_the_stream_stands_still_the_browser_says_that_values_are_old(page: Page, site: RunningSite) -> None:
    stopped = site.kill("run", "site-page", with_signal=signal.SIGSTOP)
    try:
        page.wait_for_selector("#link.lost", timeout=12_000)
        assert "old" in page.locator("#link").inner_text()
    finally:
        os.kill(stopped, signal.SIGCONT)
    page.wait_for_selector("#link.live", timeout=15_000)
