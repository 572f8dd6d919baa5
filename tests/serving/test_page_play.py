"""The page of serve in a real browser: display, mouse and keyboard, and escaping of texts."""

import contextlib
import json

import pytest
from browser import NASTY, alpha, chromium, needs_chromium, playwright
from play_models import completed, opened, scored

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from web_client import Client

from theano_rnn.serving.web import create_application

pytestmark = needs_chromium

TEXT = "She was happy. Emma was Zorblax"


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def client():
    _, batcher, served = opened()
    client = Client(create_application(served, batcher))
    yield client
    client.close()


@pytest.fixture(scope="module")
def client_of_characters():
    """A client that outlives the pages, which send requests some time after every change."""
    _, batcher, served = opened(unit="char")
    client = Client(create_application(served, batcher))
    yield client
    client.close()


class Page:
    """The page in a window. Collects its errors and its requests to other servers."""

    def __init__(self, browser, address, **options):
        self.window = browser.new_page(**{"viewport": {"width": 1200, "height": 800}, **options})
        self.window.set_default_timeout(20_000)
        self.troubles = []
        self.window.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.window.on("console", lambda said: self.troubles.append(said.text) if said.type == "error" else None)
        self.window.on("request", lambda asked: self.note(asked.url, address))
        self.window.goto(address)
        self.wait("#candidates button:not([hidden])")

    def note(self, url, address):
        if not url.startswith((address, "data:,")):
            self.troubles.append(url)

    def wait(self, selector):
        return self.window.wait_for_selector(selector)

    def type(self, text, num_tokens):
        """Put a text into the text area and wait until its tokens are shown."""
        self.window.fill("#text", text)
        self.wait(f"#read:not(.stale) #token-{num_tokens - 1}")
        assert self.window.locator("#read .token").count() == num_tokens

    def value(self):
        return self.window.input_value("#text")

    def until(self, is_reached):
        """Wait until a condition holds; the page's security policy forbids `wait_for_function`."""
        for _ in range(200):
            if is_reached():
                return
            self.window.wait_for_timeout(100)
        raise AssertionError("not within 20 seconds")

    def texts(self, selector):
        return self.window.locator(selector).all_inner_texts()

    def wait_for_value(self, value):
        for _ in range(200):
            if self.value() == value:
                return
            self.window.wait_for_timeout(20)
        assert self.value() == value

    def is_narrow_enough(self):
        return self.window.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture
def page(browser, client):
    pages = []

    def opened(port=client.port, **options):
        pages.append(Page(browser, f"http://127.0.0.1:{port}", **options))
        return pages[-1]

    yield opened
    for each in pages:
        each.window.close()
        assert each.troubles == []


def test_typed_text_is_shown_with_the_colour_of_its_surprisal(page):
    page, answer = page(), scored(TEXT)
    assert page.window.evaluate("document.activeElement.id") == "text"
    page.window.keyboard.type(TEXT)
    page.wait("#read:not(.stale) #token-7")
    assert page.window.locator("#read").text_content() == TEXT
    colours = page.window.eval_on_selector_all("#read .token", "them => them.map(e => e.style.backgroundColor)")
    for colour, piece in zip(colours, answer["pieces"]):
        assert alpha(colour) == pytest.approx(min(-piece["log_probability"], 12) / 20, abs=0.01)
    assert page.window.locator("#read .end").count() == 1
    assert page.window.locator("#read .unknown").text_content() == "Zorblax"
    totals = page.window.text_content("#totals")
    assert "8 tokens" in totals and f"{-answer['total']:.1f} nats" in totals and "vocabulary: Zorblax" in totals


def test_a_token_is_selected_by_mouse_and_by_keyboard(page):
    page, pieces = page(), scored(TEXT)["pieces"]
    page.type(TEXT, 8)
    page.window.hover("#token-1")
    for _ in range(2):
        shown = page.window.inner_text("#token")
        assert shown.startswith("was") and f"surprisal {-pieces[1]['log_probability']:.2f} nats" in shown
        assert all(name in shown for name, _ in pieces[1]["guesses"] if name.isalpha())
        page.window.focus("#read")
        for key in ("Home", "ArrowRight"):
            page.window.keyboard.press(key)
    assert page.window.get_attribute("#read", "aria-activedescendant") == "token-1"
    assert page.window.locator("#token .bar").count() == 5
    page.window.keyboard.press("End")
    assert "not in the vocabulary" in page.window.inner_text("#token")


def test_candidates_are_taken_by_key_and_by_mouse(page):
    page = page()
    page.type("She was", 2)
    first, second = scored("She was")["candidates"][:2]
    assert page.texts("#candidates .word")[0] == first["token"]
    page.window.keyboard.press("Alt+Digit1")
    page.wait_for_value("She was" + first["text"])
    page.window.fill("#text", "She was")
    page.wait("#read:not(.stale) #token-1")
    page.window.click("#candidates button >> nth=1")
    page.wait_for_value("She was" + second["text"])


def test_the_temperature_changes_what_may_come_next(page):
    page = page()
    page.type("She was", 2)
    page.window.focus("#temperature")
    page.window.keyboard.press("Home")
    page.wait("#candidates button:first-child .share:text-is('100.0 %')")
    assert page.window.inner_text("#temperature-value") == "0.00"


