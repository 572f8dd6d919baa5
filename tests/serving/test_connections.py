"""Connections that send no request are closed, and leave room for those that do."""

import asyncio
import json
import socket
import threading
import time

import pytest

pytest.importorskip("uvicorn")
import uvicorn

from theano_rnn.serving.connections import limited_connections
from theano_rnn.serving.web_guard import Guard

REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
HEAD_SECONDS = 0.5


async def slow(scope, receive, send):
    """An application that answers after twice the time that a head may take."""
    await asyncio.sleep(2 * HEAD_SECONDS if scope["path"] == "/slow" else 0)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture
def server(request):
    """The port of a server for three connections, and its guard."""
    connections, num_busy = limited_connections(3, getattr(request, "param", HEAD_SECONDS))
    guard = Guard(slow, post_paths=())
    config = uvicorn.Config(guard, http=connections, loop="asyncio", lifespan="off", log_level="error")
    running = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            guard.num_busy = num_busy
            yield listener.getsockname()[1], guard
        finally:
            running.should_exit = True
            thread.join()


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def answer(connection, request=REQUEST):
    """The whole response, until its body has come."""
    connection.sendall(request)
    received = connection.recv(10_000)
    while received and not received.partition(b"\r\n\r\n")[2]:
        received += connection.recv(10_000)
    return received


def is_closed(connection):
    """Waits until the server closes the connection or sends something."""
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: local"])
def test_a_connection_without_a_whole_head_is_closed(server, beginning):
    with connect(server[0]) as connection:
        connection.sendall(beginning)
        assert is_closed(connection)


def test_a_further_head_has_the_same_time(server):
    with connect(server[0]) as connection:
        assert answer(connection).startswith(b"HTTP/1.1 200")
        connection.sendall(b"GET / HTT")
        assert is_closed(connection)


def test_a_slow_answer_is_waited_for(server):
    with connect(server[0]) as connection:
        assert answer(connection, REQUEST.replace(b"/ ", b"/slow ")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("server", [600.0], indirect=True)
def test_silent_connections_lock_nobody_out(server):
    """Those that have been silent longest are closed, long before their time is over; the latest stay."""
    silent = [connect(server[0]) for _ in range(10)]
    started = time.monotonic()
    with connect(server[0]) as connection:
        assert answer(connection).startswith(b"HTTP/1.1 200")
    assert time.monotonic() - started < 20
    assert all(map(is_closed, silent[:7]))
    assert answer(silent[-1]).startswith(b"HTTP/1.1 200")
    for connection in silent:
        connection.close()


def test_too_many_requests_at_a_time_are_told_to_come_again(server):
    port, guard = server
    guard.is_full = lambda: guard.num_busy() > 2
    slow_ones = [connect(port) for _ in range(2)]
    for connection in slow_ones:
        connection.sendall(REQUEST.replace(b"/ ", b"/slow "))
    while guard.num_busy() < 2:
        time.sleep(0.01)
    with connect(port) as connection:
        head, _, body = answer(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503") and b"retry-after: 5" in head and b"x-content-type-options" in head
    assert json.loads(body) == {"error": "too many connections: try again in a few seconds"}
    for connection in slow_ones:
        assert connection.recv(10_000).startswith(b"HTTP/1.1 200")
        connection.close()
