"""The web application with a tiny model: correct answers, all limits and errors, and malformed requests."""

import asyncio
import json
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from play_models import completed, opened, scored

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
from web_client import Client

from theano_rnn.serving.playing import LIMITS, ServedModel
from theano_rnn.serving.request_batching import QueueFullError
from theano_rnn.serving.web import COMPLETE, SCORE, create_application
from theano_rnn.view.pages import security_policy

TEXT = 'She was happy. "Oh!" Emma was not <b>, Zorblax. '


@pytest.fixture(scope="module")
def client():
    _, batcher, served = opened()
    client = Client(create_application(served, batcher))
    yield client
    client.close()


@pytest.fixture
def client_with():
    """Returns a function that makes a client of an application with the given batcher."""
    clients = []

    def make(batcher):
        clients.append(Client(create_application(opened()[2], batcher)))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def refused(answer, status):
    """Check an error response. Returns its one-line message."""
    assert answer.status == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    (key, line), = answer.json().items()
    assert key == "error" and line and line.isascii() and line.isprintable() and len(line) <= 200
    return line


def test_the_page_is_there_and_keeps_to_its_policy(client):
    answer = client.get("/")
    assert answer.status == 200 and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == security_policy(answer.text)
    assert '"name":"a model"' in answer.text


def test_the_model_is_described(client):
    _, _, served = opened()
    assert client.get("/api/model").json() == json.loads(json.dumps(served.about()))


def test_the_name_of_a_model_need_not_be_utf_8():
    model, batcher, _ = opened()
    client = Client(create_application(ServedModel(model, "caf\udce9.safetensors"), batcher))
    try:
        assert client.get("/api/model").json()["name"] == "caf?.safetensors"
        assert client.get("/openapi.json").status == 200
        assert '"name":"caf?.safetensors"' in client.get("/").text
    finally:
        client.close()


def test_a_score_is_that_of_the_model(client):
    answer = client.post("/api/score", {"text": TEXT, "temperature": 0.5, "num_candidates": 3})
    assert answer.json() == json.loads(json.dumps(scored(TEXT, 0.5, 3)))
    assert client.post("/api/score", {"text": TEXT}).json() == json.loads(json.dumps(scored(TEXT)))


def test_continuations_are_those_of_the_model(client):
    asked = {"num_samples": 4, "max_tokens": 7, "seed": 3, "temperature": 0.7, "top_k": 9, "top_p": 0.8}
    config = {name: asked.pop(name) for name in ("temperature", "top_k", "top_p")}
    answer = client.post("/api/complete", {"prompt": TEXT, **asked, **config})
    assert answer.json() == {"samples": completed(TEXT, **asked, config=config)}


def test_whole_numbers_may_be_written_with_a_point(client):
    expected = client.post(COMPLETE, {"prompt": "She", "num_samples": 2, "seed": 3}).json()
    assert client.post(COMPLETE, {"prompt": "She", "num_samples": 2.0, "seed": 3.0}).json() == expected


def test_the_interface_is_described_and_has_no_pages_that_load_scripts_from_elsewhere(client):
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/api/model", "/api/score", "/api/complete"}
    fields = described["components"]["schemas"]["CompleteRequest"]["properties"]
    assert fields["top_k"]["anyOf"][0] == {"type": "integer", "minimum": 1, "maximum": 1_000_000}
    limits = {name: (field.get("minimum"), field.get("maximum")) for name, field in fields.items()}
    assert limits["num_samples"] == (1, LIMITS["samples"]) and limits["max_tokens"] == (1, LIMITS["new_tokens"])
    for path in ("/docs", "/redoc"):
        refused(client.get(path), 404)


