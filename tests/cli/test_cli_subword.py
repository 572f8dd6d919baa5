"""Commands with a model of subwords: a checkpoint is all that use needs, resuming changes nothing, and mistakes."""

import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from mutated_checkpoints import change_json, read, write
from tiny_runs import Commands, KeepsCompiled, train_in

pytest.importorskip("tokenizers")

from theano_rnn.learning.checkpoint import load
from theano_rnn.settings.base import RunError

MODEL = "model.safetensors"
SUBWORD = ["--unit", "subword", "--vocab-size", "320"]
ODD = "Emma “saw” the café 😀 ▁ walking.\n\nAnne’s 1815: don't!\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("subwords")
    train_in(folder, *SUBWORD, "--embedding-size", "4", checkpoint=MODEL)
    return folder


@pytest.fixture
def commands(folder, tmp_path, monkeypatch, capsys):
    """Commands in a folder with the checkpoint and another text; the training text is not there."""
    shutil.copy(folder / MODEL, tmp_path)
    commands = Commands(tmp_path, monkeypatch, capsys)
    Path("text.txt").write_text(ODD, encoding="utf-8")
    return commands


def summary(commands, *arguments):
    result = commands("score", MODEL, "text.txt", *arguments)
    assert result.status == 0, result.err
    return json.loads(result.out)


def refused(result):
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    return result.err


@pytest.mark.slow
def test_the_score_of_a_text_is_the_same_however_it_is_asked_for(commands):
    total = summary(commands, "--summary")
    per_token = commands("score", MODEL, "text.txt", "--per-token").out
    values = [float(line.split("\t")[0]) for line in per_token.splitlines() if line]
    assert -sum(values) == pytest.approx(total["loss"] * total["tokens"], abs=1e-4)
    lines = commands("score", MODEL, "text.txt").out.splitlines()
    assert sum(float(line.split("\t")[0]) for line in lines) == pytest.approx(sum(values), abs=1e-4)
    assert [line.split("\t")[3] for line in lines] == ODD.replace("\n\n", "\n").splitlines()
    assert (total["words"], total["characters"]) == (len(ODD.split()), len(ODD))
    assert total["loss_per_word"] == pytest.approx(-sum(values) / len(ODD.split()), abs=1e-4)
    assert total["loss_per_character"] == pytest.approx(-sum(values) / len(ODD), abs=1e-4)
    assert total["unknown"] == 0
    stream = summary(commands, "--stream")
    assert [stream[name] for name in ("tokens", "words", "characters")] == [
        total[name] for name in ("tokens", "words", "characters")
    ]
    assert math.isfinite(stream["loss"])


def test_the_checkpoint_alone_is_enough(commands):
    found = commands("generate", MODEL, "--num-samples", "2", "--prompt", "Emma walk")
    assert found.status == 0
    assert found.err == ""
    assert found.out.startswith("Emma walk")
    about = commands("info", MODEL)
    assert "320 tokens (318 pieces, <unk> and </s>)" in about.out
    assert commands("look", MODEL, "text.txt").status == 0
    assert commands("words", MODEL, "▁Emma").status == 0


def test_an_exported_model_scores_the_same(commands):
    before = summary(commands, "--summary")
    result = commands("export", MODEL, "--output", "m.pytorch.safetensors")
    assert result.status == 0, result.err
    assert " 320 pieces; " in result.out
    Path(MODEL).unlink()
    assert commands("import", "m.pytorch.safetensors", "--output", MODEL).status == 0
    assert summary(commands, "--summary") == pytest.approx(before)


@pytest.mark.parametrize("line", ["Emma “saw” the café.", "Anne’s 1815 walk was long."])
def test_an_onnx_file_alone_splits_a_text_and_scores_it_the_same(commands, line):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    from tokenizers import Tokenizer

    Path("text.txt").write_text(line + "\n", encoding="utf-8")
    ours, num_tokens, *_ = commands("score", MODEL, "text.txt").out.split("\t")
    assert commands("export", MODEL, "--format", "onnx", "--output", "m.onnx").status == 0
    session = onnxruntime.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
    facts = session.get_modelmeta().custom_metadata_map
    tokens, tokenizer = json.loads(facts["tokens"]), Tokenizer.from_str(facts["tokenizer"])
    encoded = tokenizer.encode(line, add_special_tokens=False)
    targets = [number + 2 for number in encoded.ids] + [tokens.index("</s>")]
    assert [tokens[number] for number in targets[:-1]] == encoded.tokens and len(targets) == int(num_tokens)
    state = {item.name: np.zeros((1, item.shape[1]), "float32") for item in session.get_inputs()[1:]}
    ids = np.array([int(facts["start_id"]), *targets[:-1]], "int64")[:, None]
    log_p, *_ = session.run(None, {"ids": ids, **state})
    assert log_p[np.arange(len(targets)), 0, targets].sum() == pytest.approx(float(ours), abs=1e-3)


