"""score, generate, rescore and info on one checkpoint; all ways to score agree with each other and with training."""

import io
import json
import math
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import ENGINES
from tiny_runs import Commands, KeepsCompiled, log_of, sentences, train_in

from theano_rnn.language_model import LanguageModel
from theano_rnn.preprocessing import encode_file

MODEL = "model.safetensors"
TEXT = sentences(40, seed=5) + ["Zoe saw the dragon."]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Returns a folder with a trained model, its log, and a text to score that has unknown words."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "other.txt").write_text(" ".join(TEXT[:20]) + "\n\n" + "\n".join(TEXT[20:]))
    train_in(folder, "--test", "other.txt", "--learning-rate", "0.05")
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
    assert summary["words"] == sum(len(sentence.split()) for sentence in TEXT)
    assert summary["characters"] == sum(len(sentence) + 1 for sentence in TEXT)
    total = summary["loss"] * summary["tokens"]
    for name in ("word", "character", "sentence"):
        assert summary[f"loss_per_{name}"] == pytest.approx(total / summary[f"{name}s"])
    assert (summary["unknown"], summary["log_base"]) == (2, "e")
    assert summary["tokens"] == sum(int(row[1]) for row in rows) == 6 * len(TEXT)
    assert summary["sentences"] == len(TEXT)
    assert summary["loss"] == pytest.approx(-sum(float(row[0]) for row in rows) / summary["tokens"], abs=1e-6)
    assert summary["perplexity"] == pytest.approx(math.exp(summary["loss"]))
    assert summary["unk_rate"] == pytest.approx(2 / summary["tokens"])


def test_a_stream_is_what_training_measured_as_test(commands):
    stream = json.loads(scored(commands, "other.txt", "--stream", "--columns", "4"))
    summary = json.loads(scored(commands, "other.txt", "--summary"))
    last = log_of(MODEL)[-1]
    assert (stream["loss"], stream["tokens"]) == (last["test_loss"], last["tokens"])
    assert (stream["perplexity"], stream["unk_rate"]) == (last["test_perplexity"], last["unk_rate"])
    assert {name: stream[name] for name in ("tokens", "sentences", "unk_rate")} == pytest.approx(
        {name: summary[name] for name in ("tokens", "sentences", "unk_rate")}
    )
    assert stream["loss"] != summary["loss"]
    text = (commands.folder / "other.txt").read_text()
    assert (stream["characters"], stream["words"]) == (len(text), len(text.split()))


def test_a_short_text_is_one_column(commands):
    """Of 20 columns of ten tokens each, most would lack the words before them."""
    stream = json.loads(scored(commands, "other.txt", "--stream"))
    assert stream["columns"] == 1
    model = LanguageModel(MODEL, engine=ENGINES[-1])
    ids = np.asarray(encode_file("other.txt", model.vocabulary))[:, None]
    tokens = np.concatenate([[[model.start_id]], ids[:-1]]).astype("int32")
    losses = model.function("loss")(tokens, ids, np.ones(ids.shape, "float32"), *model.model.initial_state(1))[0]
    assert stream["loss"] == pytest.approx(np.asarray(losses).mean(), rel=1e-5)
    assert json.loads(scored(commands, "other.txt", "--stream", "--columns", "1")) == stream
    assert json.loads(scored(commands, "other.txt", "--stream", "--summary")) == stream
    columns = json.loads(scored(commands, "other.txt", "--stream", "--columns", "4"))
    assert columns["columns"] == 4 and columns["loss"] != stream["loss"]


def test_bits_are_nats_over_ln_2(commands):
    for arguments in (["--summary"], ["--stream"]):
        nats = json.loads(scored(commands, "other.txt", *arguments))
        bits = json.loads(scored(commands, "other.txt", *arguments, "--log-base", "2"))
        assert bits["loss"] * math.log(2) == pytest.approx(nats["loss"])
        assert bits["loss_per_character"] * math.log(2) == pytest.approx(nats["loss_per_character"])
        assert (bits["perplexity"], bits["log_base"]) == (nats["perplexity"], "2")
    for arguments in ([], ["--per-token"]):
        nats, bits = (
            [line.split("\t") for line in scored(commands, "other.txt", *arguments, *base).splitlines() if line]
            for base in ([], ["--log-base", "2"])
        )
        assert [row[1:] for row in bits] == [row[1:] for row in nats]
        assert [float(row[0]) * math.log(2) for row in bits] == pytest.approx([float(row[0]) for row in nats], abs=1e-5)


