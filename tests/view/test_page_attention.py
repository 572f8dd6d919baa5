"""The pages of a translator in a real browser: shades, keyboard, other translations; texts are escaped."""

import pytest
from browser import NASTY, chromium, needs_chromium
from translator_models import opened

from theano_rnn.view.attention_page import attention_page

pytestmark = needs_chromium

TEXTS = ["A dog runs, Zorblax!", "It is late. " + NASTY]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("width", [1200, 360])
def test_a_page_of_attention(browser, tmp_path, width):
    found = [(each.text, opened().attention(each.source, each.translations[0])) for each in opened().translate(TEXTS)]
    (tmp_path / "page.html").write_text(attention_page(found, about="a model"))
    window, troubles = browser.new_page(viewport={"width": width, "height": 800}), []
    window.on("pageerror", lambda error: troubles.append(str(error)))
    window.on("console", lambda said: troubles.append(said.text))
    window.on("request", lambda asked: troubles.append(asked.url))
    window.goto((tmp_path / "page.html").as_uri())
    assert troubles == [(tmp_path / "page.html").as_uri()]
    shades = window.eval_on_selector_all(
        "article:first-child tbody td > span", "them => them.map(e => Number(e.style.opacity))"
    )
    assert shades == pytest.approx(found[0][1].weights.ravel().tolist(), abs=1e-3)
    assert window.locator("article").nth(0).locator("thead th").all_inner_texts()[-1] == "¶"
    window.locator("article").nth(0).locator("tbody td").nth(1).click()
    told = window.locator("article").nth(0).locator(".weight")
    assert told.inner_text().endswith(f"← dog: {found[0][1].weights[0, 1]:.3f}")
    window.locator(".matrix").nth(0).focus()
    window.keyboard.press("ArrowRight")
    assert told.inner_text().endswith(f"← runs: {found[0][1].weights[0, 2]:.3f}")
    assert window.evaluate("window.hit") is None
    assert window.evaluate("document.documentElement.scrollWidth") <= width
    assert len(troubles) == 1
    window.close()


def test_a_text_is_translated_while_it_is_typed(browser):
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    from web_client import Client

    from theano_rnn.serving.classifying import OneThread
    from theano_rnn.serving.translating import ServedTranslator
    from theano_rnn.serving.web_translator import create_translator_application

    thread = OneThread()
    client = Client(create_translator_application(ServedTranslator(opened(), "a model"), thread))
    window, troubles = browser.new_page(viewport={"width": 360, "height": 800}), []
    try:
        window.on("pageerror", lambda error: troubles.append(str(error)))
        window.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
        window.goto(f"http://127.0.0.1:{client.port}/")
        window.fill("#text", "A dog runs, Zorblax!\nIt is late.")
        window.wait_for_selector("#lines:not(.stale) button:nth-child(2)")
        expected = opened().translate(["A dog runs, Zorblax!", "It is late."], 5)
        assert window.locator("#lines button").all_inner_texts() == [each.text for each in expected]
        assert window.inner_text("#status") == "1 token is not in the model's vocabulary."
        window.locator("#lines button").nth(1).click()
        assert window.locator("#others li").count() == len(expected[1].translations)
        assert window.locator("#attention thead th").all_inner_texts()[:3] == ["It", "is", "late"]
        assert window.evaluate("document.documentElement.scrollWidth") <= 360
        assert troubles == []
    finally:
        window.close()
        client.close()
        thread.close()
