"""The page of look in a real browser: colours, units and keyboard; texts are escaped, nothing is fetched."""

import re

import numpy as np
import pytest
from browser import NASTY, alpha, chromium, needs_chromium
from play_models import opened

from theano_rnn.text.incremental_tokenizing import tokenize_incomplete_text
from theano_rnn.text.token_spans import Piece
from theano_rnn.view.inspection import inspect_tokens, state_names
from theano_rnn.view.look_page import look_page

pytestmark = needs_chromium

TEXT = '"Oh!" She was not at all Zorblax. Emma was happy.\n\nShe was happy. '


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


class Look:
    """The page of a text in a window. Collects its errors and requests."""

    def __init__(self, browser, folder, text, unit="word", silent=(), renamed=None, **options):
        model, _, _ = opened(unit=unit)
        self.pieces, _ = tokenize_incomplete_text(text, model.vocabulary, model.end_id)
        ids = [piece.id for piece in self.pieces]
        self.found = inspect_tokens(model.function("step"), model.model.initial_state(1), ids, start_id=model.start_id)
        self.found.states[0][:, list(silent)] = 0
        for i, token in (renamed or {}).items():
            self.pieces[i] = Piece("", token, model.vocabulary.unk_id)
        html = look_page(self.pieces, self.found, names=state_names(model.model.layers), vocabulary=model.vocabulary,
                         end_id=model.end_id, about="a model")  # fmt: skip
        file = folder / "page.html"
        file.write_bytes(html.encode())
        self.window = browser.new_page(**{"viewport": {"width": 1200, "height": 800}, **options})
        self.troubles = []
        self.window.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.window.on("console", lambda said: self.troubles.append(said.text))
        self.window.on("request", lambda asked: self.troubles.append(asked.url))
        self.window.goto(file.as_uri())
        assert self.troubles.pop(0) == file.as_uri()

    def colours(self):
        return self.window.eval_on_selector_all("#read .token", "them => them.map(e => e.style.backgroundColor)")

    def press(self, *keys):
        for key in keys:
            self.window.keyboard.press(key)

    def chosen(self):
        return int(self.window.get_attribute("#read", "aria-activedescendant").removeprefix("token-"))


@pytest.fixture
def look(browser, tmp_path):
    pages = []

    def opened(text, **options):
        pages.append(Look(browser, tmp_path, text, **options))
        return pages[-1]

    yield opened
    for each in pages:
        assert each.troubles == []
        each.window.close()


def test_tokens_have_the_colour_of_their_surprisal(look):
    page = look(TEXT)
    assert [alpha(colour) for colour in page.colours()] == pytest.approx(
        np.minimum(-page.found.log_probabilities, 12) / 20, abs=0.01
    )
    assert page.window.locator("#read .unknown").all_inner_texts() == ["Zorblax"]
    assert page.window.locator("#read .sentence").all_inner_texts()[1:] == [
        "She was not at all Zorblax.", "Emma was happy.", "She was happy.",
    ]  # fmt: skip
    assert page.window.inner_text("#totals").startswith(f"{len(page.pieces)} tokens, ")


def test_a_token_is_selected_by_mouse_and_by_keyboard(look):
    page = look(TEXT)
    page.window.hover("#token-6")
    shown = page.window.inner_text("#token")
    assert shown.startswith("was\n") and f"surprisal {-page.found.log_probabilities[6]:.2f} nats" in shown
    assert page.window.locator("#token .guess").count() == 5
    page.window.focus("#read")
    page.press("Home", "ArrowRight", "ArrowRight")
    assert page.chosen() == 2
    page.press("ArrowDown")
    assert page.pieces[page.chosen()].token in ("She", "was", "not")
    page.press("ArrowUp", "End")
    assert page.chosen() == len(page.pieces) - 1