def test_many_unknown_words_are_said_where_no_total_tells(commands):
    (commands.folder / "strange.txt").write_text("Emma saw the zyx. Qwv jkl the ball.")
    expected = "3 of 10 tokens are not in the model's vocabulary and count as <unk>"
    for arguments in ((), ("--per-token",), ("--json",)):
        assert commands("score", MODEL, "strange.txt", *arguments).err.startswith(expected)
        for quiet in ("other.txt",), ("strange.txt", "--exclude-unknown"):
            assert commands("score", MODEL, *quiet, *arguments).err == ""
    for arguments in (("--summary",), ("--stream",)):
        assert commands("score", MODEL, "strange.txt", *arguments).err == ""


def test_sentences_as_json_are_the_lines(commands):
    rows = [line.split("\t") for line in scored(commands, "other.txt").splitlines()]
    records = [json.loads(line) for line in scored(commands, "other.txt", "--json", "--per-token").splitlines()]
    assert [record["sentence"] for record in records] == TEXT
    for record, (total, count, value, _) in zip(records, rows):
        assert record["log_probability"] == pytest.approx(float(total), abs=1e-6)
        assert sum(value for _, value in record["per_token"]) == pytest.approx(record["log_probability"])
        assert (record["tokens"], len(record["per_token"])) == (int(count), 6)
        assert record["perplexity"] == pytest.approx(float(value), abs=1e-4)
    assert [record["unknown"] for record in records] == [0] * 40 + [2]
    assert "per_token" not in json.loads(scored(commands, "other.txt", "--json").splitlines()[0])


def test_unknown_words_can_be_left_out(commands):
    tokens = scored(commands, "other.txt", "--per-token").split()
    unknown = sum(float(value) for value, token in zip(tokens[::2], tokens[1::2]) if token == "<unk>")
    for arguments, scale in ((["--summary"], 1), (["--stream"], None)):
        whole = json.loads(scored(commands, "other.txt", *arguments))
        known = json.loads(scored(commands, "other.txt", *arguments, "--exclude-unknown"))
        assert known["tokens"] == whole["tokens"] - 2
        assert (known["unknown"], known["unk_rate"]) == (2, whole["unk_rate"])
        if scale:
            difference = whole["loss"] * whole["tokens"] - known["loss"] * known["tokens"]
            assert difference == pytest.approx(-unknown, abs=1e-4)
        assert known["loss"] < whole["loss"]
    known, whole = (scored(commands, "other.txt", *flag).splitlines()[-1].split("\t") for flag in
                    (["--exclude-unknown"], []))  # fmt: skip
    assert int(known[1]) == 4
    assert float(known[0]) == pytest.approx(float(whole[0]) - unknown, abs=1e-4)


@pytest.fixture(scope="module")
def second(prepared):
    """Adds another model of the same text, and a model of another text with another vocabulary."""
    (prepared / "strange.txt").write_text("A cat sat on a mat. " * 20)
    train_in(prepared, "--test", "other.txt", "--learning-rate", "0.05", "--hidden-size", "5",
             checkpoint="second.safetensors")  # fmt: skip
    train_in(prepared, "--train", "strange.txt", checkpoint="strange.safetensors")


@pytest.mark.slow
@pytest.mark.learns
def test_a_mixture_is_between_its_models_or_better(commands, second):
    mixture = ["--interpolate", "second.safetensors"]
    losses = [json.loads(scored(commands, "other.txt", "--stream", *arguments))["loss"] for arguments in (
        [], [*mixture, "--weights", "0.999999", "0.000001"], [*mixture, "--weights", "0.5", "0.5"])]  # fmt: skip
    other = json.loads(commands("score", "second.safetensors", "other.txt", "--stream").out)["loss"]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert losses[2] < max(losses[0], other)
    tokens = {}
    for name in (MODEL, "second.safetensors"):
        lines = commands("score", name, "other.txt", "--per-token").out.splitlines()
        tokens[name] = np.array([float(line.split("\t")[0]) for line in lines if line])
    expected = np.log(0.25 * np.exp(tokens[MODEL]) + 0.75 * np.exp(tokens["second.safetensors"]))
    lines = scored(commands, "other.txt", "--per-token", *mixture, "--weights", "0.25", "0.75").splitlines()
    np.testing.assert_allclose([float(line.split("\t")[0]) for line in lines if line], expected, atol=1e-4)


@pytest.mark.slow
def test_fitted_weights_are_no_worse_than_any_others(commands, second):
    mixture = ["--interpolate", "second.safetensors"]
    result = commands("score", MODEL, "other.txt", "--stream", *mixture, "--fit-weights", "other.txt")
    fitted = json.loads(result.out)
    assert sum(fitted["weights"]) == pytest.approx(1)
    assert result.err.startswith("weights that fit other.txt: ")
    for weight in ("0.2", "0.5", "0.8"):
        given = scored(commands, "other.txt", "--stream", *mixture, "--weights", weight, str(1 - float(weight)))
        assert fitted["loss"] <= json.loads(given)["loss"] + 1e-6


