"""The pages of a classifier in a real browser: colours, keyboard, labels; texts are escaped, nothing is fetched."""

import numpy as np
import pytest
from browser import NASTY, alpha, chromium, needs_chromium
from classifier_models import LABELS, opened

from theano_rnn.view.explanation_page import explanation_page

pytestmark = needs_chromium

TEXTS = ["A charming film. Zorblax is dull!", "It is long. " + NASTY]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("width", [1200, 360])
def test_a_page_of_explanations(browser, tmp_path, width):
    model = opened()
    found = [model.explain(text) for text in TEXTS]
    html = explanation_page(found, labels=LABELS, unit="word", unk_id=model.vocabulary.unk_id, about="a model")
    (tmp_path / "page.html").write_text(html)
    window, troubles = browser.new_page(viewport={"width": width, "height": 800}), []
    window.on("pageerror", lambda error: troubles.append(str(error)))
    window.on("console", lambda said: troubles.append(said.text))
    window.on("request", lambda asked: troubles.append(asked.url))
    window.goto((tmp_path / "page.html").as_uri())
    assert troubles == [(tmp_path / "page.html").as_uri()]
    for name, values in (("contribution", found[0].contributions), ("removal", found[0].removals)):
        window.check(f"input[value={name}]")
        colours = window.eval_on_selector_all("#text-0 .token", "them => them.map(e => e.style.backgroundColor)")
        shares = np.abs(values) / np.abs(values).max()
        assert [alpha(colour) for colour in colours] == pytest.approx(0.65 * shares, abs=0.01)
    assert window.locator("#text-0 .unknown").all_inner_texts() == ["Zorblax"]
    window.click("#token-0-1")
    assert window.inner_text("#token").startswith("charming\n")
    window.focus("#text-1")
    window.keyboard.press("ArrowRight")
    assert window.inner_text("#token").startswith("is\n") and window.locator(".chosen").count() == 1
    assert window.evaluate("window.hit") is None
    assert window.evaluate("document.documentElement.scrollWidth") <= width
    assert len(troubles) == 1
    window.close()


def test_a_text_is_labelled_while_it_is_typed(browser):
    pytest.importorskip("fastapi")
    pytest.importorskip("uvicorn")
    from web_client import Client

    from theano_rnn.serving.classifying import OneThread, ServedClassifier
    from theano_rnn.serving.web_classifier import create_classifier_application

    thread = OneThread()
    client = Client(create_classifier_application(ServedClassifier(opened(), "a model"), thread))
    window, troubles = browser.new_page(viewport={"width": 360, "height": 800}), []
    try:
        window.on("pageerror", lambda error: troubles.append(str(error)))
        window.on("console", lambda said: troubles.append(said.text) if said.type == "error" else None)
        window.goto(f"http://127.0.0.1:{client.port}/")
        window.fill("#text", TEXTS[0])
        window.wait_for_selector("#read:not(.stale) #token-6")
        assert window.locator("#labels .guess").count() == len(LABELS)
        label = window.locator("#labels button").nth(2).locator("span").first.inner_text()
        window.locator("#labels button").nth(2).click()
        window.wait_for_selector("#labels:not(.stale) button:nth-child(3)[aria-pressed=true]")
        assert window.inner_text("#read-title") == f"What each token adds to {label}"
        window.click("#token-1")
        assert window.inner_text("#token").startswith("charming\n")
        assert window.evaluate("document.documentElement.scrollWidth") <= 360
        assert troubles == []
    finally:
        window.close()
        client.close()
        thread.close()
