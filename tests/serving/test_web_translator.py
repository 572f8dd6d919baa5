"""The web application for a translator: the answers of the model, strict bodies, limits, and one thread for all."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from conftest import ENGINES
from translator_models import checkpoint, language_model, opened

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from web_client import Client

from theano_rnn.cli import serve
from theano_rnn.serving.classifying import OneThread
from theano_rnn.serving.translating import LIMITS, NUM_BEST, ServedTranslator, warm_up
from theano_rnn.serving.web_translator import TRANSLATE, create_translator_application
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.translation import ServedTranslatorConfig
from theano_rnn.view.pages import security_policy

TEXT = "A dog <b>runs</b>, Zorblax!\n\nIt is late."


@pytest.fixture(scope="module")
def client():
    thread = OneThread()
    client = Client(create_translator_application(ServedTranslator(opened(), "a model"), thread))
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
    assert (about["name"], about["kind"], about["limits"]) == ("a model", "translator", LIMITS)
    assert about["vocab_size"] == 12 and about["source_vocab_size"] == 12
    assert TRANSLATE in client.get("/openapi.json").json()["paths"]


def test_an_answer_is_that_of_the_model(client):
    lines = client.post(TRANSLATE, {"text": TEXT}).json()["lines"]
    expected = opened().translate(TEXT.split("\n"), NUM_BEST)
    assert [line["source"] for line in lines] == TEXT.split("\n")
    for line, found in zip(lines, expected):
        assert [each["text"] for each in line["translations"]] == [each.text for each in found.translations]
        assert [each["score"] for each in line["translations"]] == pytest.approx(
            [each.score for each in found.translations], abs=1e-5
        )
    assert lines[0]["num_unknown"] == expected[0].num_unknown > 0
    assert lines[1]["translations"] == [] and lines[1]["attention"] is None
    attention = opened().attention("It is late.")
    assert lines[2]["attention"]["source"] == attention.source and lines[2]["attention"]["target"] == attention.target
    for row, weights in zip(lines[2]["attention"]["weights"], attention.weights):
        assert row == pytest.approx(weights.tolist(), abs=1e-3)


def test_a_blank_text_has_no_translation(client):
    assert client.post(TRANSLATE, {"text": ""}).json() == {"lines": []}
    (line,) = client.post(TRANSLATE, {"text": " \u200b"}).json()["lines"]
    assert line["translations"] == []


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({}, "text: Field required"),
        ({"text": 1}, "text: Input should be a valid string"),
        ({"text": "a", "more": 1}, "more: Extra inputs are not permitted"),
        ({"text": "a" * (LIMITS["characters"] + 1)}, "text: String should have at most 5000 characters"),
        ({"text": "a\n" * (LIMITS["lines"] + 1)}, "the text must have at most 20 lines, got 21"),
        ({"text": "a\n" + "a " * (LIMITS["tokens"] + 1)}, "line 2 must have at most 200 tokens, got 201"),
    ],
)
def test_a_mistake_is_one_line(client, body, line):
    assert refused(client.post(TRANSLATE, body), 422).startswith(line)


def test_requests_are_guarded(client):
    assert refused(client.post(TRANSLATE, content=b"{"), 400) == "the body is not JSON"
    refused(client.post(TRANSLATE, {"text": "a"}, headers={"origin": "http://example.org"}), 403)
    refused(client.post(TRANSLATE, {"text": "a"}, headers={"content-type": "text/plain"}), 415)
    assert client.get(TRANSLATE).status == 405 and client.get("/api/classify").status == 404


def test_requests_at_the_same_time_have_their_own_answers(client):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: client.post(TRANSLATE, {"text": text}).json(), [TEXT, "A dog"] * 6))
    assert answers[::2] == answers[:1] * 6 and answers[1::2] == answers[1:2] * 6 and answers[0] != answers[1]


def test_serve_chooses_the_application_for_the_kind_of_model(monkeypatch):
    asked = {}
    monkeypatch.setattr("theano_rnn.cli.model_loading.open_translator",
                        lambda path, machine, **options: asked.update(options) or opened())  # fmt: skip
    machine, further = MachineConfig(engine=ENGINES[-1]), ServedTranslatorConfig(ensemble=("b",), lm=None)
    app, close = serve.build_application(str(checkpoint()), machine, further)
    close()
    assert app.post_paths == {TRANSLATE} and asked == {"ensemble": ("b",), "lm": None}


@pytest.mark.parametrize(("flag", "value"), [("lm", "de.safetensors"), ("ensemble", ("de.safetensors",))])
def test_only_a_translator_is_served_with_further_models(flag, value):
    further = ServedTranslatorConfig(**{flag: value})
    with pytest.raises(UserError, match=f"is a language model, but --{flag} is for translators"):
        serve.build_application(str(language_model()), MachineConfig(engine=ENGINES[-1]), further)


def test_further_models_search_together():
    model = opened(lm=language_model(), others=(6,))
    model.ensemble.steps.clear()
    warm_up(model, lm_weight=0.4)
    assert [is_fused for _, is_fused, _ in model.ensemble.steps] == [True]  # the step of the requests
    served = ServedTranslator(model, "a model", 0.4)
    alone = ServedTranslator(opened(), "a model")
    about, one = served.about(), alone.about()
    assert (about["num_translators"], about["has_language_model"]) == (2, True)
    assert (one["num_translators"], one["has_language_model"]) == (1, False)
    assert about["parameters"] == 2 * one["parameters"] + sum(
        value.size for value in model.ensemble.language_model.checkpoint.best.values()
    )
    found = served.answer("It is late.")["lines"][0]["translations"]
    expected = model.translate(["It is late."], NUM_BEST, lm_weight=0.4)[0].translations
    assert [(each["text"], each["score"], each["lm_log_probability"]) for each in found] == [
        (each.text, pytest.approx(each.score, abs=1e-5), pytest.approx(each.lm_log_probability, abs=1e-5))
        for each in expected
    ]
    assert len(model.ensemble.steps) == 1
    others = alone.answer("It is late.")["lines"][0]["translations"]
    assert others[0]["lm_log_probability"] is None and [each["text"] for each in others] != [e["text"] for e in found]


def test_all_usual_lengths_are_compiled_before_the_first_request():
    model, seen = opened(unit="char"), []
    original = model.function("encode")
    model.functions["encode"] = lambda source, *rest: seen.append(len(source)) or original(source, *rest)
    try:
        warm_up(model)
        assert seen == [8, 16, 32]
    finally:
        model.functions["encode"] = original


def test_answers_are_json_without_nan():
    answer = ServedTranslator(opened(), "caf\udce9").answer(TEXT)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert ServedTranslator(opened(), "caf\udce9").name == "caf?"
