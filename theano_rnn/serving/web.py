"""The web application of ``serve``: a page to play with a model, and the same functions as a JSON interface.

This is the only module that knows FastAPI. `web_guard` and strict Pydantic models check each request. A few threads
tokenize texts and build answers, and all requests share the model's steps (`request_batching`), so the event loop never
blocks. Every error is one line: ``{"error": "..."}``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.exceptions import HTTPException

from theano_rnn.serving.playing import LIMITS, ServedModel
from theano_rnn.serving.request_batching import ModelRequest, QueueFullError, RequestBatcher
from theano_rnn.serving.web_guard import Guard
from theano_rnn.settings.base import UserError
from theano_rnn.view.pages import build_page, security_policy

POST_PATHS = SCORE, COMPLETE = "/api/score", "/api/complete"
NUM_THREADS = 4  # for tokenizing and for building answers
CLIENT_DISCONNECTED = 499  # a status that nobody reads
MAX_MESSAGE_LENGTH = 200  # characters of an error


class StrictModel(BaseModel):
    """A request body: no type conversions, no unknown fields, no infinite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def integral_to_int(value: Any) -> Any:
    """Convert a float without a fraction to an int, because 3.0 is an integer in JSON too."""
    return int(value) if type(value) is float and value.is_integer() else value


Integer = Annotated[int, BeforeValidator(integral_to_int)]


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


class Problem(BaseModel):
    error: str


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of responses with these error statuses."""
    return {status: {"model": Problem} for status in statuses}


def create_application(served: ServedModel, batcher: RequestBatcher, **options: Any) -> Guard:
    """Build the application behind its guard; `options` are as of `Guard`."""
    app = FastAPI(title="theano_rnn", description=f"Score and continue texts with the language model {served.name}.",
                  docs_url=None, redoc_url=None, responses=error_responses(400, 403, 421))  # fmt: skip
    html = build_page("play", model=served.about())
    policy = security_policy(html)
    threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="texts")

    async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a slow function in one of the threads. Returns its result."""
        return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)

    @app.api_route("/", methods=["GET", "HEAD"], response_class=HTMLResponse, include_in_schema=False)
    async def play() -> Response:
        return HTMLResponse(html, headers={"content-security-policy": policy})

    @app.get("/api/model")
    async def model() -> dict[str, Any]:
        """Name, sizes and limits."""
        return served.about()

    @app.post(SCORE, response_model=ScoreAnswer, responses=error_responses(408, 413, 415, 422, 503))
    async def score(body: ScoreRequest, request: Request) -> Response:
        """Returns the log-probability of each token of a text, and likely next tokens."""
        text = await in_thread(served.tokenize, body.text)
        (found,) = await run_requests(request, batcher, [served.score_request(text)])

        def answer() -> bytes:
            return json_bytes(served.score_answer(text, found, temperature=body.temperature,
                                                  num_candidates=body.num_candidates))  # fmt: skip

        return Response(await in_thread(answer), media_type="application/json")

    @app.post(COMPLETE, response_model=CompleteAnswer, responses=error_responses(408, 413, 415, 422, 503))
    async def complete(body: CompleteRequest, request: Request) -> Response:
        """Returns sampled continuations of a prompt, each up to the end of a paragraph, or of the given length."""
        prompt = await in_thread(served.read_prompt, body.prompt)
        samples = served.samples(prompt, **body.model_dump(exclude={"prompt"}))
        found = await run_requests(request, batcher, samples.requests)
        return Response(json_bytes({"samples": await in_thread(samples.texts, found)}), media_type="application/json")

    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return Guard(app, post_paths=POST_PATHS, **options)


def json_bytes(value: Any) -> bytes:
    """Encode `value` as JSON in ASCII.

    Raises
    ------
    ValueError
        It contains a number that JSON cannot represent, such as infinity.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


async def run_requests(request: Request, batcher: RequestBatcher, requests: Sequence[ModelRequest]) -> list[Any]:
    """Run requests to the model. Returns their results; cancels the requests if the client disconnects."""
    futures: list[Future[Any]] = batcher.submit_all(requests)
    found: asyncio.Future[list[Any]] = asyncio.gather(*map(asyncio.wrap_future, futures))
    found.add_done_callback(lambda done: done.cancelled() or done.exception())  # else asyncio reports a cancelled one
    disconnected: asyncio.Future[Any] = asyncio.ensure_future(wait_for_disconnect(request))
    try:
        await asyncio.wait({found, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if not found.done():
            raise HTTPException(CLIENT_DISCONNECTED, "the client has disconnected")
        return found.result()
    finally:
        disconnected.cancel()
        found.cancel()
        for future in futures:  # if one has failed, the others are still running
            future.cancel()


async def wait_for_disconnect(request: Request) -> None:
    """Wait until the client disconnects."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def error_response(status: int, line: str, headers: Any = None) -> Response:
    """Response with an error as JSON: one line of printable ASCII, whatever `line` contains."""
    line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    line = line.encode("ascii", "backslashreplace").decode()
    return JSONResponse({"error": line[:MAX_MESSAGE_LENGTH]}, status, headers=headers)


async def on_invalid_body(_: Request, error: Any) -> Response:
    """Response to a body that is not JSON or does not match its model; it names the first mistake."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return error_response(400, "the body is not JSON")
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return error_response(422, f"{place[:60] or 'the body'}: {first['msg']}")


async def on_http_error(_: Request, error: Any) -> Response:
    return error_response(error.status_code, str(error.detail), error.headers)


async def on_user_error(_: Request, error: Any) -> Response:
    return error_response(422, str(error))


async def on_full_queue(_: Request, error: Any) -> Response:
    return error_response(503, "too many requests are waiting: try again in a second", {"retry-after": "1"})


async def on_internal_error(_: Request, error: Any) -> Response:
    return error_response(500, "internal error")


HANDLERS: dict[type[Exception], Callable[..., Any]] = {
    RequestValidationError: on_invalid_body, HTTPException: on_http_error, UserError: on_user_error,
    QueueFullError: on_full_queue, Exception: on_internal_error,
}  # fmt: skip