@pytest.mark.slow
def test_a_stopped_run_resumes_without_learning_pieces_again(folder, tmp_path, monkeypatch, capsys):
    commands = Commands(tmp_path, monkeypatch, capsys)
    Path("tokenizer.json").write_text(load(folder / MODEL).vocabulary.tokenizer, encoding="utf-8")
    options = ["--unit", "subword", "--subword-model", "tokenizer.json"]
    commands.train(*options, checkpoint="whole.safetensors")
    commands.train(*options, "--max-seconds", "1e-9", checkpoint="cut.safetensors")
    Path("tokenizer.json").unlink()
    resumed = commands("train", "--resume", "--checkpoint", "cut.safetensors")
    assert resumed.status == 0, resumed.err
    assert Path("cut.safetensors").read_bytes() == Path("whole.safetensors").read_bytes()
    Path("text.txt").write_text("Another text. It is short. " * 9)
    commands.train("--max-seconds", "1e-9", *SUBWORD, checkpoint="other.safetensors")
    Path("text.txt").write_text("Another text. It is long. " * 9)
    assert "the text differs" in refused(commands("train", "--resume", "--checkpoint", "other.safetensors"))


@pytest.mark.slow
def test_a_run_from_another_model_keeps_its_pieces(commands):
    Path("text.txt").write_text(ODD * 30, encoding="utf-8")
    commands.train("--init-from", MODEL, checkpoint="new.safetensors")
    old, new = load(MODEL).vocabulary, load("new.safetensors").vocabulary
    assert (new.words, new.tokenizer) == (old.words, old.tokenizer)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "fill", "--unit", "subword"], "--task fill cannot be used with --unit subword"),
        (["--init-from", MODEL, "--add-words", "3"], "--add-words cannot be used with --unit subword"),
        (["--init-from", MODEL, "--subword-model", "t.json"], "--subword-model cannot be used with --init-from"),
        (["--subword-model", "t.json"], "--subword-model needs --unit subword"),
        ([*SUBWORD, "--subword-model", "t.json"], "--vocab-size cannot be used with --subword-model"),
        (["--unit", "subword", "--subword-model", "t.json"], "t.json"),
        (["--unit", "subword", "--subword-model", "text.txt"], "text.txt is not a tokenizer.json"),
        (["--unit", "subword", "--vocab-size", "299"], "--vocab-size must be at least 300"),
    ],
)
def test_a_mistake_is_one_line(commands, arguments, said):
    Path("text.txt").write_text(ODD * 30, encoding="utf-8")
    assert said in refused(commands("train", "--train", "text.txt", "--checkpoint", "new.safetensors", *arguments))


def test_without_the_library_a_line_says_what_to_install(commands, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    said = "run pip install 'theano_rnn[subword]'"
    assert said in refused(commands("train", "--train", "text.txt", "--unit", "subword"))
    assert commands("info", MODEL).status == 0


def test_a_damaged_tokenizer_is_one_line(commands, monkeypatch):
    def refuse_to_compile(*_, **__):
        raise RunError("nothing is computed in this test")

    monkeypatch.setattr(KeepsCompiled, "compile", refuse_to_compile)
    problems = []
    for seed in range(12):
        tensors, facts = read(Path(MODEL))
        tokenizer = json.loads(facts["vocabulary"]["tokenizer"])
        change = change_json(tokenizer["model"], np.random.default_rng([5, seed]))
        facts["vocabulary"]["tokenizer"] = json.dumps(tokenizer)
        Path("bad.safetensors").write_bytes(write(tensors, facts, has_checksums=True))
        for name in ("info", "score", "generate"):
            result = commands(name, "bad.safetensors", *(["text.txt"] if name == "score" else []))
            if result.status not in (0, 1, 2) or result.err.count("\n") > 1:
                problems.append(f"{name}: {change}: {result}")
    assert not problems, "\n".join(problems)
