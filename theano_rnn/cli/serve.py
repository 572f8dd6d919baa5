"""``serve``: serve a model on this machine, as a web page to play with and as a JSON interface."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import ipaddress
import logging
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from theano_rnn.cli.console import compiling_progress, is_terminal
from theano_rnn.cli.files import DEFAULT_CHECKPOINT_HELP, choose_checkpoint
from theano_rnn.cli.machine import prepare_machine
from theano_rnn.cli.options import Parser, add_flags, sections_from
from theano_rnn.settings.base import UserError
from theano_rnn.settings.machine import MachineConfig
from theano_rnn.settings.translation import ServedTranslatorConfig

NEEDED = ("fastapi", "uvicorn")
MAX_CONNECTIONS = 500  # at the same time; further ones get status 503
IDLE_SECONDS = 15  # an idle connection is closed after this time
NO_OTHERS = ServedTranslatorConfig()
SHUTDOWN_SECONDS = 3  # time for running requests to finish when the server stops


def build(prog: str) -> argparse.ArgumentParser:
    parser = Parser(
        prog=prog,
        description="Play with a trained model in a browser. A language model shows the probability of each word of "
        "your text and the likeliest next words, and completes the text. A classifier shows the probability of each "
        "label and what each word adds to it. A translator translates and shows what each word attends to. A "
        "recognizer shows which words it hears in a recording, and when. A captioner describes a picture and shows "
        "where each word looks. The JSON interface has the same functions: /api/model, and /api/score and "
        "/api/complete, /api/classify, /api/translate, /api/recognize or /api/describe; /openapi.json describes it.",
        epilog=f"examples:\n  {prog}\n  {prog} runs/model.safetensors --open\n  {prog} --port 0      any free port\n"
        f"  {prog} runs/en-de.safetensors --lm runs/de.safetensors",
    )
    parser.add_argument("checkpoint", nargs="?", metavar="CHECKPOINT", help=DEFAULT_CHECKPOINT_HELP)
    parser.add_argument("--host", default="127.0.0.1", metavar="ADDRESS",
                        help="address to listen on; 0.0.0.0: other machines can use the model, too "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--port", type=int, default=8000, metavar="N", help="port to listen on; 0 for any free one "
                        "(default: %(default)s)")  # fmt: skip
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    add_flags(parser, "further models, only of a translator", ServedTranslatorConfig)
    add_flags(parser, "this machine", MachineConfig)
    return parser


def run(args: argparse.Namespace, root: Path | None) -> int:
    if not all(map(importlib.util.find_spec, NEEDED)):
        raise UserError("serve needs FastAPI and uvicorn, which are not installed: run pip install 'theano_rnn[serve]'")
    if not 0 <= args.port <= 65535:
        raise UserError(f"--port must be from 0 to 65535, got {args.port}")
    args.checkpoint = choose_checkpoint(args.checkpoint)
    sections = sections_from(vars(args), {"machine": MachineConfig, "further models": ServedTranslatorConfig})
    further = sections["further models"]
    if "lm_weight" in vars(args) and further.lm is None:
        raise UserError("--lm-weight needs a language model: add --lm, or leave it out")
    with bind_socket(args.host, args.port) as listener:
        machine = prepare_machine(sections["machine"])
        app, close = build_application(args.checkpoint, machine, further, **allowed_hosts(args.host, listener))
        host = f"[{args.host}]" if ":" in args.host else args.host
        serve(app, listener, f"http://{host}:{listener.getsockname()[1]}", is_opened=args.open)
        close()
    return 0


def build_application(
    path: str, machine: MachineConfig, further: ServedTranslatorConfig = NO_OTHERS, **options: Any
) -> tuple[Any, Callable[[], None]]:
    """Load and compile a model. Returns the application for its kind, and a function that ends its thread.

    `further` are models that a translator searches with; `options` are as of `Guard`.

    Raises
    ------
    UserError
        There are further models, but the model is no translator.
    """
    from theano_rnn.cli.model_loading import (
        open_captioner,
        open_classifier,
        open_language_model,
        open_recognizer,
        open_translator,
    )
    from theano_rnn.learning.checkpoint import load
    from theano_rnn.serving.classifying import OneThread
    from theano_rnn.tasks.registry import TASKS

    kind, name = load(path).kind, Path(path).name
    if kind == TASKS["translate"].kind:
        from theano_rnn.serving import translating
        from theano_rnn.serving.web_translator import create_translator_application

        open_together = functools.partial(open_translator, ensemble=further.ensemble, lm=further.lm)
        weight = None if further.lm is None else further.lm_weight
        translator = load_and_warm_up(
            path, machine, open_together, functools.partial(translating.warm_up, lm_weight=weight)
        )
        thread = OneThread()
        served = translating.ServedTranslator(translator, name, weight)
        return create_translator_application(served, thread, **options), thread.close
    if further.ensemble or further.lm is not None:
        raise UserError(f"{path} is a {kind}, but {'--ensemble' if further.ensemble else '--lm'} is for translators: "
                        "leave it out")  # fmt: skip
    if kind == TASKS["recognize"].kind:
        from theano_rnn.serving import recognizing
        from theano_rnn.serving.web_recognizer import create_recognizer_application

        recognizer = load_and_warm_up(path, machine, open_recognizer, recognizing.warm_up)
        thread = OneThread()
        served_recognizer = recognizing.ServedRecognizer(recognizer, name)
        return create_recognizer_application(served_recognizer, thread, **options), thread.close
    if kind == TASKS["describe"].kind:
        from theano_rnn.serving import describing
        from theano_rnn.serving.web_captioner import create_captioner_application

        captioner = load_and_warm_up(path, machine, open_captioner, describing.warm_up)
        thread = OneThread()
        served_captioner = describing.ServedCaptioner(captioner, name)
        return create_captioner_application(served_captioner, thread, **options), thread.close
    if kind == TASKS["classify"].kind:
        from theano_rnn.serving import classifying
        from theano_rnn.serving.web_classifier import create_classifier_application

        classifier = load_and_warm_up(path, machine, open_classifier, classifying.warm_up)
        thread = OneThread()
        served_classifier = classifying.ServedClassifier(classifier, name)
        return create_classifier_application(served_classifier, thread, **options), thread.close
    from theano_rnn.serving import playing
    from theano_rnn.serving.request_batching import RequestBatcher
    from theano_rnn.serving.web import create_application

    def warm_up(model: Any) -> None:
        playing.warm_up(model.function("step"), model.model.initial_state, model.model.config.vocab_size)

    trained = load_and_warm_up(path, machine, open_language_model, warm_up)
    batcher = RequestBatcher(trained.function("step"), trained.model.initial_state)
    return create_application(playing.ServedModel(trained, name), batcher, **options), batcher.close


def bind_socket(host: str, port: int) -> socket.socket:
    """Returns a socket bound to an address. It does not listen yet, so that no client waits while the model is loaded.

    Raises
    ------
    UserError
        The address is in use, or is not an address of this machine.
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
        raise UserError(f"cannot listen on {host} port {port}: {reason}. Give another --host or --port; --port 0 "
                        "takes any free port") from None  # fmt: skip
    return listener