REFUSALS = [
    (SCORE, {}, 422), (SCORE, [], 422), (SCORE, None, 422), (SCORE, "a", 422), (SCORE, {"text": 5}, 422),
    (SCORE, {"text": None}, 422), (SCORE, {"text": ["a"]}, 422), (SCORE, {"text": "a", "more": 1}, 422),
    (SCORE, {"text": "x" * (LIMITS["characters"] + 1)}, 422), (SCORE, {"text": "a " * (LIMITS["tokens"] + 1)}, 422),
    (SCORE, {"text": "a", "temperature": -0.1}, 422), (SCORE, {"text": "a", "temperature": 5.1}, 422),
    (SCORE, {"text": "a", "temperature": "1"}, 422), (SCORE, {"text": "a", "temperature": True}, 422),
    (SCORE, {"text": "a", "num_candidates": 0}, 422), (SCORE, {"text": "a", "num_candidates": 51}, 422),
    (SCORE, {"text": "a", "num_candidates": 1.5}, 422), (SCORE, {"text": "a", "num_candidates": True}, 422),
    (COMPLETE, {"text": "a"}, 422), (COMPLETE, {"prompt": "a", "num_samples": 0}, 422),
    (COMPLETE, {"prompt": "a", "num_samples": 9}, 422), (COMPLETE, {"prompt": "a", "max_tokens": 0}, 422),
    (COMPLETE, {"prompt": "a", "max_tokens": 201}, 422), (COMPLETE, {"prompt": "a", "top_k": 0}, 422),
    (COMPLETE, {"prompt": "a", "top_p": 0}, 422), (COMPLETE, {"prompt": "a", "top_p": 1.01}, 422),
    (COMPLETE, {"prompt": "a", "seed": -1}, 422), (COMPLETE, {"prompt": "a", "seed": 2**70}, 422),
]  # fmt: skip
RAW = [
    (b"", 422), (b"{", 400), (b'{"text": "a"}}', 400), (b"\xff\xfe", 400), (b"[" * 60_000, 400),
    (b'{"text": "\xc3\x28"}', 400),
    (b'{"text": "a", "temperature": NaN}', 422), (b'{"text": "a", "temperature": Infinity}', 422),
    (b'{"text": "a", "temperature": 1e999}', 422), (b'{"text": "\\ud800"}', 422), (b'{"\\ud800": "a"}', 422),
    (b'{"text": "a", "num_candidates": ' + b"9" * 5000 + b"}", 400), (b'{"text": "' + b"x" * 70_000 + b'"}', 413),
]  # fmt: skip


@pytest.mark.parametrize(("path", "body", "status"), REFUSALS, ids=[f"{n}" for n in range(len(REFUSALS))])
def test_what_is_not_as_described_is_refused_in_one_line(client, path, body, status):
    refused(client.post(path, body), status)


@pytest.mark.parametrize(("body", "status"), RAW, ids=[repr(body[:20]) for body, _ in RAW])
def test_a_body_that_is_no_proper_json_is_refused_in_one_line(client, body, status):
    refused(client.post(SCORE, content=body), status)


def test_a_long_body_without_a_length_is_refused(client):
    chunks = (b"x" * 1000 for _ in range(100))
    refused(client.post(SCORE, content=chunks), 413)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/score", 405), ("POST", "/", 405), ("POST", "/api/model", 405),
     ("PUT", "/api/score", 405), ("DELETE", "/api/model", 405), ("OPTIONS", "/api/score", 405),
     ("GET", "/nothing", 404), ("GET", "/../setup.cfg", 404), ("GET", "/%00", 404)],
)  # fmt: skip
def test_other_methods_and_paths_are_refused(client, method, path, status):
    refused(client.request(method, path), status)


def test_the_name_of_another_server_and_the_page_of_another_are_refused(client):
    refused(client.get("/", host="example.org"), 421)
    refused(client.post(SCORE, {"text": "a"}, headers={"origin": "http://example.org"}), 403)
    refused(client.post(SCORE, content='{"text": "a"}', headers={"content-type": "text/plain"}), 415)


@pytest.mark.parametrize(
    "text", ["\0", "a\0b", "x" * 10_000, "😀" * 5_000, ". " * 900, "<script>", "\u202e", "'" * 1_900, "\u2028", "\r\n"]
)
def test_odd_texts_are_answered(client, text):
    answer = client.post(SCORE, {"text": text})
    assert answer.status == 200
    assert "".join(piece["text"] for piece in answer.json()["pieces"]) + answer.json()["rest"] == text
    assert client.post(COMPLETE, {"prompt": text, "max_tokens": 2}).status == 200