@pytest.mark.slow
def test_models_of_other_vocabularies_are_not_mixed(commands, second):
    result = commands("score", MODEL, "other.txt", "--interpolate", "strange.safetensors", "--weights", "0.5", "0.5")
    assert (result.status, result.out) == (2, "")
    assert "strange.safetensors has another vocabulary" in result.err and len(result.err.splitlines()) == 1


@pytest.mark.learns
@pytest.mark.parametrize(
    "arguments",
    [["--cache-size", "50", "--cache-theta", "1"], ["--dynamic", "sgd", "--dynamic-rate", "0.5"],
     pytest.param(["--dynamic", "rms", "--statistics-from", "text.txt"], marks=pytest.mark.slow)],
    ids=["cache", "sgd", "rms"],
)  # fmt: skip
def test_a_model_that_adapts_does_better_on_a_text_that_repeats_itself(commands, arguments):
    (commands.folder / "repeated.txt").write_text("Jane liked the house. Emma found the letter. " * 60)
    static = json.loads(scored(commands, "repeated.txt", "--stream"))
    adapted = json.loads(commands("score", MODEL, "repeated.txt", "--stream", *arguments).out)
    assert adapted["tokens"] == static["tokens"]
    assert adapted["loss"] < static["loss"] - 0.01
    assert json.loads(scored(commands, "repeated.txt", "--stream")) == static  # the parameters are as they were


def test_a_sentence_scores_the_same_in_any_company(commands, monkeypatch):
    def piped(text):
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text.encode())))
        return scored(commands)

    rows = scored(commands, "other.txt").splitlines()
    alone = piped(TEXT[7])
    assert alone.split("\t")[3] == TEXT[7] + "\n"
    assert float(alone.split("\t")[0]) == pytest.approx(float(rows[7].split("\t")[0]), abs=1e-5)


def test_lines_are_sentences_when_asked_for(commands):
    lines = commands("score", MODEL, "other.txt", "--sentences", "line").out.splitlines()
    assert [line.split("\t")[3] for line in lines] == [" ".join(TEXT[:20]), *TEXT[20:]]
    assert json.loads(scored(commands, "other.txt", "--sentences", "line", "--stream"))["sentences"] == len(TEXT) - 19


LISTS = "0 ||| Emma the saw ball . ||| A= 1 ||| 0\n0 ||| Emma saw the ball . ||| A= 1 ||| 0\n1 ||| Jane ||| ||| 0\n"


def test_rescored_lists_have_the_score_of_the_sentence_and_the_best_first(commands):
    (commands.folder / "lists.txt").write_text(LISTS)
    result = commands("rescore", MODEL, "lists.txt", "--weight", "0.5", "--word-bonus", "0.25")
    rows = [line.split(" ||| ") for line in result.out.splitlines()]
    assert (result.status, result.err, [row[0] for row in rows]) == (0, "", ["0", "0", "1"])
    assert float(rows[0][3]) >= float(rows[1][3])
    (commands.folder / "lines.txt").write_text("".join(row[1] + "\n" for row in rows))
    for row, line in zip(rows, scored(commands, "lines.txt", "--sentences", "line").splitlines()):
        total = float(line.split("\t")[0])
        assert float(row[3]) == pytest.approx(0.5 * total + 0.25 * len(row[1].split()), abs=1e-4)
        assert row[2].split()[-2] == "theano_rnn=" and float(row[2].split()[-1]) == pytest.approx(total, abs=1e-4)


def test_weights_of_rescoring_are_tuned(commands):
    (commands.folder / "lists.txt").write_text(LISTS)
    (commands.folder / "answers.txt").write_text("Emma saw the ball .\nJane\n")
    tune = ["--tune", "lists.txt", "--metric", "exact"]
    result = commands("rescore", MODEL, "lists.txt", *tune, "--references", "answers.txt")
    assert result.status == 0 and len(result.out.splitlines()) == 3
    assert result.err.startswith("weight ") and "lists with a wrong best hypothesis" in result.err


