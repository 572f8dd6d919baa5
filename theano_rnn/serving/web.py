"""The web application of ``serve``: a page to play with a model, and the same as JSON.

The only module that knows FastAPI. Requests are checked by `web_guard` and by strict models, text is cut and
answers are made in a few threads, and the model's steps are shared by all (`columns`); the event loop only waits. Every
error is one line: ``{"error": "..."}``.
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

from theano_rnn.serving.playing import LIMITS, Player
from theano_rnn.serving.request_batching import Busy, Column, Columns
from theano_rnn.serving.web_guard import Guard
from theano_rnn.settings.base import UserError
from theano_rnn.view.pages import page, security_policy

POST_PATHS = SCORE, COMPLETE = "/api/score", "/api/complete"
NUM_THREADS = 4  # that cut text and make answers
CLIENT_GONE = 499  # a status that nobody reads
MOST_IN_MESSAGE = 200  # characters of an error


class Strict(BaseModel):
    """Fields of the kinds they say, no others, no infinite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def whole(value: Any) -> Any:
    """A number without a fraction as an int: to JSON 3.0 is one, too."""
    return int(value) if type(value) is float and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(whole)]


class ScoreRequest(Strict):
    text: str = Field(max_length=LIMITS["characters"], description="what is scored")
    temperature: float = Field(1.0, ge=0, le=LIMITS["temperature"], description="of the candidates' probabilities")
    num_candidates: Whole = Field(8, ge=1, le=LIMITS["candidates"], description="likeliest next tokens that are told")


class CompleteRequest(Strict):
    prompt: str = Field(max_length=LIMITS["characters"], description="what is continued")
    num_samples: Whole = Field(3, ge=1, le=LIMITS["samples"])
    max_tokens: Whole = Field(40, ge=1, le=LIMITS["new_tokens"], description="of a sample; a sentence ends it, too")
    temperature: float = Field(1.0, ge=0, le=LIMITS["temperature"], description="0 takes the likeliest token each time")
    top_k: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(whole)] | None = Field(
        None, description="draw from this many likeliest tokens alone"
    )
    top_p: float = Field(1.0, gt=0, le=1, description="draw from the fewest tokens that have this probability together")
    seed: Whole = Field(1, ge=0, le=2**53 - 1, description="same seed, same samples")


class ScoredPiece(BaseModel):
    text: str = Field(description="as it was typed, blanks before it included; empty for the end of a sentence")
    token: str
    is_unknown: bool
    log_probability: float = Field(description="in nats, of the token given those before")
    guesses: list[tuple[str, float]] = Field(description="likeliest tokens in its place, with probabilities")


class Candidate(BaseModel):
    token: str
    text: str = Field(description="what it adds to the text; empty where typing cannot add it")
    probability: float = Field(description="at the temperature that was asked for")


class ScoreAnswer(BaseModel):
    pieces: list[ScoredPiece]
    rest: str = Field(description="blanks after the last piece")
    total: float = Field(description="log-probability of all pieces, in nats")
    perplexity: float | None = Field(description="none without tokens")
    unknown: int = Field(description="tokens that the vocabulary does not have")
    candidates: list[Candidate]


class CompleteAnswer(BaseModel):
    samples: list[str] = Field(description="what follows the prompt")


class Problem(BaseModel):
    error: str


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Problem} for status in statuses}


def application(player: Player, columns: Columns, **options: Any) -> Guard:
    """The whole application; `options` as of `Guard`."""
    app = FastAPI(title="theano_rnn", description=f"The language model {player.name}: texts scored and continued.",
                  docs_url=None, redoc_url=None, responses=refusals(400, 403, 421))  # fmt: skip
    html = page("play", model=player.about())
    policy = security_policy(html)
    threads = ThreadPoolExecutor(NUM_THREADS, thread_name_prefix="texts")

    async def apart(function: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a function that takes time, in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def play() -> Response:
        return HTMLResponse(html, headers={"content-security-policy": policy})

    @app.get("/api/model")
    async def model() -> dict[str, Any]:
        """Name, sizes and limits."""
        return player.about()

    @app.post(SCORE, response_model=ScoreAnswer, responses=refusals(408, 413, 415, 422, 503))
    async def score(asked: ScoreRequest, request: Request) -> Response:
        """How likely each token of a text is, and what may come next."""
        typed = await apart(player.typed, asked.text)
        (found,) = await results(request, columns, [player.scoring(typed)])

        def answer() -> bytes:
            return json_bytes(player.scores(typed, found, temperature=asked.temperature,
                                            num_candidates=asked.num_candidates))  # fmt: skip

        return Response(await apart(answer), media_type="application/json")

    @app.post(COMPLETE, response_model=CompleteAnswer, responses=refusals(408, 413, 415, 422, 503))
    async def complete(asked: CompleteRequest, request: Request) -> Response:
        """Continuations of a prompt, up to the end of a sentence."""
        typed = await apart(player.typed, asked.prompt)
        found = await results(request, columns, player.sampling(typed, **asked.model_dump(exclude={"prompt"})))
        return Response(json_bytes({"samples": await apart(player.texts, typed, found)}), media_type="application/json")

    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return Guard(app, post_paths=POST_PATHS, **options)


def json_bytes(value: Any) -> bytes:
    """`value` as JSON in ASCII.

    Raises
    ------
    ValueError
        It holds a number that JSON does not have, such as infinity.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


async def results(request: Request, columns: Columns, work: Sequence[Column]) -> list[Any]:
    """What the columns return; they are ended where the client goes away."""
    futures: list[Future[Any]] = columns.submit_all(work)
    found: asyncio.Future[list[Any]] = asyncio.gather(*map(asyncio.wrap_future, futures))
    leaving: asyncio.Future[Any] = asyncio.ensure_future(left(request))
    try:
        await asyncio.wait({found, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not found.done():
            raise HTTPException(CLIENT_GONE, "the client has gone")
        return found.result()
    finally:
        leaving.cancel()
        found.cancel()
        for future in futures:  # the others, where one has failed
            future.cancel()


async def left(request: Request) -> None:
    """Returns when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def problem(status: int, line: str, headers: Any = None) -> Response:
    """An error as JSON: one line of printable ASCII, whatever was asked for."""
    line = " ".join("".join(c if c.isprintable() else " " for c in line).split())
    line = line.encode("ascii", "backslashreplace").decode()
    return JSONResponse({"error": line[:MOST_IN_MESSAGE]}, status, headers=headers)


async def invalid(_: Request, error: Any) -> Response:
    """A body that is no JSON, or not what the models say: the first mistake."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return problem(400, "the body is not JSON")
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return problem(422, f"{place[:60] or 'the body'}: {first['msg']}")


async def refused(_: Request, error: Any) -> Response:
    return problem(error.status_code, str(error.detail), error.headers)


async def unusable(_: Request, error: Any) -> Response:
    return problem(422, str(error))


async def busy(_: Request, error: Any) -> Response:
    return problem(503, "the server has too much to do: try again in a second", {"retry-after": "1"})


async def failed(_: Request, error: Any) -> Response:
    return problem(500, "internal error")


HANDLERS: dict[type[Exception], Callable[..., Any]] = {
    RequestValidationError: invalid, HTTPException: refused, UserError: unusable, Busy: busy, Exception: failed,
}  # fmt: skip
