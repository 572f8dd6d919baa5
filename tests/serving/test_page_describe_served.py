"""The page of serve for pictures, in a real browser: files that are chosen and dropped, scenes, mistakes."""

import pytest
from browser import CHROMIUM, needs_chromium, playwright
from captioner_models import opened, pictures
from test_web_captioner import file_of

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from web_client import Client

from theano_rnn.serving import describing
from theano_rnn.serving.classifying import OneThread
from theano_rnn.serving.describing import ServedCaptioner
from theano_rnn.serving.web_captioner import create_captioner_application

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def address():
    thread = OneThread()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(describing, "is_trained_on_scenes", lambda model: True)
        client = Client(create_captioner_application(ServedCaptioner(opened(), "a <b>model</b>"), thread))
        yield f"http://127.0.0.1:{client.port}/"
        client.close()
    thread.close()


@pytest.fixture
def page(address):
    """The page in a narrow window. Its scripts may have no errors, and it may ask no other host."""
    with playwright.sync_playwright() as play:
        browser, troubles = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"]), []
        page = browser.new_page(viewport={"width": 390, "height": 800})
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda said: troubles.append(said.text) if "Content Security" in said.text else None)
        page.on("request", lambda asked: None if asked.url.startswith((address, "data:"))
                else troubles.append(asked.url))  # fmt: skip
        page.goto(address)
        yield page
        assert troubles == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        browser.close()


def wait(page, condition, value=None):
    """Wait until a condition in JavaScript is true. The page's policy forbids `wait_for_function`, which uses eval."""
    for _ in range(400):
        if page.evaluate(f"value => {condition}", value):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{condition}: {page.inner_text('body')}")


def test_pictures_are_described_and_mistakes_are_told(page):
    one, other = pictures(2)
    captions = [each.captions for each in opened().describe([one, other], 5)]
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": file_of(one)})
    wait(page, "document.querySelector('h2')?.innerText === value", captions[0][0].text)
    assert page.inner_text("#about").startswith("a <b>model</b>: ") and page.is_visible("#help")
    assert len(page.query_selector_all("li")) == len(captions[0]) > 1 and "a.png" in page.inner_text("#found")
    words = [*opened().vocabulary.decode(captions[0][0].ids), "\u00b6"]
    assert [each.inner_text().split("\n")[0] for each in page.query_selector_all("figcaption")] == words
    wait(page, "[...document.querySelectorAll('#found img')].every((each) => each.naturalWidth === 16)")
    page.evaluate(
        """content => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(content)], "b.png"));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: files, cancelable: true }));
        }""",
        list(file_of(other)),
    )
    wait(page, "document.getElementById('found').innerText.includes('b.png')")
    assert page.inner_text("h2") == captions[1][0].text
    page.click("#draw")
    wait(page, "document.getElementById('status').innerText.startsWith('The scene: a')")
    page.set_input_files("#file", {"name": "c.txt", "mimeType": "text/plain", "buffer": b"no picture at all"})
    wait(page, "document.getElementById('status').innerText.startsWith('the picture is not a picture')")
    assert page.get_attribute("#status", "class") == "bad"
