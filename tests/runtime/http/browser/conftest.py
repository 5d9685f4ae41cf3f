"""A real browser (Debian's chromium, driven by Playwright), and the page in it, against a server that paints."""

from __future__ import annotations

import shutil

import pytest
from support.browsing import DESK
from support.serving import serving

from handfirst.engines.bundle import demo_bundle_path

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
PATIENCE_MS = 120_000


@pytest.fixture(scope="module")
def browser():
    """Closed with its module: while Playwright's driver is open, its event loop runs, and asyncio starts no other."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no browser is installed: apt-get install chromium")
    playwright.expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def server():
    """Of the embedded model alone."""
    with serving(demo_bundle_path(), "--limit", "steps=40") as running:
        yield running


@pytest.fixture
def open_page(browser, server):
    """Pages of a window each; what the browser complains of is an error of the test."""
    contexts, complaints = [], []

    def opened(viewport=DESK, route=None, **more):
        context = browser.new_context(viewport=viewport, accept_downloads=True, **more)
        context.set_default_timeout(PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        if route is not None:
            route(page)
        page.goto(server.url)
        return page

    yield opened
    for context in contexts:
        context.close()
    # a refusal that a test asks for is told on the console as well; a policy that is broken must not be
    assert [line for line in complaints if "the server responded with a status of 4" not in line] == []


@pytest.fixture
def page(open_page):
    from playwright.sync_api import expect

    page = open_page()
    expect(page.locator("#render")).to_be_enabled()
    return page
