"""A real browser without a window, for tests of pages; they are skipped where it is missing."""

import contextlib
import shutil

import pytest

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")

NASTY = '<img src=x onerror="window.hit=1"> <script>window.hit=1</script> 😀👩\u200d💻 &amp; \u202eabc '
NASTY += "x" * 5000 + " Oh"


@contextlib.contextmanager
def chromium():
    """The browser, until the block ends."""
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def alpha(colour):
    """How full a colour is, as the browser writes it."""
    return float(colour.rstrip(")").replace(",", " ").replace("/", " ").split()[-1])
