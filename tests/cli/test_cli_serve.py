"""serve: it starts, prints its address, answers, and stops on a signal; mistakes are reported in one line."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
from conftest import ENGINES
from play_models import checkpoint

from theano_rnn.cli import serve
from theano_rnn.cli.main import command
from theano_rnn.settings.base import UserError

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
START = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "  # pytest may run where it is ignored
    "from theano_rnn.cli.main import main; raise SystemExit(main())"
)


class Server:
    """``serve`` in a process of its own, on a free port."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, "-c", START, "serve", str(checkpoint()), "--port", "0", "--engine", ENGINES[-1],
             *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
        self.line = self.process.stdout.readline()
        self.port = int(self.line.split()[0].rpartition(":")[2]) if self.line else None

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text

    def end(self, number):
        """Send a signal. Returns the exit status and the output after the address."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, "".join(x for x in err.splitlines(True) if not x.startswith("compiling "))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_it_answers_until_it_is_stopped(number):
    server = Server()
    try:
        assert server.line == f"http://127.0.0.1:{server.port}  (press Ctrl-C to stop)\n"
        assert server.ask("GET", "/")[0] == 200
        assert server.ask("HEAD", "/") == (200, "")
        status, text = server.ask("POST", "/api/complete", '{"prompt": "She was", "num_samples": 2}')
        assert status == 200 and len(json.loads(text)["samples"]) == 2
        assert server.end(number) == (0, "stopped\n", "")
    finally:
        server.process.kill()


@pytest.mark.slow
def test_clients_that_leave_and_stopping_in_mid_answer_leave_no_traceback():
    server = Server()
    try:
        body = json.dumps({"prompt": "She was", "num_samples": 8, "max_tokens": 200, "temperature": 5})
        for _ in range(8):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("POST", "/api/complete", body, {"content-type": "application/json"})
            connection.close()
        waiting = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=60) for _ in range(40)]
        for connection in waiting:
            connection.request("POST", "/api/complete", body, {"content-type": "application/json"})
        assert server.end(signal.SIGINT) == (0, "stopped\n", "")
        for connection in waiting:
            connection.close()
    finally:
        server.process.kill()


@pytest.mark.parametrize(("host", "is_warned"), [("0", True), ("::", True), ("localhost", False), ("::1", False)])
def test_addresses_that_others_reach_are_known_by_what_they_are(host, is_warned, capsys):
    try:
        listener = serve.bind_socket(host, 0)
    except UserError:
        if ":" not in host:
            raise
        pytest.skip("no IPv6 here")
    with listener:
        names = serve.allowed_hosts(host, listener)
    assert names.get("allow_any_ip", False) == is_warned == bool(capsys.readouterr().err)


@pytest.mark.slow
def test_it_warns_where_other_machines_can_reach_it_and_goes_by_its_addresses():
    server = Server("--host", "0.0.0.0")
    try:
        assert server.ask("GET", "/api/model")[0] == 200
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        for host, status in (("192.0.2.7", 200), (socket.gethostname(), 200), ("example.org", 421)):
            connection.request("GET", "/api/model", headers={"host": host})
            response = connection.getresponse()
            response.read()
            assert response.status == status
        connection.close()
        status, out, err = server.end(signal.SIGINT)
        assert (status, out) == (0, "stopped\n")
        assert err == "warning: other machines can use this model, without a password and without encryption\n"
    finally:
        server.process.kill()


@pytest.fixture
def refused(capsys, monkeypatch):
    """Returns a function that starts the command, which must fail, and returns its status and one-line message."""
    monkeypatch.setattr(serve, "prepare_machine", lambda config: config)

    def run(*arguments):
        status = command("serve", [str(a) for a in arguments], prog="serve")
        out, err = capsys.readouterr()
        assert not out and err.count("\n") == 1
        return status, err

    return run


def test_a_port_in_use_is_reported(refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, line = refused(checkpoint(), "--port", port)
        assert status == 2
        assert line.startswith(f"serve: cannot listen on 127.0.0.1 port {port}: address already in use")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--port", "65536"], "--port must be from 0 to 65535, got 65536"),
        (["--port", "-1"], "--port must be from 0 to 65535, got -1"),
        (["--port", "a"], "argument --port: invalid int value"),
        (["--port", "0", "--host", "no.such.host.invalid"], "cannot listen on no.such.host.invalid port 0: "),
        (["--port", "0", "--host", "192.0.2.1"], "cannot listen on 192.0.2.1 port 0: cannot assign requested address"),
        (["--port", "0", "--host", "a" * 70 + ".b"], "cannot listen on a"),
        (["--nonsense"], "unrecognized arguments"),
    ],
)
def test_an_invalid_address_is_reported(refused, arguments, part):
    status, line = refused(checkpoint(), *arguments)
    assert status == 2 and part in line


def test_a_weight_of_no_language_model_is_reported(refused):
    status, line = refused(checkpoint(), "--port", "0", "--lm-weight", "0.3")
    assert status == 2 and line.startswith("serve: --lm-weight needs a language model: add --lm")


def test_a_checkpoint_that_is_none_is_said_before_anything_is_compiled(refused, tmp_path):
    status, line = refused(tmp_path / "nothing", "--port", "0")
    assert status == 2 and line.startswith(f"serve: cannot find the model {tmp_path}/nothing: train one, ")
    (tmp_path / "text").write_text("no checkpoint")
    status, line = refused(tmp_path / "text", "--port", "0")
    assert status == 2 and "damaged or not a checkpoint" in line


def test_missing_packages_are_named(refused, monkeypatch):
    monkeypatch.setattr(serve, "NEEDED", ("fastapi", "no_such_package"))
    status, line = refused(checkpoint(), "--port", "0")
    assert status == 2 and line.endswith("run pip install 'theano_rnn[serve]'\n")
