"""The web application of ``serve`` for a translator: a page that translates, and the same as a JSON interface."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request, Response
from pydantic import BaseModel, Field

from theano_rnn.serving.classifying import OneThread
from theano_rnn.serving.translating import LIMITS, ServedTranslator
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

TRANSLATE = "/api/translate"


class TranslateRequest(StrictModel):
    text: str = Field(max_length=LIMITS["characters"], description="the text to translate, one sentence per line")


class FoundTranslation(BaseModel):
    text: str
    log_probability: float = Field(description="ln P(text | source) with the end of the sentence, in nats")
    lm_log_probability: float | None = Field(description="ln P(text) of the language model, if there is one")
    score: float = Field(description="what ranks the translations: the log-probability per token, with that of the "
                         "language model times its weight")  # fmt: skip


class AttentionTable(BaseModel):
    source: list[str] = Field(description="tokens of the source; the last one is the end of the sentence")
    target: list[str] = Field(description="tokens of the best translation; the last one is its end")
    weights: list[list[float]] = Field(description="of each target token, how much it attends to each source token")


class TranslatedLine(BaseModel):
    source: str
    translations: list[FoundTranslation] = Field(description="the best first; none if the line is blank")
    attention: AttentionTable | None
    num_unknown: int = Field(description="source tokens that are not in the vocabulary")


class TranslateAnswer(BaseModel):
    lines: list[TranslatedLine]


def create_translator_application(served: ServedTranslator, thread: OneThread, **options: Any) -> Guard:
    """Build the application behind its guard; `options` are as of `Guard`."""
    app = new_application(build_page("translate", model=served.about()), served.about,
                          f"Translate with the translator {served.name}.")  # fmt: skip

    @app.post(TRANSLATE, response_model=TranslateAnswer, responses=error_responses(*POST_STATUSES))
    async def translate(body: TranslateRequest, request: Request) -> Response:
        """Returns the translations of each line, and what the best one attends to."""
        future = thread.submit(served.answer, body.text)
        try:
            answer = await unless_disconnected(request, asyncio.wrap_future(future))
        finally:
            future.cancel()
        return Response(json_bytes(answer), media_type="application/json")

    return Guard(app, post_paths=[TRANSLATE], **options)
