"""The page of recognize --align: pictures of sound, and the page in a browser."""

import base64

import numpy as np
import pytest
from recognizer_models import RATE, opened, samples

from theano_rnn.view import alignment_page as page
from theano_rnn.view.alignment_page import alignment_record, encoded, feature_picture, spectrogram

HOSTILE = '<img src=x onerror="window.hit=1">\u202e'


def record(name="a.wav", **settings):
    sound = samples(1.5, 2)
    found = opened().recognize_samples(sound, RATE, **{"lm_weight": 0.0, "word_bonus": 8.0, **settings})
    return alignment_record(
        found._replace(name=name), opened().labels, opened().seconds_per_step, samples=sound, rate=RATE
    )


def test_a_tone_is_a_line_at_its_frequency():
    time = np.arange(2 * RATE) / RATE
    tone = 8000 * np.sin(2 * np.pi * 1000 * time) * (time >= 1)
    picture = spectrogram(tone, RATE)
    rows, columns = picture.shape
    assert columns == pytest.approx(200, abs=2) and picture.dtype == np.uint8
    loudest = picture[:, 150].argmax()
    assert 4000 * (rows - 1 - loudest) / rows == pytest.approx(1000, abs=100)
    assert picture[loudest, 150] > 240 and picture[:, 50].max() < 40


@pytest.mark.parametrize(
    ("count", "rate"), [(0, 8000), (1, 8000), (50, 8000), (300, 1000), (48_000, 48_000), (10, 100)]
)
def test_any_sound_has_a_spectrogram(count, rate):
    picture = spectrogram(np.ones(count), rate)
    assert picture.ndim == 2 and picture.size and picture.shape[1] <= 100 * count / rate + 2


def test_wide_pictures_are_narrowed(monkeypatch):
    monkeypatch.setattr(page, "MOST_COLUMNS", 10)
    picture = np.zeros((2, 25), np.uint8)
    picture[1, 24] = 200
    found = encoded(picture)
    assert (found["rows"], found["columns"]) == (2, 9)
    assert np.frombuffer(base64.b64decode(found["values"]), np.uint8).reshape(2, 9)[1].tolist() == [0] * 8 + [200]


def test_features_are_shown_where_there_is_no_sound():
    frames = np.random.default_rng(0).normal(0, 1, (150, 10))
    picture = feature_picture(frames)
    assert picture.shape == (10, 150) and picture.min() == 0 and picture.max() == 255
    assert np.corrcoef(picture[-1], frames[:, 0])[0, 1] > 0.9
    assert feature_picture(np.zeros((0, 10))).shape == (10, 0)


def test_the_page_works_in_a_browser(tmp_path):
    from browser import chromium, needs_chromium

    if needs_chromium.args[0]:
        pytest.skip("no Chromium")
    records = [record(), record(HOSTILE), record(lm_weight=0.0, word_bonus=-50.0)]
    (tmp_path / "page.html").write_text(page.alignment_page(records, about=HOSTILE), encoding="utf-8")
    with chromium() as browser:
        for width in (390, 1280):
            tab = browser.new_page(viewport={"width": width, "height": 800})
            errors = []
            tab.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
            tab.on("console", lambda message, errors=errors: errors.append(message.text))
            tab.goto((tmp_path / "page.html").as_uri())
            articles = tab.query_selector_all("article")
            assert len(articles) == 3 and errors == []
            assert tab.evaluate("document.documentElement.scrollWidth") <= width
            assert tab.evaluate("window.hit === undefined") and HOSTILE in tab.inner_text("#about")
            for article, each in zip(articles, records):
                assert article.query_selector(".said").inner_text() == (each["text"] or "(no words)")
                assert len(article.query_selector_all(".lane.words button")) == len(each["words"])
                assert len(article.query_selector_all(".segment")) == len(each["labels"])
                assert len(article.query_selector_all(".heard tbody tr")) == len(each["words"])
                names = article.query_selector(".gutter.rows").inner_text().split()
                assert names == each["posteriors"]["labels"]
                size = article.query_selector(".outputs canvas").evaluate("c => [c.width, c.height]")
                assert size == [each["posteriors"]["columns"], each["posteriors"]["rows"]]
            duration = "a => new Promise(r => a.duration ? r(a.duration) : a.onloadedmetadata = () => r(a.duration))"
            assert tab.query_selector("audio").evaluate(duration) == pytest.approx(1.5, abs=0.01)
            tab.query_selector(".lane.words button:last-child").click()
            start = records[0]["words"][-1][1]
            moved = "start => document.querySelector('audio').currentTime >= Math.max(start - 0.11, 0)"
            for _ in range(200):  # the page's policy forbids `wait_for_function`, which uses eval
                if tab.evaluate(moved, start):
                    break
                tab.wait_for_timeout(50)
            assert tab.evaluate(moved, start)
            tab.close()