def test_weights_of_rescoring_are_tuned_by_bleu(commands):
    pytest.importorskip("sacrebleu")
    (commands.folder / "lists.txt").write_text(LISTS)
    (commands.folder / "answers.txt").write_text("Emma saw the ball .\nJane\n")
    tune = ["--tune", "lists.txt", "--metric", "bleu"]
    result = commands("rescore", MODEL, "lists.txt", *tune, "--references", "answers.txt")
    assert result.status == 0 and "BLEU 100.00 on lists.txt, " in result.err and " before rescoring" in result.err
    assert result.out.splitlines()[0].startswith("0 ||| Emma saw the ball .")
    (commands.folder / "answers.txt").write_text("Emma saw the ball .\n")
    result = commands("rescore", MODEL, "lists.txt", *tune, "--references", "answers.txt")
    assert result.status == 2 and "must have one line for each list of lists.txt: 2, got 1" in result.err


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"0 ||| a ||| b\n", "lists.txt line 1 must be"), (b"", "lists.txt contains no n-best lists"),
     (b"\n \n", "contains no n-best lists"),
     (b"\xff\xfe\x00\x80", "lists.txt is not UTF-8 text")],
    ids=["line", "empty", "blank", "binary"],
)  # fmt: skip
@pytest.mark.parametrize("tune", [False, True])
def test_what_is_no_list_is_refused_before_anything_is_compiled(commands, monkeypatch, content, message, tune):
    monkeypatch.setattr(KeepsCompiled, "compile", lambda *_, **__: pytest.fail("compiled before the mistake was said"))
    (commands.folder / "lists.txt").write_bytes(content)
    (commands.folder / "good.txt").write_text(LISTS)
    tuning = ["--tune", "lists.txt", "--references", "good.txt"] if tune else []
    result = commands("rescore", MODEL, "good.txt" if tune else "lists.txt", *tuning)
    assert (result.status, result.out) == (2, "")
    assert message in result.err and len(result.err.splitlines()) == 1


def test_samples_are_lines_on_standard_output_and_all_else_is_not(commands):
    result = commands("generate", MODEL, "--num-samples", "7", "--prompt", "Emma zzz")
    assert result.status == 0
    assert len(result.out.splitlines()) == 7 and result.out.endswith("\n")
    assert all(line.startswith("Emma zzz") for line in result.out.splitlines())
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


def test_a_prompt_from_a_file_and_samples_to_a_file(commands):
    (commands.folder / "prompt.txt").write_bytes("\ufeffEmma saw\n".encode())
    flags = ["--num-samples", "4", "--prompt-file", "prompt.txt"]
    expected = commands("generate", MODEL, "--num-samples", "4", "--prompt", "Emma saw").out
    assert commands("generate", MODEL, *flags).out == expected
    result = commands("generate", MODEL, *flags, "--output", "samples.txt")
    assert (result.status, result.out, result.err) == (0, "", "")
    assert (commands.folder / "samples.txt").read_text() == expected


@pytest.mark.parametrize("content", [None, b"", b"\x00\x01"])
def test_an_unusable_prompt_file_is_one_line_before_anything_is_compiled(commands, monkeypatch, content):
    monkeypatch.setattr(LanguageModel, "generator", lambda *_: pytest.fail("compiled"))
    if content is not None:
        (commands.folder / "bad.txt").write_bytes(content)
    result = commands("generate", MODEL, "--prompt-file", "missing.txt" if content is None else "bad.txt")
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)


def test_longer_samples_are_told_apart(commands):
    flags = ["--num-samples", "3", "--prompt", "Emma saw"]
    three = commands("generate", MODEL, *flags, "--num-sentences", "4").out.rstrip("\n").split("\n\n---\n\n")
    assert len(three) == 3 and all(text.startswith("Emma saw") for text in three)
    assert all(text.count(".") >= 3 for text in three)
    live = commands("generate", MODEL, *flags, "--num-sentences", "4", "--live").out
    assert live.split("\n\n---\n\n")[:2] == three[:2]
    long = commands("generate", MODEL, "--num-samples", "3", "--min-tokens", "60").out.split("\n\n---\n\n")
    assert len(long) == 3
    (commands.folder / "two.txt").write_text("Emma saw Jane.\n\nJane saw")
    two = commands("generate", MODEL, "--num-samples", "2", "--prompt-file", "two.txt").out.split("\n\n---\n\n")
    assert len(two) == 2 and all(text.startswith("Emma saw Jane.\n\nJane saw") for text in two)


def test_prompts_are_read_one_a_line(commands, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("Emma saw\n\nJane zzz\n"))
    result = commands("generate", MODEL, "--interactive", "--num-samples", "2")
    lines = result.out.splitlines()
    assert result.status == 0 and len(lines) == 6
    assert all(line.startswith("Emma saw") for line in lines[:2])
    assert all(line.startswith("Jane zzz") for line in lines[4:])
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
    parts = ["step 10, 2 epochs done", "test_loss", "hidden_size 4", "vocabulary: 19 tokens; most frequent: ",
             "embedding        float32 (21, 3)"]  # fmt: skip
    for part in parts:
        assert part in result.out
    assert f"parameters: {21 * 3 + 4 * (3 * 4 + 4 * 4 + 4) + 4 * 3 + 19:,}" in result.out


def test_a_reader_that_goes_away_is_no_error(prepared):
    """Write to a closed pipe, as with ``| head -1``."""
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
