"""What the web applications of `serve` share: strict bodies, the page, and errors of one line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict
from starlette.exceptions import HTTPException

from theano_rnn.serving.request_batching import QueueFullError
from theano_rnn.settings.base import UserError
from theano_rnn.view.pages import security_policy

CLIENT_DISCONNECTED = 499  # a status that nobody reads
MAX_MESSAGE_LENGTH = 200  # characters of an error
POST_STATUSES = (408, 413, 415, 422, 503)


class StrictModel(BaseModel):
    """A request body: no type conversions, no unknown fields, no infinite numbers."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


def integral_to_int(value: Any) -> Any:
    """Convert a float without a fraction to an int, because 3.0 is an integer in JSON too."""
    return int(value) if type(value) is float and value.is_integer() else value


Integer = Annotated[int, BeforeValidator(integral_to_int)]


class Problem(BaseModel):
    error: str


def error_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of responses with these error statuses."""
    return {status: {"model": Problem} for status in statuses}


def new_application(html: str, about: Callable[[], dict[str, Any]], description: str) -> FastAPI:
    """Returns an application with a page, ``/api/model`` and errors of one line."""
    app = FastAPI(title="theano_rnn", description=description, docs_url=None, redoc_url=None,
                  responses=error_responses(400, 403, 421))  # fmt: skip
    policy = security_policy(html)

    @app.api_route("/", methods=["GET", "HEAD"], response_class=HTMLResponse, include_in_schema=False)
    async def page() -> Response:
        return HTMLResponse(html, headers={"content-security-policy": policy})

    @app.get("/api/model")
    async def model() -> dict[str, Any]:
        """Name, sizes and limits."""
        return about()

    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return app


def json_bytes(value: Any) -> bytes:
    """Encode `value` as JSON in ASCII.

    Raises
    ------
    ValueError
        It contains a number that JSON cannot represent, such as infinity.
    """
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode()


async def unless_disconnected(request: Request, found: asyncio.Future[Any]) -> Any:
    """Returns the result of a future. Raises `HTTPException`, and cancels the future, if the client disconnects."""
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


HANDLERS: dict[type[Exception], Callable[[Request, Any], Coroutine[Any, Any, Response]]] = {
    RequestValidationError: on_invalid_body, HTTPException: on_http_error, UserError: on_user_error,
    QueueFullError: on_full_queue, Exception: on_internal_error,
}  # fmt: skip
