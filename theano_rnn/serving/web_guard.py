"""What stands before a web application on somebody's own machine: it sees no request that it should not answer.

Other web pages in the same browser can send requests to it too. So the Host header must name this server (against DNS
rebinding), a POST must be JSON and come from this server's own page, and every answer says what its page may do. Bodies
are counted as they come in and refused before they are held in memory. An ASGI application around another; it knows no
framework.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
MOST_BYTES = 64 * 1024  # of a body
MOST_DISCARDED = 4 * 1024 * 1024  # bytes of a refused body that are waited for, so that its sender reads the answer
BODY_SECONDS = 20.0  # for a body to come
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
DEFAULT_POLICY = "default-src 'none'; frame-ancestors 'none'"


class RefusedError(Exception):
    """A request that is not answered: the status and one line."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


class Guard:
    """An ASGI application that lets only proper requests through to `app`.

    Parameters
    ----------
    app
    post_paths
        What takes a POST: the body must be JSON, and is read before `app` is asked. Others are left to `app` without.
    hosts
        Names and addresses of this server, as a Host header has them, without the port.
    is_any_address
        Any IP address is this server's, too: it listens on all of them. Only names can be made to point elsewhere.
    """

    def __init__(
        self, app: App, *, post_paths: Iterable[str], hosts: Iterable[str] = LOCAL_HOSTS, is_any_address: bool = False
    ) -> None:
        self.app, self.is_any_address = app, is_any_address
        self.post_paths, self.hosts = set(post_paths), {host.lower() for host in hosts}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name.lower() for name, _ in message.get("headers", [])}
                extra = {**HEADERS, "content-security-policy": DEFAULT_POLICY}
                message["headers"] = list(message.get("headers", [])) + [
                    (name.encode(), value.encode()) for name, value in extra.items() if name.encode() not in there
                ]
            await send(message)

        try:
            headers = self.checked_headers(scope)
            if self.has_body(scope):
                receive = replayed(await whole_body(headers, receive), receive)
        except RefusedError as refusal:
            await answer(sending, refusal.status, refusal.line)
            return
        except ConnectionError:
            return  # nobody is there to be answered
        await self.app(scope, receive, sending)

    def has_body(self, scope: Any) -> bool:
        """Whether a request has a body that `app` reads."""
        return scope["method"] == "POST" and scope["path"] in self.post_paths

    def checked_headers(self, scope: Any) -> dict[str, str]:
        """The headers by name in lower case.

        Raises
        ------
        RefusedError
            The request is not for this server, or not from its page, or no JSON where it must be.
        """
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1").lower()
            if key in headers and key in ("host", "origin", "content-type", "content-length"):
                raise RefusedError(400, f"the header {key} came twice")
            headers[key] = value.decode("latin-1")
        host = headers.get("host", "")
        if not self.is_ours(host):
            raise RefusedError(421, "this server does not go by the name in the Host header")
        if scope["method"] not in ("GET", "HEAD"):
            is_foreign = "origin" in headers and headers["origin"].lower() != f"{scope['scheme']}://{host.lower()}"
            if is_foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                raise RefusedError(403, "requests from other web pages are not answered")
        if self.has_body(scope):
            kind, _, charset = headers.get("content-type", "").lower().partition(";")
            if kind.strip() != "application/json" or charset.replace(" ", "") not in ("", "charset=utf-8"):
                raise RefusedError(415, "the body must be JSON in UTF-8: Content-Type: application/json")
            if headers.get("content-encoding", "identity").lower() != "identity":
                raise RefusedError(415, "the body must not be compressed")
        return headers

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this server.

        >>> guard = Guard(None, post_paths=[], hosts=["localhost", "::1"])
        >>> [guard.is_ours(host) for host in ("LOCALHOST:80", "[::1]:8000", "example.org", "localhost.example.org", "")]
        [True, True, False, False, False]
        """
        name, bracket, port = host.lower().rpartition(":")
        if not bracket or not (port == "" or (port.isascii() and port.isdigit())):
            name = host.lower()
        if name.startswith("[") and name.endswith("]"):
            name = name[1:-1]
        return name in self.hosts or (self.is_any_address and is_address(name))


def is_address(name: str) -> bool:
    """Whether `name` is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def whole_body(headers: dict[str, str], receive: Receive) -> bytes:
    """The body, once it is all there.

    Raises
    ------
    RefusedError
        It is too long, by its header or as it comes; or it takes too long to come.
    ConnectionError
        The client has gone.
    """
    too_long = RefusedError(413, f"the body must have at most {MOST_BYTES:,} bytes")
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared[:20]) > MOST_DISCARDED:
        raise too_long
    chunks: list[bytes] = []
    count = 0

    async def read() -> None:
        nonlocal count
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client has gone")
            chunk = message.get("body", b"")
            count += len(chunk)
            if count <= MOST_BYTES:
                chunks.append(chunk)
            else:
                chunks.clear()
            if count > MOST_DISCARDED or not message.get("more_body", False):
                return

    try:
        await asyncio.wait_for(read(), BODY_SECONDS)
    except asyncio.TimeoutError:
        raise RefusedError(408, f"the body must come within {BODY_SECONDS:.0f} seconds") from None
    if count > MOST_BYTES:
        raise too_long
    return b"".join(chunks)


def replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` with the body that has been read from it before it."""
    is_sent = False

    async def receiving() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receiving


async def answer(send: Send, status: int, line: str) -> None:
    """Answer with a status and one line as JSON."""
    body = json.dumps({"error": line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (408, 413):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
