"""The web application of ``serve`` for a recognizer: a page for recordings, and the same as a JSON interface."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, Field

from theano_rnn.serving.classifying import OneThread
from theano_rnn.serving.recognizing import LIMITS, MAX_BODY_BYTES, ServedRecognizer
from theano_rnn.serving.web_common import (
    POST_STATUSES,
    StrictModel,
    error_responses,
    json_bytes,
    new_application,
    unless_disconnected,
)
from theano_rnn.serving.web_guard import Guard
from theano_rnn.view.pages import build_page

RECOGNIZE = "/api/recognize"


class RecognizeRequest(StrictModel):
    audio: str = Field(max_length=MAX_BODY_BYTES, description="a sound file, such as WAV, in base64")
    text: str | None = Field(None, max_length=LIMITS["characters"], description="find where these words are said, "
                             "instead of recognizing any")  # fmt: skip


class Picture(BaseModel):
    rows: int
    columns: int
    values: str = Field(description="bytes from 0 to 255 in base64, row by row")
    seconds: float = Field(description="the duration of all columns")


class Spectrogram(Picture):
    top_hz: float | None = Field(description="the frequency of the first row")


class Posteriors(Picture):
    labels: list[str] = Field(description="the label of each row; 255 stands for the probability 1")


PlacedLabel = tuple[str, float, float, float]
PlacedWord = tuple[str, float, float, float, list[PlacedLabel]]


class RecognizeAnswer(BaseModel):
    name: str
    text: str
    seconds: float
    words: list[PlacedWord] = Field(description="word, start and end in seconds, probability, and labels like those in "
                                    "`labels`")  # fmt: skip
    labels: list[PlacedLabel] = Field(description="label, start and end in seconds, probability")
    results: list[tuple[str, float, float]] = Field(description="readings, the best first: text, ln P(text | sound) in "
                                                    "nats, and the score that ranks them")  # fmt: skip
    spectrogram: Spectrogram
    posteriors: Posteriors
    audio: None


def create_recognizer_application(served: ServedRecognizer, thread: OneThread, **options: Any) -> Guard:
    """Build the application behind its guard; `options` are as of `Guard`."""
    app = new_application(build_page("recognize", model=served.about()), served.about,
                          f"Recognize speech with the recognizer {served.name}.")  # fmt: skip

    @app.post(RECOGNIZE, response_model=RecognizeAnswer, responses=error_responses(*POST_STATUSES))
    async def recognize(body: RecognizeRequest, request: Request) -> Response:
        """Returns what is recognized in a recording, and when."""
        future = thread.submit(served.answer, body.audio, body.text)
        try:
            answer = await unless_disconnected(request, asyncio.wrap_future(future))
        finally:
            future.cancel()
        return Response(json_bytes(answer), media_type="application/json")

    return Guard(app, post_paths=[RECOGNIZE], max_body_bytes=MAX_BODY_BYTES, **options)