def test_the_keyboard_reaches_everything(look):
    page = look(TEXT)
    seen = []
    for _ in range(9):
        page.press("Tab")
        seen.append(page.window.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert [name for name in seen if name != "BODY"][:5] == ["by-surprisal", "part", "unit", "read", "BUTTON"]
    page.window.focus("#by-surprisal")
    page.press("ArrowRight")
    assert page.window.inner_text("#legend").startswith("Activation of layer0.h 0:")
    page.window.focus("#unit")
    page.press("ArrowUp", "ArrowUp", "Tab")
    assert page.window.inner_text("#legend").startswith("Activation of layer0.h 2:")


def test_units_colour_the_text_with_their_sign(look):
    page = look(TEXT)
    page.window.select_option("#part", label="layer0.c")
    page.window.fill("#unit", "3")
    page.press("Tab")
    wanted = page.found.states[1][:, 3]
    assert [alpha(colour) for colour in page.colours()] == pytest.approx(
        0.65 * np.abs(wanted) / np.abs(wanted).max(), abs=0.01
    )
    assert [colour.startswith("rgba(20, 90, 225") for colour in page.colours()] == [x < 0 for x in np.round(wanted, 3)]
    page.window.hover("#token-2")
    assert f"layer0.c 3 after this token: {wanted[2]:.2f}" in page.window.inner_text("#token").replace("-0.00", "0.00")
    button = page.window.locator("#ranked button").first
    button.click()
    assert button.get_attribute("aria-pressed") == "true" and button.inner_text().split("\n")[0] in (
        page.window.inner_text("#legend")
    )
    page.window.check("#by-surprisal")
    assert page.window.locator('#ranked button[aria-pressed="true"]').count() == 0


def test_a_unit_that_never_moves_leaves_no_colours_of_another(look):
    page = look(TEXT, silent=[2])
    page.window.locator("#ranked button").first.click()
    assert any(alpha(colour) for colour in page.colours())
    page.window.select_option("#part", "0")
    page.window.fill("#unit", "2")
    page.press("Tab")
    assert page.window.is_checked("#by-unit") and not any(alpha(colour) for colour in page.colours())
    assert "0.00" in page.window.inner_text("#legend") and not re.search("NaN|Infinity", page.window.inner_text("body"))


def test_a_token_that_its_text_does_not_have_is_named_and_is_no_end(look):
    page = look(TEXT, renamed={4: "nowhere"})
    assert page.window.locator("#read .token").nth(4).get_attribute("class") == "token unseen unknown"
    content = "e => getComputedStyle(e, '::before').content"
    assert page.window.locator("#read .unseen").evaluate(content) == '"nowhere"'
    ends = sum(piece.token == "</s>" for piece in page.pieces)
    assert page.window.locator("#read .end").count() == ends > 0


@pytest.mark.parametrize("width", [1200, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_any_text_is_shown_as_text_and_fits_the_window(look, width, scheme):
    page = look(NASTY, viewport={"width": width, "height": 700}, color_scheme=scheme)
    shown = "".join(page.window.locator("#read").all_inner_texts())
    assert all(word in shown for word in ("<script>window.hit=1</script>", "😀👩\u200d💻", "&amp;", "x" * 5000))
    assert page.window.evaluate("window.hit") is None
    assert page.window.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_characters_are_shown_line_by_line(look):
    page = look("She was.\nOh <b>!\n\nat", unit="char")
    assert page.window.locator("#read .token").count() == len("She was.\nOh <b>!\n\nat")
    assert page.window.locator("#read .sentence").count() == 4
    assert page.window.locator("#read .newline").count() == 3


@pytest.mark.slow
def test_ten_thousand_tokens_are_quick_enough(look):
    page = look("She was happy. " * 2500)
    assert page.window.locator("#read .token").count() == 12_500
    page.window.focus("#read")
    page.press("End", "ArrowUp", "ArrowLeft")
    page.window.locator("#ranked button").first.click()
    assert page.chosen() > 12_000
