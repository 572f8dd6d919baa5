"""The web application for a recognizer: the answers of the model, limits on recordings, and the page in a browser."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ENGINES
from recognizer_models import RATE, checkpoint, opened, samples, wav_bytes

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from web_client import Client

from theano_rnn.cli import serve
from theano_rnn.serving import recognizing
from theano_rnn.serving.classifying import OneThread
from theano_rnn.serving.recognizing import LIMITS, MAX_BODY_BYTES, NUM_BEST, ServedRecognizer, warm_up
from theano_rnn.serving.web_guard import MAX_BODY_BYTES as USUAL_BODY_BYTES
from theano_rnn.serving.web_recognizer import RECOGNIZE, create_recognizer_application
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.view.pages import security_policy


@pytest.fixture(scope="module")
def client():
    thread = OneThread()
    client = Client(create_recognizer_application(ServedRecognizer(opened(), "a model"), thread))
    yield client
    client.close()
    thread.close()


def encoded(content):
    return base64.b64encode(content).decode()


def refused(answer, status):
    assert answer.status == status, answer.text
    (key, line), = answer.json().items()
    assert key == "error" and line and line.isascii() and line.isprintable() and len(line) <= 200
    return line


def test_the_page_keeps_to_its_policy_and_the_model_is_described(client):
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert answer.status == 200 and policy == security_policy(answer.text) and "media-src data: blob:" in policy
    about = client.get("/api/model").json()
    assert (about["name"], about["kind"], about["limits"]) == ("a model", "recognizer", LIMITS)
    assert about["labels"] == opened().labels and about["words"] == 4 and about["sample_rate"] == RATE
    assert RECOGNIZE in client.get("/openapi.json").json()["paths"]


def test_an_answer_is_that_of_the_model(client):
    found = client.post(RECOGNIZE, {"audio": encoded(wav_bytes(1.2, 4))}).json()
    expected = opened().recognize_samples(samples(1.2, 4).astype(np.int16), RATE, num_best=NUM_BEST)
    assert found["text"] == expected.text and found["audio"] is None
    assert [result[0] for result in found["results"]] == [" ".join(each.words) for each in expected.results]
    scores = [each.score for each in expected.results]
    assert [result[2] for result in found["results"]] == pytest.approx(scores, abs=1e-3)
    assert [label[0] for label in found["labels"]] == [each.label for each in expected.labels]
    assert found["seconds"] == pytest.approx(1.2) and found["posteriors"]["columns"] == len(expected.log_probabilities)


def test_given_words_are_aligned(client):
    audio = encoded(wav_bytes(1.2, 4))
    found = client.post(RECOGNIZE, {"audio": audio, "text": "one two"}).json()
    assert found["text"] == "ONE TWO" and [word[0] for word in found["words"]] == ["ONE", "TWO"]
    assert refused(client.post(RECOGNIZE, {"audio": audio, "text": "three"}), 422).startswith("'three' is not a word")
    blank = client.post(RECOGNIZE, {"audio": audio, "text": " "}).json()
    assert blank == client.post(RECOGNIZE, {"audio": audio}).json()


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({}, "audio: Field required"),
        ({"audio": 1}, "audio: Input should be a valid string"),
        ({"audio": "", "more": 1}, "more: Extra inputs are not permitted"),
        ({"audio": "no base64!"}, "audio must be a sound file in base64"),
        ({"audio": ""}, "the recording is empty"),
        ({"audio": encoded(b"no sound at all")}, "the recording is not a"),
        ({"audio": encoded(wav_bytes(0.01))}, "the sound is too short"),
        ({"audio": "", "text": "a" * (LIMITS["characters"] + 1)}, "text: String should have at most 2000 characters"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_is_one_line(client, body, line):
    assert refused(client.post(RECOGNIZE, body), 422).startswith(line)


def test_long_recordings_are_refused(client, monkeypatch):
    monkeypatch.setitem(LIMITS, "seconds", 1)
    assert "at most 1 seconds, got 2" in refused(client.post(RECOGNIZE, {"audio": encoded(wav_bytes(2.0))}), 422)
    monkeypatch.setitem(LIMITS, "bytes", 1000)
    assert "at most 1,000 bytes, got" in refused(client.post(RECOGNIZE, {"audio": encoded(wav_bytes())}), 422)


def test_a_body_may_be_as_long_as_a_recording_and_no_longer(client):
    audio = "A" * (2 * USUAL_BODY_BYTES)
    assert "not a" in refused(client.post(RECOGNIZE, {"audio": audio}), 422)
    line = refused(client.post(RECOGNIZE, {"audio": "A" * MAX_BODY_BYTES}), 413)
    assert line == f"the body must have at most {MAX_BODY_BYTES:,} bytes"


def test_requests_are_guarded(client):
    assert refused(client.post(RECOGNIZE, content=b"{"), 400) == "the body is not JSON"
    refused(client.post(RECOGNIZE, {"audio": ""}, headers={"origin": "http://example.org"}), 403)
    assert client.get(RECOGNIZE).status == 405 and client.get("/api/translate").status == 404


def test_requests_at_the_same_time_have_their_own_answers(client):
    bodies = [{"audio": encoded(wav_bytes(1.0, seed))} for seed in (1, 2)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: client.post(RECOGNIZE, body).json(), bodies * 4))
    assert answers[::2] == answers[:1] * 4 and answers[1::2] == answers[1:2] * 4 and answers[0] != answers[1]


def test_serve_chooses_the_application_for_the_kind_of_model(monkeypatch):
    monkeypatch.setattr("theano_rnn.cli.model_loading.open_recognizer", lambda path, machine: opened())
    app, close = serve.build_application(str(checkpoint()), MachineConfig(engine=ENGINES[-1]))
    close()
    assert app.post_paths == {RECOGNIZE} and app.max_body_bytes == MAX_BODY_BYTES


def test_usual_lengths_are_compiled_before_the_first_request(monkeypatch):
    seen = []
    original = opened().function("predict")
    monkeypatch.setitem(opened().functions, "predict", lambda *arrays: seen.append(len(arrays[0])) or original(*arrays))
    warm_up(opened())
    assert seen == sorted(set(seen)) and len(seen) == len(recognizing.WARM_UP_SECONDS)


def test_a_model_of_features_is_not_served(monkeypatch):
    import dataclasses

    config = dataclasses.replace(opened().extractor.config, features="ready-made")
    monkeypatch.setattr(opened().extractor, "config", config)
    with pytest.raises(UserError, match="cannot be served"):
        ServedRecognizer(opened(), "a model")


def test_answers_are_json_without_nan():
    served = ServedRecognizer(opened(), "caf\udce9")
    for content in (wav_bytes(), bytes(wav_bytes()[:44]) + bytes(16000)):
        answer = served.answer(encoded(content))
        assert json.loads(json.dumps(answer, allow_nan=False))["seconds"] == answer["seconds"]
    assert served.name == "caf?"
