"""``serve``: a page to play with a model in a browser, and the same as JSON, from this machine."""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

from theano_rnn.cli.console import compiling_progress, is_terminal
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.training import RunConfig

NEEDED = ("fastapi", "uvicorn")
CONNECTIONS = 500  # at a time; more get the status 503
IDLE_SECONDS = 15  # of a connection, before it is closed
LEAVING_SECONDS = 3  # that requests have to end in when the server stops


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Play with a trained model in a browser: how likely each word of a text is, what may come next, "
        "how the text goes on. The same as JSON: /api/model, /api/score, /api/complete; /openapi.json describes it.",
        epilog=f"examples:\n  {prog}\n  {prog} runs/model.safetensors --open\n  {prog} --port 0      any free port",
    )
    parser.add_argument("checkpoint", nargs="?", default=RunConfig.checkpoint, metavar="CHECKPOINT",
                        help="a trained model (default: %(default)s)")  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                        help="where to listen; 0.0.0.0: for other machines too (default: %(default)s)")  # fmt: skip
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="0: any free one (default: %(default)s)")
    parser.add_argument("--open", action="store_true", help="show the page in a browser")
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    if not all(map(importlib.util.find_spec, NEEDED)):
        raise UserError("serve needs FastAPI and uvicorn: pip install 'theano_rnn[serve]'")
    if not 0 <= args.port <= 65535:
        raise UserError(f"--port must be from 0 to 65535, got {args.port}")
    sections = sections_from(vars(args), {"machine": MachineConfig})
    with listening(args.host, args.port) as listener:
        machine = prepare_machine(sections["machine"])
        from theano_rnn.serving.playing import Player
        from theano_rnn.serving.request_batching import Columns
        from theano_rnn.serving.web import application

        trained = opened_and_warm(args.checkpoint, machine)
        columns = Columns(trained.function("step"), trained.model.initial_state)
        app = application(Player(trained, Path(args.checkpoint).name), columns, **own_names(args.host, listener))
        host = f"[{args.host}]" if ":" in args.host else args.host
        serve(app, listener, f"http://{host}:{listener.getsockname()[1]}", is_opened=args.open)
        columns.close()
    return 0


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to an address, not yet listening, so that nobody waits for an answer.

    Raises
    ------
    UserError
        The address is taken, or not this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UserError(f"cannot listen on {host} port {port}: {reason} (--port 0 takes any free port)") from None
    return listener


def opened_and_warm(path: str, machine: MachineConfig) -> Any:
    """The model of a checkpoint, its step compiled for all batch sizes; the wait is shown."""
    from theano_rnn.cli.model_loading import open_language_model
    from theano_rnn.serving.playing import warm_up

    trained = open_language_model(path, machine)
    step = trained.function("step")
    progress, close = compiling_progress(machine.engine)
    try:
        if is_terminal():  # elsewhere the line has been printed
            progress(0)
        warm_up(step, trained.model.initial_state, trained.model.config.vocab_size)
    finally:
        close()
    return trained


def own_names(host: str, listener: socket.socket) -> dict[str, Any]:
    """What this server is called, as options of `Guard`; one that listens everywhere goes by all its addresses."""
    from theano_rnn.serving.web_guard import LOCAL_HOSTS

    if not ipaddress.ip_address(listener.getsockname()[0]).is_unspecified:
        return {"hosts": [*LOCAL_HOSTS, host]}
    print("other machines can use this model: there is no password and no encryption", file=sys.stderr)
    return {"hosts": [*LOCAL_HOSTS, (name := socket.gethostname()), f"{name}.local"], "is_any_address": True}


def serve(app: Any, listener: socket.socket, address: str, *, is_opened: bool) -> None:
    """Answer requests until Ctrl-C or SIGTERM."""
    import uvicorn

    def stop(number: int, frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    config = uvicorn.Config(
        app, http="h11", loop="asyncio", ws="none", lifespan="off", log_level="error", access_log=False,
        server_header=False, limit_concurrency=CONNECTIONS, timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=LEAVING_SECONDS,
    )  # fmt: skip
    signal.signal(signal.SIGTERM, stop)  # uvicorn raises the signal again once it has stopped
    try:
        listener.listen(config.backlog)
        print(f"{address}  (Ctrl-C stops)", flush=True)
        if is_opened:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        print("stopped", flush=True)
