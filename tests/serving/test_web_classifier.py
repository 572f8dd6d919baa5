"""The web application for a classifier: the answers of the model, strict bodies, limits, and one thread for all."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from classifier_models import LABELS, checkpoint, opened
from conftest import ENGINES

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from web_client import Client

from theano_rnn.cli import serve
from theano_rnn.serving.classifying import LIMITS, OneThread, ServedClassifier, warm_up
from theano_rnn.serving.request_batching import QueueFullError
from theano_rnn.serving.web_classifier import CLASSIFY, create_classifier_application
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.view.pages import security_policy

TEXT = "It is a charming film. Is it <b>dull</b>, Zorblax?"


@pytest.fixture(scope="module")
def client():
    thread = OneThread()
    client = Client(create_classifier_application(ServedClassifier(opened(), "a model"), thread))
    yield client
    client.close()
    thread.close()


def refused(answer, status):
    assert answer.status == status, answer.text
    (key, line), = answer.json().items()
    assert key == "error" and line and line.isascii() and line.isprintable() and len(line) <= 200
    return line


def test_the_page_keeps_to_its_policy_and_the_model_is_described(client):
    answer = client.get("/")
    assert answer.status == 200 and answer.headers["content-security-policy"] == security_policy(answer.text)
    about = client.get("/api/model").json()
    assert (about["name"], about["kind"], about["labels"]) == ("a model", "classifier", list(LABELS))
    assert about["limits"] == LIMITS and about["temperature"] == 2.0
    assert CLASSIFY in client.get("/openapi.json").json()["paths"]


def test_an_answer_is_that_of_the_model(client):
    (result,), found = opened().classify([TEXT]), opened().explain(TEXT)
    answer = client.post(CLASSIFY, {"text": TEXT}).json()
    assert answer["label"] == answer["explained"] == result.label
    assert dict(answer["probabilities"]) == pytest.approx(dict(zip(LABELS, result.probabilities)), rel=1e-4)
    assert [p for _, p in answer["probabilities"]] == sorted((p for _, p in answer["probabilities"]), reverse=True)
    assert [piece["text"] for piece in answer["pieces"]] == [piece.text for piece in found.pieces]
    assert [piece["contribution"] for piece in answer["pieces"]] == pytest.approx(list(found.contributions), rel=1e-3)
    assert [piece["token"] for piece in answer["pieces"] if piece["is_unknown"]][-1] == "?"
    other = client.post(CLASSIFY, {"text": TEXT, "label": "so-so"}).json()
    assert other["explained"] == "so-so" and other["label"] == result.label
    assert other["probabilities"] == answer["probabilities"]


@pytest.mark.parametrize("text", ["", " \n", "\u200b"])
def test_a_blank_text_has_no_label(client, text):
    answer = client.post(CLASSIFY, {"text": text}).json()
    assert answer == {"label": None, "probabilities": [], "explained": None, "pieces": []}


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({}, "text: Field required"),
        ({"text": 1}, "text: Input should be a valid string"),
        ({"text": "a", "more": 1}, "more: Extra inputs are not permitted"),
        ({"text": "a" * (LIMITS["characters"] + 1)}, "text: String should have at most 10000 characters"),
        ({"text": "a " * (LIMITS["tokens"] + 1)}, "the text must have at most 2,000 tokens, got 2,002"),
        ({"text": "a", "label": "good"}, "the model has no label 'good' (its labels are neg, pos, so-so)"),
    ],
)
def test_a_mistake_is_one_line(client, body, line):
    assert refused(client.post(CLASSIFY, body), 422).startswith(line)


def test_requests_are_guarded(client):
    assert refused(client.post(CLASSIFY, content=b"{"), 400) == "the body is not JSON"
    refused(client.post(CLASSIFY, {"text": "a"}, headers={"origin": "http://example.org"}), 403)
    refused(client.post(CLASSIFY, {"text": "a"}, headers={"host": "example.org"}), 421)
    refused(client.post(CLASSIFY, {"text": "a"}, headers={"content-type": "text/plain"}), 415)
    assert client.get(CLASSIFY).status == 405 and client.get("/api/score").status == 404


def test_requests_at_the_same_time_never_share_the_model(client, monkeypatch):
    model, busy, most = opened(), threading.Semaphore(1), []
    predict = model.function("predict")

    def watched(*arguments):
        assert busy.acquire(blocking=False), "two threads at once"
        most.append(threading.current_thread().name)
        try:
            return predict(*arguments)
        finally:
            busy.release()

    monkeypatch.setitem(model.functions, "predict", watched)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: client.post(CLASSIFY, {"text": text}).json(), [TEXT, "A film"] * 8))
    assert answers[::2] == answers[:1] * 8 and answers[1::2] == answers[1:2] * 8
    assert len(most) == 16 and len(set(most)) == 1


def test_too_many_requests_are_refused():
    thread, is_done = OneThread(max_waiting=2), threading.Event()
    waiting = [thread.submit(is_done.wait) for _ in range(2)]
    with pytest.raises(QueueFullError):
        thread.submit(len, "a")
    waiting[1].cancel()
    last = thread.submit(len, "abc")
    is_done.set()
    assert last.result(10) == 3
    thread.close()
    full = SimpleNamespace(submit=lambda *_: (_ for _ in ()).throw(QueueFullError("full")))
    client = Client(create_classifier_application(ServedClassifier(opened(), "a model"), full))
    try:
        assert "too many requests" in refused(client.post(CLASSIFY, {"text": "a"}), 503)
    finally:
        client.close()


def test_serve_chooses_the_application_for_the_kind_of_model(monkeypatch):
    monkeypatch.setattr("theano_rnn.cli.model_loading.open_classifier", lambda path, machine: opened())
    app, close = serve.build_application(str(checkpoint()), MachineConfig(engine=ENGINES[-1]))
    close()
    assert app.post_paths == {CLASSIFY}


def test_all_usual_lengths_are_compiled_before_the_first_request():
    seen = []
    model = opened(unit="char")
    original = model.function("predict")
    model.functions["predict"] = lambda tokens, mask: seen.append(len(tokens)) or original(tokens, mask)
    try:
        warm_up(model)
        assert seen == [16, 32, 64, 128]
    finally:
        model.functions["predict"] = original


def test_answers_are_json_without_nan():
    answer = ServedClassifier(opened(), "caf\udce9").answer(TEXT)
    assert json.loads(json.dumps(answer, allow_nan=False)) == json.loads(json.dumps(answer))
    assert ServedClassifier(opened(), "caf\udce9").name == "caf?"