def load_and_warm_up(
    path: str, machine: MachineConfig, open_model: Callable[..., Any], warm_up: Callable[[Any], None]
) -> Any:
    """Load a model and compile its functions for the usual shapes, with a progress display."""
    model = open_model(path, machine)
    progress, close = compiling_progress(machine.engine)
    try:
        if is_terminal():  # otherwise the line has been printed already
            progress(0)
        warm_up(model)
    finally:
        close()
    return model


def allowed_hosts(host: str, listener: socket.socket) -> dict[str, Any]:
    """Returns the hosts that requests may name, as options of `Guard`. Warns if other machines can connect."""
    from theano_rnn.serving.web_guard import LOCAL_HOSTS

    if not ipaddress.ip_address(listener.getsockname()[0]).is_unspecified:
        return {"hosts": [*LOCAL_HOSTS, host]}
    print("warning: other machines can use this model, without a password and without encryption", file=sys.stderr)
    return {"hosts": [*LOCAL_HOSTS, (name := socket.gethostname()), f"{name}.local"], "allow_any_ip": True}


def serve(app: Any, listener: socket.socket, address: str, *, is_opened: bool) -> None:
    """Answer requests until Ctrl-C or SIGTERM."""
    import uvicorn

    from theano_rnn.serving.connections import limited_connections

    def stop(number: int, frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    connections, num_busy = limited_connections(MAX_CONNECTIONS, IDLE_SECONDS)
    app.is_full = lambda: num_busy() > MAX_CONNECTIONS
    config = uvicorn.Config(
        app, http=connections, loop="asyncio", ws="none", lifespan="off",
        log_level="error", access_log=False, server_header=False, timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )  # fmt: skip
    is_news = lambda record: not record.getMessage().startswith("Cancel ")  # noqa: E731 - the user has stopped it
    logging.getLogger("uvicorn.error").addFilter(is_news)
    signal.signal(signal.SIGTERM, stop)  # uvicorn raises the signal again after it has stopped
    try:
        listener.listen(config.backlog)
        print(f"{address}  (press Ctrl-C to stop)", flush=True)
        if is_opened:
            import webbrowser

            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        print("stopped", flush=True)
