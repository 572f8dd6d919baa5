"""Training on several devices and in several processes: updates equal those of one device on the whole batch."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from theano_rnn.learning.atomic_files import lock
from theano_rnn.learning.checkpoint import load

jax = pytest.importorskip("jax")

ROOT = Path(__file__).parents[2]
FLAGS = "--xla_force_host_platform_device_count={}"
SIZES = "--vocab-size 200 --embedding-size 5 --hidden-size 6 --batch-size 4 --bptt-steps 5 --engine jax --device cpu"


def environment(num_devices):
    """Returns environment variables that give a new process so many virtual devices."""
    kept = {name: value for name, value in os.environ.items() if name != "AESARA_FLAGS"}
    flags = f"{os.environ.get('XLA_FLAGS', '')} {FLAGS.format(num_devices)}"
    return kept | {"XLA_FLAGS": flags, "PYTHONPATH": str(ROOT)}


LABELLED = "--task classify --preset none --train text.txt --embedding-size 5 --hidden-size 6 --batch-size 20"
LABELLED += " --cell tanh --epochs 2 --sentences line --valid-fraction 0.1 --class-weights balanced"
LABELLED += " --engine jax --device cpu --no-curves"

TANH, LSTM, FILL = ("tanh", 4, "next"), ("lstm", 2, "next"), ("tanh", 2, "fill")
DESCRIBE = ("tanh", 2, "describe")


@pytest.mark.parametrize(
    ("dtype", "bound", "models"),
    [
        ("float64", 1e-9, [TANH, LSTM, FILL, DESCRIBE]),
        ("float32", 1e-3, [LSTM]),
    ],
)
@pytest.mark.slow
def test_devices_that_share_a_batch_follow_one_device(dtype, bound, models):
    wanted = [[cell, dtype, number, task] for cell, num_devices, task in models for number in (1, num_devices)]
    command = [sys.executable, str(ROOT / "tests" / "parallel_losses.py"), json.dumps(wanted)]
    done = subprocess.run(command, env=environment(4), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    losses = np.array(json.loads(done.stdout))
    np.testing.assert_allclose(losses[1::2], losses[::2], rtol=bound)
    assert (losses[:, -1] < losses[:, 0] - 0.1).all()


@pytest.fixture
def text(tmp_path):
    words = np.random.default_rng(0).choice(["oak", "elm", "ash", "fir"], size=(400, 6))
    (tmp_path / "text.txt").write_text("".join(" ".join(row) + ".\n\n" for row in words))
    return tmp_path


def train(folder, *arguments, num_devices=2):
    command = [sys.executable, str(ROOT / "scripts" / "train.py"), *SIZES.split(), *arguments]
    return subprocess.Popen(
        [*command, "--train", "text.txt"], cwd=folder, env=environment(num_devices), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def two_processes(folder, *arguments):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{free.getsockname()[1]}"
    return [
        train(folder, "--coordinator", coordinator, "--num-processes", "2", "--process-id", str(number),
              "--checkpoint", f"process{number}.safetensors", *arguments)
        for number in range(2)
    ]  # fmt: skip


def finished(processes, timeout=120):
    try:
        return [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
def test_two_processes_follow_one_and_the_first_alone_writes(text):
    sentences = (text / "text.txt").read_text()
    (text / "text.txt").write_text(sentences[: len(sentences) // 4])
    pair = two_processes(text, "--epochs", "2")
    outputs = finished(pair)
    assert [process.returncode for process in pair] == [0, 0], outputs
    assert not (text / "process1.safetensors").exists()
    alone = train(text, "--epochs", "2", "--checkpoint", "alone.safetensors", num_devices=1)
    finished([alone])
    together, one = (load(text / f"{name}.safetensors", resume=True) for name in ("process0", "alone"))
    for ours, theirs in zip(together.progress["records"], one.progress["records"]):
        assert ours == pytest.approx(theirs, rel=1e-3)
    for name, value in together.last.items():
        np.testing.assert_allclose(value, one.last[name], atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_another_number_of_devices_may_go_on(text):
    first = train(text, "--epochs", "2", "--num-devices", "2", "--checkpoint", "a.safetensors")
    line = ""
    while "epoch 1" not in line:
        line = first.stdout.readline()
        assert line or first.poll() is None
    first.send_signal(signal.SIGTERM)
    finished([first])
    second = train(text, "--resume", "--checkpoint", "a.safetensors", num_devices=1)
    _, errors = finished([second])[0]
    assert second.returncode == 0, errors
    assert load(text / "a.safetensors", resume=True).progress["is_finished"]


@pytest.mark.slow
def test_devices_that_share_labelled_texts_follow_one_device(tmp_path):
    """Some texts are so long that their batches have fewer columns; examples, too, are shared."""
    rng = np.random.default_rng(0)
    with open(tmp_path / "text.txt", "w") as file:
        for number in range(80):
            words = rng.choice(["oak", "elm", "ash", "fir"], 900 if number < 12 else rng.integers(2, 9))
            file.write(f"{'tree' if number % 2 else 'forest'}\t{' '.join(words)}\n")
    found = []
    for number in (1, 2):
        name = f"{number}.safetensors"
        command = [sys.executable, str(ROOT / "scripts" / "train.py"), *LABELLED.split(), "--checkpoint", name,
                   "--num-devices", str(number)]  # fmt: skip
        done = subprocess.run(command, cwd=tmp_path, env=environment(2), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert sum(line.startswith("  | ") for line in done.stdout.splitlines()) == 2 * 3
        found.append(load(tmp_path / name, resume=True))
    one, two = found
    losses = [[record["valid_loss"] for record in each.progress["records"][:2]] for each in found]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    for name, value in two.last.items():
        np.testing.assert_allclose(value, one.last[name], atol=1e-3, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1])
def test_a_killed_process_ends_the_other_with_one_line(text, killed):
    pair = two_processes(text, "--epochs", "100000")
    line = ""
    while "step" not in line:
        line = pair[0].stdout.readline()
        assert line or pair[0].poll() is None
    pair[killed].kill()
    survivor = pair[1 - killed]
    (_, errors) = finished([survivor], timeout=60)[0]
    assert survivor.returncode not in (0, None)
    said = [line for line in errors.splitlines() if "another process of this training ended" in line]
    pair[killed].communicate()
    assert len(said) == 1, errors
    assert "--resume" in said[0]


@pytest.mark.slow
def test_processes_on_a_checkpoint_that_is_in_use_are_refused(text):
    with lock(text / "process0.safetensors"):
        pair = two_processes(text)
        (_, errors), _ = finished(pair, timeout=60)
    assert pair[0].returncode == 2
    said = [line for line in errors.splitlines() if "process0.safetensors is in use: process" in line]
    assert len(said) == 1 and "Traceback" not in errors, errors
    assert pair[1].returncode not in (0, None)
    assert sorted(path.name for path in text.iterdir()) == ["text.txt"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--num-devices", "3"], "--num-devices 3: JAX sees 2; ask for at most that many"),
        (["--num-devices", "0"], "--num-devices must be a whole number of at least 1, or auto, got '0'"),
        (["--num-devices", "2", "--batch-size", "3"], "--batch-size must be a multiple of the 2 devices, got 3"),
        (["--num-processes", "2"],
         "--coordinator, --num-processes and --process-id must be used together: give all three"),
        (["--engine", "c", "--num-devices", "2"], "several devices or processes need --engine jax: add --engine jax"),
    ],
)
def test_what_cannot_be_shared_is_refused_in_one_line(arguments, message, text):
    process = train(text, *arguments)
    _, errors = finished([process])[0]
    assert process.returncode == 2
    assert errors.splitlines()[-1].endswith(message)
    assert sorted(path.name for path in text.iterdir()) == ["text.txt"]
