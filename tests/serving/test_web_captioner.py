"""The web application for a captioner: the answers of the model, limits on pictures, what is no picture."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from captioner_models import HEIGHT, WIDTH, checkpoint, opened, pictures
from conftest import ENGINES

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from web_client import Client

from theano_rnn.cli import serve
from theano_rnn.serving import describing
from theano_rnn.serving.classifying import OneThread
from theano_rnn.serving.describing import LIMITS, MAX_BODY_BYTES, NUM_BEST, ServedCaptioner, warm_up
from theano_rnn.serving.web_captioner import DESCRIBE, create_captioner_application
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.tasks.scenes import make_scenes
from theano_rnn.view.pages import security_policy

Image = pytest.importorskip("PIL.Image")

@pytest.fixture(scope="module")
def client():
    thread = OneThread()
    client = Client(create_captioner_application(ServedCaptioner(opened(), "a model"), thread))
    yield client
    client.close()
    thread.close()


def encoded(content):
    return base64.b64encode(content).decode()


def file_of(pixels, kind="PNG"):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue()


def refused(answer, status):
    assert answer.status == status, answer.text
    (key, line), = answer.json().items()
    assert key == "error" and line and line.isascii() and line.isprintable() and len(line) <= 200
    return line


def test_the_page_keeps_to_its_policy_and_the_model_is_described(client):
    answer = client.get("/")
    assert answer.status == 200 and answer.headers["content-security-policy"] == security_policy(answer.text)
    about = client.get("/api/model").json()
    assert (about["name"], about["kind"], about["limits"]) == ("a model", "captioner", LIMITS)
    assert (about["height"], about["width"], about["rows"], about["columns"]) == (HEIGHT, WIDTH, *opened().grid)
    assert not about["knows_scenes"] and DESCRIBE in client.get("/openapi.json").json()["paths"]


def test_an_answer_is_that_of_the_model(client):
    (pixels,) = pictures(1)
    found = client.post(DESCRIBE, {"picture": encoded(file_of(pixels))}).json()
    (expected,) = opened().describe([pixels], NUM_BEST)
    assert [text for text, _ in found["captions"]] == [each.text for each in expected.captions]
    log_p = [each.log_probability for each in expected.captions]
    assert [value for _, value in found["captions"]] == pytest.approx(log_p, abs=1e-3)
    attention = opened().attention(pixels, expected.captions[0])
    assert found["words"] == attention.words and found["truth"] is None
    weights = np.reshape(found["weights"], (len(found["words"]), found["rows"], found["columns"]))
    np.testing.assert_allclose(weights, attention.weights, atol=1e-4)
    jpeg = Image.open(io.BytesIO(base64.b64decode(found["picture"].partition("base64,")[2])))
    assert (jpeg.format, jpeg.size) == ("JPEG", (WIDTH, HEIGHT))


def test_a_scene_is_drawn_for_a_model_that_knows_scenes(client, monkeypatch):
    assert refused(client.post(DESCRIBE, {"scene": 1}), 422) == "this model was not trained on scenes: give a picture"
    monkeypatch.setattr(describing, "is_trained_on_scenes", lambda model: True)
    first, again, other = (client.post(DESCRIBE, {"scene": number}).json() for number in (1, 1, 2))
    assert first == again and first["truth"] != other["truth"] and first["picture"] != other["picture"]
    assert first["truth"] == make_scenes(1, np.random.default_rng([1, 4, 1])).captions[0]


@pytest.mark.parametrize(
    ("body", "line"),
    [
        ({}, "give a picture or the number of a scene"),
        ({"picture": "", "scene": 1}, "give a picture or the number of a scene, not both"),
        ({"picture": 1}, "picture: Input should be a valid string"),
        ({"scene": -1}, "scene: Input should be greater than or equal to 0"),
        ({"picture": "", "more": 1}, "more: Extra inputs are not permitted"),
        ({"picture": "no base64!"}, "picture must be a picture file in base64"),
        ({"picture": ""}, "the picture is empty"),
        ({"picture": encoded(b"no picture at all")}, "the picture is not a picture that Pillow can read"),
        ({"picture": encoded(file_of(pictures(1)[0])[:60])}, "the picture is damaged"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_mistake_is_one_line(client, body, line):
    assert refused(client.post(DESCRIBE, body), 422).startswith(line)


def test_large_pictures_are_refused(client, monkeypatch):
    monkeypatch.setitem(LIMITS, "bytes", 20)
    assert "at most 20 bytes, got" in refused(client.post(DESCRIBE, {"picture": encoded(file_of(pictures(1)[0]))}), 422)
    line = refused(client.post(DESCRIBE, {"picture": "A" * MAX_BODY_BYTES}), 413)
    assert line == f"the body must have at most {MAX_BODY_BYTES:,} bytes"


def test_requests_are_guarded(client):
    assert refused(client.post(DESCRIBE, content=b"{"), 400) == "the body is not JSON"
    refused(client.post(DESCRIBE, {"picture": ""}, headers={"origin": "http://example.org"}), 403)
    assert client.get(DESCRIBE).status == 405 and client.get("/api/translate").status == 404


def test_requests_at_the_same_time_have_their_own_answers(client):
    bodies = [{"picture": encoded(file_of(pixels))} for pixels in pictures(2)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: client.post(DESCRIBE, body).json(), bodies * 4))
    assert answers[::2] == answers[:1] * 4 and answers[1::2] == answers[1:2] * 4 and answers[0] != answers[1]


def test_serve_chooses_the_application_for_the_kind_of_model(monkeypatch):
    monkeypatch.setattr("theano_rnn.cli.model_loading.open_captioner", lambda path, machine: opened())
    app, close = serve.build_application(str(checkpoint()), MachineConfig(engine=ENGINES[-1]))
    close()
    assert app.post_paths == {DESCRIBE} and app.max_body_bytes == MAX_BODY_BYTES


def test_a_model_of_features_is_not_served():
    with pytest.raises(UserError, match="cannot be served"):
        ServedCaptioner(opened(True), "a model")


def test_answers_are_json_and_warming_up_needs_no_picture():
    warm_up(opened())
    served = ServedCaptioner(opened(), "caf\udce9")
    answer = served.answer(encoded(file_of(pictures(1)[0], "JPEG")))
    assert json.loads(json.dumps(answer, allow_nan=False))["words"] == answer["words"] and served.name == "caf?"
