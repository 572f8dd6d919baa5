"""A guard for a web application on the user's own machine: unsafe requests never reach the application.

Other web pages in the same browser can send requests to this server too. So the Host header must name this server
(against DNS rebinding), a POST must be JSON and come from this server's own page, and every response has security
headers that restrict its page. The size of a body is counted while it arrives, so a body that is too long is never held
in memory. `Guard` is an ASGI application around another one; it depends on no framework.
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
MAX_BODY_BYTES = 64 * 1024
MAX_DISCARDED_BYTES = 4 * 1024 * 1024  # of a refused body that are read, so that its sender gets to read the response
BODY_SECONDS = 20.0  # time limit for a body to arrive
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
DEFAULT_POLICY = "default-src 'none'; frame-ancestors 'none'"


class RefusedError(Exception):
    """A request is refused, with this HTTP status and this one-line message."""

    def __init__(self, status: int, line: str) -> None:
        super().__init__(line)
        self.status, self.line = status, line


class Guard:
    """An ASGI application that passes only safe requests on to `app`.

    Parameters
    ----------
    app
    post_paths
        Paths that accept POST. Their body must be JSON and is read completely before `app` is called. Other paths are
        passed on without reading their body.
    hosts
        Names and addresses of this server, as in a Host header, without the port.
    allow_any_ip
        Accept any IP address in the Host header too, because the server listens on all of them. That is safe: DNS
        rebinding needs a name.
    max_body_bytes
        The greatest size of a body.
    """

    def __init__(
        self, app: App, *, post_paths: Iterable[str], hosts: Iterable[str] = LOCAL_HOSTS, allow_any_ip: bool = False,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:  # fmt: skip
        self.app, self.allow_any_ip, self.max_body_bytes = app, allow_any_ip, max_body_bytes
        self.is_full: Callable[[], bool] = lambda: False  # replaced by the server: are there too many connections?
        self.post_paths, self.hosts = set(post_paths), {host.lower() for host in hosts}

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        has_begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", [])}
                extra = {**HEADERS, "content-security-policy": DEFAULT_POLICY}
                message["headers"] = list(message.get("headers", [])) + [
                    (name.encode(), value.encode()) for name, value in extra.items() if name.encode() not in present
                ]
            await send(message)

        try:
            if self.is_full():
                raise RefusedError(503, "too many connections: try again in a few seconds")
            headers = self.check_headers(scope)
            if self.has_body(scope):
                receive = replay_body(await read_body(headers, receive, self.max_body_bytes), receive)
        except RefusedError as refusal:
            await send_error(send_with_headers, refusal.status, refusal.line)
            return
        except ConnectionError:
            return  # the client has disconnected
        try:
            await self.app(scope, receive, send_with_headers)
        except asyncio.CancelledError:  # the server stops; uvicorn would log a traceback
            if not has_begun:
                await send_error(send_with_headers, 503, "the server is stopping")

    def has_body(self, scope: Any) -> bool:
        """Returns whether the request has a body that `app` reads."""
        return scope["method"] == "POST" and scope["path"] in self.post_paths

    def check_headers(self, scope: Any) -> dict[str, str]:
        """Check the headers. Returns them by name in lower case.

        Raises
        ------
        RefusedError
            The request is not for this server, does not come from its page, or its body must be JSON and is not.
        """
        headers: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1").lower()
            if key in headers and key in ("host", "origin", "content-type", "content-length"):
                raise RefusedError(400, f"the header {key} occurs twice: send it once")
            headers[key] = value.decode("latin-1")
        host = headers.get("host", "")
        if not self.names_this_server(host):
            raise RefusedError(421, "the Host header does not name this server")
        if scope["method"] not in ("GET", "HEAD"):
            is_foreign = "origin" in headers and headers["origin"].lower() != f"{scope['scheme']}://{host.lower()}"
            if is_foreign or headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
                raise RefusedError(403, "requests from other web pages are refused")
        if self.has_body(scope):
            kind, _, charset = headers.get("content-type", "").lower().partition(";")
            if kind.strip() != "application/json" or charset.replace(" ", "") not in ("", "charset=utf-8"):
                raise RefusedError(415, "the body must be JSON in UTF-8: send Content-Type: application/json")
            if headers.get("content-encoding", "identity").lower() != "identity":
                raise RefusedError(415, "the body must not be compressed")
        return headers

    def names_this_server(self, host: str) -> bool:
        """Returns whether a Host header names this server.

        >>> guard = Guard(None, post_paths=[], hosts=["localhost", "::1"])
        >>> hosts = ("LOCALHOST:80", "[::1]:8000", "example.org", "localhost.example.org", "")
        >>> [guard.names_this_server(host) for host in hosts]
        [True, True, False, False, False]
        """
        name, bracket, port = host.lower().rpartition(":")
        if not bracket or not (port == "" or (port.isascii() and port.isdigit())):
            name = host.lower()
        if name.startswith("[") and name.endswith("]"):
            name = name[1:-1]
        return name in self.hosts or (self.allow_any_ip and is_address(name))


def is_address(name: str) -> bool:
    """Returns whether `name` is an IP address."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def read_body(headers: dict[str, str], receive: Receive, max_bytes: int = MAX_BODY_BYTES) -> bytes:
    """Read the complete body.

    Raises
    ------
    RefusedError
        It is too long, according to its header or when it arrives, or it takes too long to arrive.
    ConnectionError
        The client has disconnected.
    """
    discarded = max(MAX_DISCARDED_BYTES, max_bytes + MAX_BODY_BYTES)
    too_long = RefusedError(413, f"the body must have at most {max_bytes:,} bytes")
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared[:20]) > discarded:
        raise too_long
    chunks: list[bytes] = []
    count = 0

    async def read() -> None:
        nonlocal count
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionError("the client has disconnected")
            chunk = message.get("body", b"")
            count += len(chunk)
            if count <= max_bytes:
                chunks.append(chunk)
            else:
                chunks.clear()
            if count > discarded or not message.get("more_body", False):
                return

    try:
        await asyncio.wait_for(read(), BODY_SECONDS)
    except asyncio.TimeoutError:
        raise RefusedError(408, f"the body must arrive within {BODY_SECONDS:.0f} seconds") from None
    if count > max_bytes:
        raise too_long
    return b"".join(chunks)


def replay_body(body: bytes, receive: Receive) -> Receive:
    """Returns a `receive` function that first returns the body, which has already been read."""
    is_sent = False

    async def receive_body_first() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_body_first


async def send_error(send: Send, status: int, line: str) -> None:
    """Send a response with an error status and a one-line message as JSON."""
    body = json.dumps({"error": line}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status in (408, 413, 503):
        headers.append((b"connection", b"close"))
    if status == 503:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
