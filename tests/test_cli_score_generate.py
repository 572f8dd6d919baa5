"""score, generate and info: one checkpoint, read back; the ways to score agree with one another and with training."""

import io
import json
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_runs import Commands, log_of, sentences

MODEL = "model.safetensors"
TEXT = sentences(40, seed=5) + ["Zoe saw the dragon."]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A folder with a trained model, the log of its training and a text to score, unknown words and all."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "other.txt").write_text(" ".join(TEXT[:20]) + "\n\n" + "\n".join(TEXT[20:]))
    with pytest.MonkeyPatch.context() as monkeypatch:
        silent = SimpleNamespace(readouterr=lambda: ("", ""))
        Commands(folder, monkeypatch, silent).train("--test", "other.txt", "--learning-rate", "0.05")
    return folder


@pytest.fixture
def commands(prepared, monkeypatch, capsys):
    return Commands(prepared, monkeypatch, capsys)


def scored(commands, *arguments):
    result = commands("score", MODEL, *arguments)
    assert (result.status, result.err) == (0, "")
    return result.out


def test_every_sentence_is_a_line_of_four_fields(commands):
    rows = [line.split("\t") for line in scored(commands, "other.txt").splitlines()]
    assert [row[3] for row in rows] == TEXT
    for total, count, value, _ in rows:
        assert int(count) == 6  # four words, the full stop and the end of the sentence
        assert float(total) < 0
        assert float(value) == pytest.approx(math.exp(-float(total) / int(count)), rel=1e-4)


def test_tokens_sum_to_their_sentence(commands):
    rows = [line.split("\t") for line in scored(commands, "other.txt").splitlines()]
    *blocks, end = scored(commands, "other.txt", "--per-token").split("\n\n")
    assert not end
    assert len(blocks) == len(rows)
    for block, (total, count, _, _) in zip(blocks, rows):
        tokens = [line.split("\t") for line in block.splitlines()]
        assert len(tokens) == int(count)
        assert sum(float(value) for value, _ in tokens) == pytest.approx(float(total), abs=1e-4)
        assert tokens[-1][1] == "</s>"
    assert [token for _, token in tokens] == ["<unk>", "saw", "the", "<unk>", ".", "</s>"]


def test_a_summary_is_the_sum_of_the_sentences(commands):
    rows = [line.split("\t") for line in scored(commands, "other.txt").splitlines()]
    summary = json.loads(scored(commands, "other.txt", "--summary"))
    assert set(summary) == {"tokens", "loss", "perplexity", "unk_rate", "sentences"}
    assert summary["tokens"] == sum(int(row[1]) for row in rows) == 6 * len(TEXT)
    assert summary["sentences"] == len(TEXT)
    assert summary["loss"] == pytest.approx(-sum(float(row[0]) for row in rows) / summary["tokens"], abs=1e-6)
    assert summary["perplexity"] == pytest.approx(math.exp(summary["loss"]))
    assert summary["unk_rate"] == pytest.approx(2 / summary["tokens"])


def test_a_stream_is_what_training_measured_as_test(commands):
    stream = json.loads(scored(commands, "other.txt", "--stream"))
    summary = json.loads(scored(commands, "other.txt", "--summary"))
    last = log_of(MODEL)[-1]
    assert (stream["loss"], stream["tokens"]) == (last["test_loss"], last["tokens"])
    assert (stream["perplexity"], stream["unk_rate"]) == (last["test_perplexity"], last["unk_rate"])
    assert {name: stream[name] for name in ("tokens", "sentences", "unk_rate")} == pytest.approx(
        {name: summary[name] for name in ("tokens", "sentences", "unk_rate")}
    )
    assert stream["loss"] != summary["loss"]


def test_a_sentence_scores_the_same_in_any_company(commands, monkeypatch):
    def piped(text):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        return scored(commands)

    rows = scored(commands, "other.txt").splitlines()
    alone = piped(TEXT[7])
    assert alone.split("\t")[3] == TEXT[7] + "\n"
    assert float(alone.split("\t")[0]) == pytest.approx(float(rows[7].split("\t")[0]), abs=1e-5)


def test_lines_are_sentences_when_asked_for(commands):
    lines = scored(commands, "other.txt", "--sentences", "line").splitlines()
    assert [line.split("\t")[3] for line in lines] == [" ".join(TEXT[:20]), *TEXT[20:]]
    assert json.loads(scored(commands, "other.txt", "--sentences", "line", "--stream"))["sentences"] == len(TEXT) - 19


