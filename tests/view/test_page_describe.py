"""The page of descriptions in a real browser: pictures, shades, names; texts are escaped."""

import numpy as np
import pytest
from browser import NASTY, chromium, needs_chromium

from theano_rnn.captioner import Attention
from theano_rnn.images.reading import jpeg_of, picture_of
from theano_rnn.view.description_page import ShownPicture, description_page

pytestmark = needs_chromium
pytest.importorskip("PIL")


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("width", [1200, 360])
def test_a_page_of_descriptions(browser, tmp_path, width):
    weights = np.random.default_rng(0).dirichlet(np.ones(6), 3).reshape(3, 2, 3)
    jpeg = jpeg_of(picture_of(np.full((20, 30, 3), 200, np.uint8)))
    shown = [
        ShownPicture("a.png", jpeg, [("a dog", -0.5), ("a cat", -2.0)], Attention(["a", "dog", "</s>"], weights)),
        ShownPicture(NASTY, None, [(NASTY, -1.0)], Attention(["a", NASTY, "</s>"], weights)),
    ]
    (tmp_path / "page.html").write_text(description_page(shown, about="a model"))
    window, troubles = browser.new_page(viewport={"width": width, "height": 800}), []
    window.on("pageerror", lambda error: troubles.append(str(error)))
    window.on("console", lambda said: troubles.append(said.text))
    window.goto((tmp_path / "page.html").as_uri())
    assert troubles == [] and window.evaluate("window.hit") is None
    first = window.locator("article").nth(0)
    assert first.locator("h2").inner_text() == "a dog" and first.locator("li").count() == 2
    assert first.locator("li").nth(0).inner_text() == "a dog (60.7 %)"
    names = [text.split("\n")[0] for text in first.locator("figcaption").all_inner_texts()]
    assert names == ["a", "dog", "\u00b6"] and first.locator("img").count() == 4
    shades = window.evaluate("""() => [...document.querySelectorAll("article:first-child canvas")].map((canvas) =>
        [...canvas.getContext("2d").getImageData(0, 0, 3, 2).data].filter((_, i) => i % 4 === 3))""")
    flat = weights.reshape(3, -1)
    np.testing.assert_allclose(np.array(shades) / 255, 0.82 * (1 - flat / flat.max(axis=1, keepdims=True)), atol=0.01)
    row, column = divmod(int(flat[1].argmax()), 3)
    label = first.locator("figure").nth(1).get_attribute("aria-label")
    assert label == f"dog: most at row {row + 1}, column {column + 1}"
    assert window.evaluate("document.documentElement.scrollWidth") <= width
    window.close()
