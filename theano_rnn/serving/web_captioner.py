"""The web application of ``serve`` for a captioner: a page for pictures, and the same as a JSON interface."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, Field

from theano_rnn.serving.classifying import OneThread
from theano_rnn.serving.describing import MAX_BODY_BYTES, ServedCaptioner
from theano_rnn.serving.web_common import (
    POST_STATUSES,
    Integer,
    StrictModel,
    error_responses,
    json_bytes,
    new_application,
    unless_disconnected,
)
from theano_rnn.serving.web_guard import Guard
from theano_rnn.view.pages import build_page

DESCRIBE = "/api/describe"


class DescribeRequest(StrictModel):
    picture: str | None = Field(None, max_length=MAX_BODY_BYTES, description="a picture file, such as PNG or JPEG, in "
                                "base64")  # fmt: skip
    scene: Integer | None = Field(None, ge=0, lt=1 << 31, description="instead of a picture, the number of a scene to "
                                  "draw, for a model that was trained on scenes")  # fmt: skip


class DescribeAnswer(BaseModel):
    captions: list[tuple[str, float]] = Field(description="the best first: text, and ln P(text | picture) in nats")
    words: list[str] = Field(description="of the best caption; the last one is its end")
    rows: int = Field(description="of regions")
    columns: int
    weights: list[list[float]] = Field(description="of each word, how much it attends to each region, row by row")
    picture: str = Field(description="as the model sees it, turned upright and on white: a data URL of a JPEG file")
    truth: str | None = Field(description="the true caption of a scene")


def create_captioner_application(served: ServedCaptioner, thread: OneThread, **options: Any) -> Guard:
    """Build the application behind its guard; `options` are as of `Guard`."""
    app = new_application(build_page("describe", model=served.about()), served.about,
                          f"Describe pictures with the captioner {served.name}.")  # fmt: skip

    @app.post(DESCRIBE, response_model=DescribeAnswer, responses=error_responses(*POST_STATUSES))
    async def describe(body: DescribeRequest, request: Request) -> Response:
        """Returns captions of a picture, and what each word of the best one attends to."""
        future = thread.submit(served.answer, body.picture, body.scene)
        try:
            answer = await unless_disconnected(request, asyncio.wrap_future(future))
        finally:
            future.cancel()
        return Response(json_bytes(answer), media_type="application/json")

    return Guard(app, post_paths=[DESCRIBE], max_body_bytes=MAX_BODY_BYTES, **options)