def malformed(rng):
    """Returns a valid body after a few random changes of its values or bytes."""
    values = [None, True, -1, 0, 1e308, 2**63, "", "a", "\ud800", "\0", [], {}, {"text": {}}, "x" * 300, 0.5, "😀. He"]
    names = ["text", "prompt", "top_p", "seed", "temperature", "more"]
    pieces = [b'"', b"\\", b"{", b"\xff", b"\xed\xa0\x80", b"NaN", b"1e999", b"", b",", b"\\u0000", b"[" * 99]
    body = {"text": "She was"} if rng.random() < 0.5 else {"prompt": "Oh", "max_tokens": 2, "seed": 1}
    for _ in range(rng.integers(3)):
        body[names[rng.integers(len(names))]] = values[rng.integers(len(values))]
    data = bytearray(json.dumps(body).encode())
    for _ in range(rng.integers(3)):
        place = int(rng.integers(len(data) + 1))
        data[place : place + int(rng.integers(4))] = pieces[rng.integers(len(pieces))]
    return bytes(data)


def test_malformed_bodies_are_answered_or_refused(client):
    rng, statuses = np.random.default_rng(11), []
    for _ in range(400):
        path = SCORE if rng.random() < 0.5 else COMPLETE
        answer = client.post(path, content=malformed(rng))
        statuses.append(answer.status)
        if answer.status == 200:
            json.loads(answer.text, parse_constant=pytest.fail)
        else:
            refused(answer, answer.status)
    assert set(statuses) == {200, 400, 422}
    assert client.post(SCORE, {"text": TEXT}).status == 200


def test_many_at_a_time_get_the_numbers_that_each_gets_alone(client):
    def ask(number):
        text = " ".join(["She was not at all happy. Oh!", "Emma", "was"][: number % 3 + 1] * (number % 5 + 1))
        if number % 4 == 3:
            return client.post(COMPLETE, {"prompt": text, "seed": number}).json()["samples"]
        answer = client.post(SCORE, {"text": text}).json()
        return [piece["log_probability"] for piece in answer["pieces"]] + [answer["total"]]

    alone = [ask(number) for number in range(50)]
    with ThreadPoolExecutor(50) as pool:
        together = list(pool.map(ask, range(50)))
    for one, other in zip(alone, together):
        assert one == other if isinstance(one[0], str) else one == pytest.approx(other, abs=2e-5)


# Failures behind the application


class FakeBatcher:
    """A batcher that raises an error, or never finishes a request."""

    def __init__(self, error=None):
        self.error, self.futures = error, []

    def submit_all(self, requests):
        if self.error:
            raise self.error
        self.futures += [Future() for _ in requests]
        return self.futures[-len(requests) :]


def test_a_busy_server_says_when_to_come_again(client_with):
    answer = client_with(FakeBatcher(QueueFullError("too many"))).post(SCORE, {"text": "a"})
    assert "too many requests are waiting" in refused(answer, 503)
    assert answer.headers["retry-after"] == "1"


def test_a_bug_is_one_line_without_details_for_the_client(client_with):
    answer = client_with(FakeBatcher(ZeroDivisionError("secret"))).post(SCORE, {"text": "a"})
    assert refused(answer, 500) == "internal error"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_disconnecting_client_cancels_its_requests():
    batcher = FakeBatcher()
    app = create_application(opened()[2], batcher)
    body = json.dumps({"prompt": "She", "num_samples": 4}).encode()
    messages = iter([{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}])

    async def receive():
        return next(messages)

    async def send(message):
        pass

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": COMPLETE, "raw_path": COMPLETE.encode(), "query_string": b"",
             "scheme": "http", "http_version": "1.1", "headers": headers}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    assert len(batcher.futures) == 4 and all(future.cancelled() for future in batcher.futures)