def test_texts_are_completed_and_one_is_picked(page):
    page = page()
    page.type("She was", 2)
    page.window.fill("#length", "9")
    page.window.focus("#text")
    page.window.keyboard.press("Control+Enter")
    page.wait("#completions button >> nth=2")
    samples = completed("She was", max_tokens=9)
    assert [text.removeprefix("She was") for text in page.texts("#completions button")] == samples
    page.window.click("#completions button >> nth=1")
    page.wait_for_value("She was" + samples[1])
    page.window.click("#completions button >> nth=2")
    page.wait_for_value("She was" + samples[2])
    page.window.type("#text", " Oh")
    assert page.window.locator("#completions button").count() == 0


def test_the_model_writes_on_until_it_is_stopped(page):
    page = page()
    page.type("She was", 2)
    page.window.click("#write")
    assert page.window.inner_text("#write") == "Stop"
    page.until(lambda: len(page.value().split()) > 40)
    page.window.click("#write")
    assert page.window.inner_text("#write") == "Write on"
    written = page.value()
    first = completed("She was", 1, seed=1, length=12)[0]
    second = completed("She was" + first, 1, seed=2, length=12)[0]
    assert written.startswith("She was" + first + second)
    page.window.wait_for_timeout(500)
    assert page.value() == written


def test_pressing_twice_does_not_write_twice(page):
    page = page()
    asked = []
    page.window.on("request", lambda request: asked.append(request.post_data) if "complete" in request.url else None)
    page.type("She was", 2)
    page.window.evaluate("for (let i = 0; i < 3; i++) at('write').click()")  # begin, stop, begin, before any answer
    page.until(lambda: len(page.value().split()) > 60)
    page.window.click("#write")
    prompts = [json.loads(body)["prompt"] for body in asked]
    assert len(set(prompts)) > 4
    assert len(prompts) - len(set(prompts)) <= 1  # the first request was aborted; two loops would ask twice each time


def test_an_empty_page_offers_a_beginning(page):
    page = page()
    page.wait("#example:not([hidden])")
    page.window.click("#example button")
    page.until(lambda: len(page.value()) > 20)
    page.window.click("#write")
    assert page.window.is_hidden("#example")
    page.window.fill("#text", "")
    page.wait("#example:not([hidden])")


def test_on_a_phone_the_likely_next_tokens_stand_under_the_text(page):
    page = page(viewport={"width": 390, "height": 800})
    page.type("She was", 2)
    tops = [page.window.locator(place).bounding_box()["y"] for place in ("#text", "#candidates", "#read", "#token")]
    assert tops == sorted(tops)
    assert tops[1] < 400


def test_of_a_model_of_characters_every_character_is_a_token(page, client_of_characters):
    page = page(client_of_characters.port)
    page.type("ab\nc d", 6)
    assert page.window.locator("#read").text_content() == "ab\nc d"
    assert page.window.get_attribute("#token-2", "class") == "token newline"
    first = scored("ab\nc d", unit="char")["candidates"][0]["text"]
    page.window.keyboard.press("Alt+Digit1")
    page.wait_for_value("ab\nc d" + first)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1600])
def test_nasty_text_is_text_and_fits_the_window(page, width, scheme):
    page = page(viewport={"width": width, "height": 700}, color_scheme=scheme)
    page.window.fill("#text", NASTY)
    page.wait("#read:not(.stale) .token")
    assert page.window.locator("#read").text_content() == NASTY
    page.window.click("#complete")
    page.wait("#completions button")
    page.window.focus("#read")
    page.window.keyboard.press("End")
    page.window.keyboard.press("ArrowLeft")
    assert page.window.inner_text("#token").startswith("xxx")
    assert page.is_narrow_enough()
    assert page.window.locator("main img, main script").count() == 0
    assert page.window.evaluate("window.hit") is None


def test_a_refusal_is_said_in_one_line_and_goes_away(page):
    page = page()
    page.window.fill("#text", "x" * 10_001)
    page.wait("#status.bad:not(:empty)")
    assert "10000" in page.window.inner_text("#status") and page.window.get_attribute("#status", "role") == "status"
    page.type("She was", 2)
    assert page.window.inner_text("#status") == ""
    page.troubles.clear()  # the browser notes the status 422


def test_a_stopped_server_is_reported(page):
    page = page()
    page.window.route("**/api/score", lambda route: route.abort())
    page.window.fill("#text", "She")
    page.wait("#status.bad:not(:empty)")
    assert "does not answer" in page.window.inner_text("#status")
    page.troubles.clear()


def test_an_answer_that_comes_late_is_not_shown(page):
    page, held = page(), []
    page.window.route("**/api/score", lambda route: held.append(route) if not held else route.continue_())
    page.window.fill("#text", "Emma")
    while not held:
        page.window.wait_for_timeout(20)
    page.type("She was", 2)
    with contextlib.suppress(playwright.Error):  # the browser may have given it up
        held[0].continue_()
    page.window.wait_for_timeout(300)
    assert page.window.locator("#read").text_content() == "She was"
