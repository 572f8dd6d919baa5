"""The web application of ``serve`` for a language model: a page to play with it, and the same as a JSON interface.

`web_guard` and strict Pydantic models check each request. A few threads tokenize texts and build answers, and all
requests share the model's steps (`request_batching`), so the event loop never blocks. Every error is one line:
``{"error": "..."}``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import Request, Response
from pydantic import BaseModel, BeforeValidator, Field

from theano_rnn.serving.playing import LIMITS, ServedModel
from theano_rnn.serving.request_batching import ModelRequest, RequestBatcher
from theano_rnn.serving.web_common import (
    POST_STATUSES,
    Integer,
    StrictModel,
    error_responses,
    integral_to_int,
    json_bytes,
    new_application,
    unless_disconnected,
)
from theano_rnn.serving.web_guard import Guard
from theano_rnn.view.pages import build_page

POST_PATHS = SCORE, COMPLETE = "/api/score", "/api/complete"
NUM_THREADS = 4  # for tokenizing and for building answers


class ScoreRequest(StrictModel):
    text: str = Field(max_length=LIMITS["characters"], description="the text to score")
    temperature: float = Field(1.0, ge=0, le=LIMITS["temperature"], description="for the candidates' probabilities")
    num_candidates: Integer = Field(8, ge=1, le=LIMITS["candidates"], description="number of next tokens to list")


class CompleteRequest(StrictModel):
    prompt: str = Field(max_length=LIMITS["characters"], description="the text to continue")
    num_samples: Integer = Field(3, ge=1, le=LIMITS["samples"], description="number of continuations")
    max_tokens: Integer = Field(
        100, ge=1, le=LIMITS["new_tokens"], description="length limit of a sample, which also ends with its paragraph"
    )
    length: Annotated[int, Field(ge=1, le=LIMITS["new_tokens"]), BeforeValidator(integral_to_int)] | None = Field(
        None, description="exact number of tokens, over as many sentences and paragraphs as it takes"
    )
    temperature: float = Field(1.0, ge=0, le=LIMITS["temperature"], description="0 always takes the likeliest token")
    top_k: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(integral_to_int)] | None = Field(
        None, description="sample only from this many likeliest tokens"
    )
    top_p: float = Field(
        1.0, gt=0, le=1, description="sample only from the fewest likeliest tokens that together have this probability"
    )
    seed: Integer = Field(1, ge=0, le=2**53 - 1, description="random seed; the same seed gives the same samples")


class ScoredPiece(BaseModel):
    text: str = Field(description="the token as typed, with blanks before it; empty for the end of a sentence")
    token: str
    is_unknown: bool
    log_probability: float = Field(description="of the token given those before it, in nats")
    guesses: list[tuple[str, float]] = Field(description="likeliest tokens at this place, with probabilities")


class Candidate(BaseModel):
    token: str
    text: str = Field(description="the text that it appends; empty if typing cannot append it")
    probability: float = Field(description="at the requested temperature")


class ScoreAnswer(BaseModel):
    pieces: list[ScoredPiece]
    rest: str = Field(description="blanks after the last piece")
    total: float = Field(description="log-probability of all pieces, in nats")
    perplexity: float | None = Field(description="null if the text has no tokens")
    unknown: int = Field(description="number of tokens that are not in the vocabulary")
    candidates: list[Candidate]


class CompleteAnswer(BaseModel):
    samples: list[str] = Field(description="continuations, without the prompt")


def create_application(served: ServedModel, batcher: RequestBatcher, **options: Any) -> Guard:
    """Build the application behind its guard; `options` are as of `Guard`."""
    app = new_application(build_page("play", model=served.about()), served.about,
                          f"Score and continue texts with the language model {served.name}.")  # fmt: skip
    threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="texts")

    async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a slow function in one of the threads. Returns its result."""
        return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)

    @app.post(SCORE, response_model=ScoreAnswer, responses=error_responses(*POST_STATUSES))
    async def score(body: ScoreRequest, request: Request) -> Response:
        """Returns the log-probability of each token of a text, and likely next tokens."""
        text = await in_thread(served.tokenize, body.text)
        (found,) = await run_requests(request, batcher, [served.score_request(text)])

        def answer() -> bytes:
            return json_bytes(served.score_answer(text, found, temperature=body.temperature,
                                                  num_candidates=body.num_candidates))  # fmt: skip

        return Response(await in_thread(answer), media_type="application/json")

    @app.post(COMPLETE, response_model=CompleteAnswer, responses=error_responses(*POST_STATUSES))
    async def complete(body: CompleteRequest, request: Request) -> Response:
        """Returns sampled continuations of a prompt, each up to the end of a paragraph, or of the given length."""
        prompt = await in_thread(served.read_prompt, body.prompt)
        samples = served.samples(prompt, **body.model_dump(exclude={"prompt"}))
        found = await run_requests(request, batcher, samples.requests)
        return Response(json_bytes({"samples": await in_thread(samples.texts, found)}), media_type="application/json")

    return Guard(app, post_paths=POST_PATHS, **options)


async def run_requests(request: Request, batcher: RequestBatcher, requests: Sequence[ModelRequest]) -> list[Any]:
    """Run requests to the model. Returns their results; cancels the requests if the client disconnects."""
    futures: list[Future[Any]] = batcher.submit_all(requests)
    try:
        found: list[Any] = await unless_disconnected(request, asyncio.gather(*map(asyncio.wrap_future, futures)))
        return found
    finally:
        for future in futures:  # if one has failed, the others are still running
            future.cancel()
