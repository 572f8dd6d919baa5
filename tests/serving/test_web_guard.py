"""The guard around a fake application: which requests it passes on, and how much of a body it reads."""

import asyncio
import json

import pytest

from theano_rnn.serving import web_guard
from theano_rnn.serving.web_guard import MAX_BODY_BYTES, MAX_DISCARDED_BYTES, Guard

JSON = {"content-type": "application/json"}


class Exchange:
    """One request to a guarded application, with the body in `chunks`, and its response."""

    def __init__(self, method="POST", headers=None, chunks=(b"{}",), seconds=0.0, **options):
        self.method, self.chunks, self.seconds, self.options = method, iter(chunks), seconds, options
        self.headers = {"host": "localhost:8000", **(JSON if method == "POST" else {}), **(headers or {})}
        self.num_read, self.sent = 0, []

    async def app(self, scope, receive, send):
        self.body = (await receive())["body"] if scope["method"] == "POST" else b""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-own", b"1")]})
        await send({"type": "http.response.body", "body": b"fine"})

    async def refuse(self, scope, receive, send):
        await send({"type": "http.response.start", "status": 405, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def receive(self):
        await asyncio.sleep(self.seconds)
        chunk = next(self.chunks, None)
        if isinstance(chunk, dict):
            return chunk
        self.num_read += len(chunk or b"")
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(self, message):
        self.sent.append(message)

    def run(self, repeated=()):
        headers = [(name.encode(), value.encode()) for name, value in [*self.headers.items(), *repeated]]
        scope = {"type": "http", "method": self.method, "path": "/", "scheme": "http", "headers": headers}
        asyncio.run(Guard(self.app, **{"post_paths": ["/"], **self.options})(scope, self.receive, self.send))
        if not self.sent:
            return None
        self.answer = {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}
        return self.sent[0]["status"]

    @property
    def error(self):
        return json.loads(self.sent[1]["body"])["error"]


def test_a_body_is_handed_on_whole_once_it_is_there():
    exchange = Exchange(chunks=[b"ab", b"", b"c"])
    assert exchange.run() == 200 and exchange.body == b"abc"
    assert Exchange(chunks=[b"a" * MAX_BODY_BYTES]).run() == 200


@pytest.mark.parametrize("status", [200, 403])
def test_every_answer_says_what_its_page_may_do(status):
    exchange = Exchange(headers={"origin": "http://localhost:8000" if status == 200 else "http://other"})
    assert exchange.run() == status
    assert exchange.answer["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
    assert exchange.answer["x-content-type-options"] == "nosniff"
    assert exchange.answer["cache-control"] == "no-store"
    assert ("x-own" in exchange.answer) == (status == 200)


def test_a_long_body_is_discarded_as_it_comes_and_an_endless_one_is_left():
    kilobyte = b"x" * 1024
    exchange = Exchange(chunks=[kilobyte] * 65)
    assert exchange.run() == 413 and exchange.num_read == 65 * 1024
    assert exchange.error == "the body must have at most 65,536 bytes"
    endless = Exchange(chunks=iter(lambda: kilobyte, None))
    assert endless.run() == 413 and endless.num_read <= MAX_DISCARDED_BYTES + 1024


@pytest.mark.parametrize("length", [str(MAX_DISCARDED_BYTES + 1), "9" * 400])
def test_a_body_that_is_said_to_be_long_is_not_waited_for(length):
    exchange = Exchange(headers={"content-length": length}, chunks=[b"x"])
    assert exchange.run() == 413 and exchange.num_read == 0


def test_a_body_that_does_not_come_is_not_waited_for_long(monkeypatch):
    monkeypatch.setattr(web_guard, "BODY_SECONDS", 0.01)
    assert Exchange(seconds=0.2).run() == 408


def test_a_client_that_goes_away_is_not_answered():
    assert Exchange(chunks=[b"a", {"type": "http.disconnect"}]).run() is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "LOCALHOST"}, 200),
        ({"host": "127.0.0.1:1234"}, 200),
        ({"host": "[::1]:1234"}, 200),
        ({"host": "[::1]"}, 200),
        ({"host": "example.org"}, 421),
        ({"host": "localhost.example.org:8000"}, 421),
        ({"host": "127.0.0.1.example.org"}, 421),
        ({"host": "10.0.0.1"}, 421),
        ({"host": ""}, 421),
        ({"host": "localhost:80:80"}, 421),
        ({"host": "localhost@example.org"}, 421),
        ({"origin": "http://localhost:8000"}, 200),
        ({"origin": "http://localhost:9000"}, 403),
        ({"origin": "https://localhost:8000"}, 403),
        ({"origin": "http://example.org"}, 403),
        ({"origin": "null"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"content-type": "application/json; charset=UTF-8"}, 200),
        ({"content-type": "text/plain"}, 415),
        ({"content-type": ""}, 415),
        ({"content-type": "application/json; charset=utf-16"}, 415),
        ({"content-type": "application/x-www-form-urlencoded"}, 415),
        ({"content-encoding": "gzip"}, 415),
    ],
)
def test_a_post_must_be_json_from_a_page_of_this_server(headers, status):
    exchange = Exchange(headers=headers)
    assert exchange.run() == status
    if status != 200:
        assert exchange.num_read == 0 and "\n" not in exchange.error


def test_other_names_are_answered_where_they_are_this_servers():
    assert Exchange("GET", {"host": "box:80"}, hosts=["box"]).run() == 200
    for host, status in (("192.168.1.9:80", 200), ("[fe80::1]", 200), ("example.org", 421)):
        assert Exchange("GET", {"host": host}, allow_any_ip=True).run() == status


def test_a_post_to_another_path_is_left_to_the_application_without_its_body():
    exchange = Exchange(headers={"content-type": "text/plain"}, chunks=iter(lambda: b"x" * 1024, None), post_paths=[])
    exchange.app = exchange.refuse
    assert exchange.run() == 405 and exchange.num_read == 0
    assert Exchange(headers={"origin": "http://example.org"}, post_paths=[]).run() == 403


def test_a_header_that_decides_must_come_once():
    assert Exchange().run(repeated=[("host", "localhost")]) == 400
    assert Exchange().run(repeated=[("accept", "a"), ("accept", "b")]) == 200