def test_samples_are_lines_on_standard_output_and_all_else_is_not(commands):
    result = commands("generate", MODEL, "--num-samples", "7", "--prompt", "Emma zzz")
    assert result.status == 0
    assert len(result.out.splitlines()) == 7 and result.out.endswith("\n")
    assert all(line.startswith("Emma <unk>") for line in result.out.splitlines())
    assert result.err == "not in the vocabulary, read as <unk>: zzz\n"


def test_the_same_seed_is_the_same_text(commands):
    first = commands("generate", MODEL, "--num-samples", "5")
    assert not first.err
    assert commands("generate", MODEL, "--num-samples", "5").out == first.out
    assert commands("generate", MODEL, "--num-samples", "5", "--seed", "2").out != first.out
    assert commands("generate", MODEL, "--num-samples", "3").out.splitlines() == first.out.splitlines()[:3]


def test_samples_are_no_longer_than_asked_and_cold_ones_are_equal(commands):
    cold = commands("generate", MODEL, "--temperature", "0", "--max-tokens", "3").out.splitlines()
    assert len(cold) == 10
    assert len(set(cold)) == 1
    assert len(cold[0].split()) <= 3
    assert commands("generate", MODEL, "--max-tokens", "0", "--prompt", "Emma saw").out == "Emma saw\n" * 10


def test_unknown_is_never_written_unless_it_was_said(commands):
    assert "<unk>" not in commands("generate", MODEL, "--num-samples", "50", "--temperature", "2").out


def test_live_samples_are_the_same_text_one_after_the_other(commands):
    whole = commands("generate", MODEL, "--num-samples", "4", "--prompt", "Emma saw")
    live = commands("generate", MODEL, "--num-samples", "4", "--prompt", "Emma saw", "--live")
    assert (live.status, live.out, live.err) == (0, whole.out, "")
    assert commands("generate", MODEL, "--live").out == commands("generate", MODEL, "--num-samples", "1").out


def test_prompts_are_read_one_a_line(commands, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Emma saw\n\nJane zzz\n"))
    result = commands("generate", MODEL, "--interactive", "--num-samples", "2")
    lines = result.out.splitlines()
    assert result.status == 0 and len(lines) == 6
    assert all(line.startswith("Emma saw") for line in lines[:2])
    assert all(line.startswith("Jane <unk>") for line in lines[4:])
    assert result.err == "not in the vocabulary, read as <unk>: zzz\n"
    first = commands("generate", MODEL, "--prompt", "Emma saw", "--num-samples", "2").out.splitlines()
    assert first == lines[:2]


def test_a_beam_prints_scores_in_falling_order(commands):
    result = commands("generate", MODEL, "--beam-size", "6", "--num-samples", "4", "--prompt", "Emma")
    rows = [line.split("\t") for line in result.out.splitlines()]
    scores = [float(score) for score, _ in rows]
    assert len(rows) == 4 and scores == sorted(scores, reverse=True)
    assert all(text.startswith("Emma") for _, text in rows)


def test_rules_of_decoding_reach_the_samples(commands):
    text = commands("generate", MODEL, "--no-repeat-ngram-size", "1", "--num-samples", "20").out
    assert all(len(set(line.split())) == len(line.split()) for line in text.splitlines())
    assert "." not in commands("generate", MODEL, "--stop", ".", "--num-samples", "20").out
    assert len(set(commands("generate", MODEL, "--top-k", "1").out.splitlines())) == 1
    assert commands("generate", MODEL, "--top-p", "1e-9").out == commands("generate", MODEL, "--temperature", "0").out


def test_info_shows_what_is_in_a_checkpoint(commands):
    result = commands("info", MODEL)
    assert (result.status, result.err) == (0, "")
    assert f"{MODEL}: language model, finished" in result.out
    parts = ["step 10, 2 epochs done", "test_loss", "hidden_size 4", "19 columns", "embedding        float32 (21, 3)"]
    for part in parts:
        assert part in result.out
    assert f"parameters: {21 * 3 + 4 * (3 * 4 + 4 * 4 + 4) + 4 * 3 + 19:,}" in result.out


def test_a_reader_that_goes_away_is_no_error(prepared):
    """Output into a closed pipe, as with ``| head -1``."""
    code = "from theano_rnn.cli.main import main; raise SystemExit(main())"
    process = subprocess.Popen([sys.executable, "-c", code, "info", str(prepared / MODEL)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)  # fmt: skip
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


def test_commands_need_nothing_but_the_checkpoint(commands, tmp_path, monkeypatch):
    expected = commands("generate", MODEL).out
    (tmp_path / MODEL).write_bytes((commands.folder / MODEL).read_bytes())
    monkeypatch.chdir(tmp_path)
    assert commands("generate", MODEL).out == expected
    assert np.isfinite(json.loads(commands("score", MODEL, commands.folder / "other.txt", "--summary").out)["loss"])
