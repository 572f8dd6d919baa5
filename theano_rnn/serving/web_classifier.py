"""The web application of ``serve`` for a classifier: a page that labels a text, and the same as a JSON interface."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, Field

from theano_rnn.serving.classifying import LIMITS, OneThread, ServedClassifier
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

CLASSIFY = "/api/classify"


class ClassifyRequest(StrictModel):
    text: str = Field(max_length=LIMITS["characters"], description="the text to label")
    label: str | None = Field(None, description="the label to explain (default: the likeliest)")


class ExplainedPiece(BaseModel):
    text: str = Field(description="the token as typed, with blanks before it; empty for the end of a sentence")
    token: str
    is_unknown: bool
    contribution: float = Field(description="what it adds to the log-odds of the explained label, in nats")


class ClassifyAnswer(BaseModel):
    label: str | None = Field(description="the likeliest label; null if the text is blank")
    probabilities: list[tuple[str, float]] = Field(description="all labels, the likeliest first")
    explained: str | None = Field(description="the label that the contributions are about")
    pieces: list[ExplainedPiece]


def create_classifier_application(served: ServedClassifier, thread: OneThread, **options: Any) -> Guard:
    """Build the application behind its guard; `options` are as of `Guard`."""
    app = new_application(build_page("classify", model=served.about()), served.about,
                          f"Label texts with the classifier {served.name}.")  # fmt: skip

    @app.post(CLASSIFY, response_model=ClassifyAnswer, responses=error_responses(*POST_STATUSES))
    async def classify(body: ClassifyRequest, request: Request) -> Response:
        """Returns the probabilities of all labels of a text, and what each token adds to one of them."""
        future = thread.submit(served.answer, body.text, body.label)
        try:
            answer = await unless_disconnected(request, asyncio.wrap_future(future))
        finally:
            future.cancel()
        return Response(json_bytes(answer), media_type="application/json")

    return Guard(app, post_paths=[CLASSIFY], **options)
