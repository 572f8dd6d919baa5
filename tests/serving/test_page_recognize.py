"""The page of serve for recordings, in a real browser: files, given words, the microphone, mistakes."""

import pytest
from browser import CHROMIUM, needs_chromium, playwright
from recognizer_models import RATE, opened, samples, wav_bytes

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from web_client import Client

from theano_rnn.serving.classifying import OneThread
from theano_rnn.serving.recognizing import ServedRecognizer
from theano_rnn.serving.web_recognizer import create_recognizer_application

pytestmark = needs_chromium
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@pytest.fixture(scope="module")
def address():
    thread = OneThread()
    client = Client(create_recognizer_application(ServedRecognizer(opened(), "a <b>model</b>"), thread))
    yield f"http://127.0.0.1:{client.port}/"
    client.close()
    thread.close()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    """The page in a narrow window. Its scripts may have no errors, and it may ask no other host."""
    context = browser.new_context(viewport={"width": 390, "height": 800}, permissions=["microphone"])
    page, troubles = context.new_page(), []
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda said: troubles.append(said.text) if "Content Security" in said.text else None)
    page.on("request", lambda asked: None if asked.url.startswith((address, "blob:", "data:,"))
            else troubles.append(asked.url))  # fmt: skip
    page.goto(address)
    yield page
    assert troubles == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def choose(page, content, name="a.wav"):
    page.set_input_files("#file", {"name": name, "mimeType": "audio/wav", "buffer": content})


def wait(page, condition, value=None):
    """Wait until a condition in JavaScript is true. The page's policy forbids `wait_for_function`, which uses eval."""
    for _ in range(400):
        if page.evaluate(f"value => {condition}", value):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{condition}: {page.inner_text('body')}")


def said(page, text):
    wait(page, "document.querySelector('.said')?.innerText === value", text or "(no words)")


def test_a_chosen_file_is_recognized_and_plays(page):
    choose(page, wav_bytes(1.2, 4))
    expected = opened().recognize_samples(samples(1.2, 4).astype("int16"), RATE, num_best=5)
    said(page, expected.text)
    assert [row.inner_text() for row in page.query_selector_all(".heard tbody td:first-child")] == expected.text.split()
    assert len(page.query_selector_all("#others li")) == len(expected.results) > 1
    assert page.inner_text("#about").startswith("a <b>model</b>: ")
    wait(page, "Math.abs(document.querySelector('audio').duration - 1.2) < 0.01")
    page.click(".lane.sound", position={"x": 150, "y": 40})
    wait(page, "document.querySelector('audio').currentTime > 0.3")


def test_given_words_are_aligned(page):
    choose(page, wav_bytes(1.2, 4))
    page.wait_for_selector(".said")
    page.fill("#given", "one two")
    page.press("#given", "Tab")
    said(page, "ONE TWO")
    page.fill("#given", "three")
    page.press("#given", "Tab")
    wait(page, "document.getElementById('status').innerText.includes('is not a word of the lexicon')")
    assert page.get_attribute("#status", "class") == "bad"


def test_a_file_may_be_dropped(page):
    page.evaluate(
        """content => {
          const files = new DataTransfer();
          files.items.add(new File([new Uint8Array(content)], "b.wav"));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: files, cancelable: true }));
        }""",
        list(wav_bytes(1.0, 2)),
    )
    said(page, opened().recognize_samples(samples(1.0, 2).astype("int16"), RATE).text)


def test_what_is_no_sound_is_refused(page):
    choose(page, b"no sound at all", "c.txt")
    wait(page, "document.getElementById('status').innerText.startsWith('the recording is not')")


def test_the_microphone_is_recorded(page):
    page.click("#record")
    wait(page, "document.getElementById('record').innerText === 'Stop'")
    page.wait_for_timeout(700)
    page.click("#record")
    page.wait_for_selector(".said")
    assert page.inner_text("#record") == "Record"
    wait(page, "document.querySelector('audio').duration > 0.2")
