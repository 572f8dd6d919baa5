"""look: the files that it writes, and mistakes that it reports."""

import json
import re
import shutil

import numpy as np
import pytest
from conftest import ENGINES
from play_models import checkpoint, opened

from theano_rnn.cli import look
from theano_rnn.cli.main import command
from theano_rnn.text.token_spans import Piece
from theano_rnn.view.inspection import Inspection, inspect_tokens
from theano_rnn.view.look_page import look_page, ranked_units

TEXT = 'She was happy.\n\n"Oh!" Emma was not at all <b>Zorblax</b>.\n'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    shutil.copy(checkpoint(), tmp_path / "model.safetensors")
    shutil.copy(checkpoint("char"), tmp_path / "char.safetensors")

    def run(*arguments):
        status = command("look", [*map(str, arguments), "--engine", ENGINES[-1]], prog="look")
        out, err = capsys.readouterr()
        return status, out, "".join(line for line in err.splitlines(True) if not line.startswith("compiling "))

    return run


def data_of(path):
    _, _, rest = path.read_text("utf-8").partition('<script type="application/json" id="reading">')
    return json.loads(rest.partition("</script>")[0])


def test_a_page_beside_the_checkpoint(run, tmp_path):
    status, out, err = run("model.safetensors", "text.txt")
    assert (status, err) == (0, "") and out.startswith("model.look.html  (")
    data = data_of(tmp_path / "model.look.html")
    pieces = data["pieces"]
    assert "".join(pieces["texts"]) == TEXT.rstrip()
    model, _, _ = opened()
    tokens = [data["words"][token] for token in pieces["tokens"]]
    ids = [model.end_id if token == "</s>" else model.vocabulary.token_to_id(token) for token in tokens]
    found = inspect_tokens(model.function("step"), model.model.initial_state(1), ids, start_id=model.start_id)
    assert pieces["surprisals"] == pytest.approx(-found.log_probabilities, abs=1e-4)
    assert [data["words"][i] for i in pieces["guesses"]] == model.vocabulary.decode(found.guesses.ravel())
    assert data["states"]["names"] == ["layer0.h", "layer0.c"] and data["states"]["sizes"] == [5, 5]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "char.safetensors", "model.look.html", "model.safetensors", "text.txt",
    ]  # fmt: skip


@pytest.mark.slow
def test_without_a_text_the_model_writes_one_that_the_seed_decides(run, tmp_path):
    pages = []
    for seed in (1, 1, 2):
        assert run("char.safetensors", "--seed", seed, "--max-tokens", 70)[0] == 0
        pages.append((tmp_path / "char.look.html").read_bytes())
        assert len(data_of(tmp_path / "char.look.html")["pieces"]["texts"]) == 70
    assert pages[0] == pages[1] != pages[2]


def test_of_a_long_text_the_beginning_is_read(run, tmp_path):
    (tmp_path / "long.txt").write_text("She was happy. " * 200_000)
    assert run("model.safetensors", "long.txt", "--max-tokens", 9)[0] == 0
    assert len(data_of(tmp_path / "model.look.html")["pieces"]["texts"]) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.safetensors", "none.txt"], "cannot find none.txt"),
        (["none.safetensors"], "none.safetensors"),
        (["text.txt"], "text.txt"),
        (["model.safetensors", "text.txt", "--output", "text.txt"], "--output must end in .html, got text.txt"),
        (["model.safetensors", "--output", "text.txt/a.html"], "text.txt/a.html cannot be written: Not a directory"),
        (["model.safetensors", "--output", "folder.html"], "folder.html is a folder"),
        (["model.safetensors", "--output", "page.html"],
         "page.html already exists: give another --output, or add --force to replace it"),
        (["."], ". is not a valid checkpoint name"),
        ([""], "an empty name is not a valid checkpoint name"),
        (["model.safetensors", "--max-tokens", "0"], "--max-tokens must be at least 1, got 0"),
        (["model.safetensors", "--compare", "char.safetensors"], "--compare needs --gradients"),
        (["model.safetensors", "text.txt", "--gradients"], "50 lags need a text of at least 101 tokens, this one has"),
        (["model.safetensors", "-", "--gradients", "--compare", "char.safetensors"], "give a file instead of -"),
        (["model.safetensors", "--gradients", "--lags", "5000"],
         "--lags 5000 needs windows of 10001 tokens, more than --max-tokens 10000: increase --max-tokens, or use "
         "fewer --lags"),
    ],
)
def test_what_cannot_be_is_one_line_and_touches_nothing(run, tmp_path, arguments, message):
    if "--gradients" in arguments:
        pytest.importorskip("matplotlib")
    (tmp_path / "folder.html").mkdir()
    (tmp_path / "page.html").write_text("mine")
    before = sorted(tmp_path.iterdir())
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1) and message in err
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "text.txt").read_text() == TEXT


@pytest.mark.parametrize("name", ["text", "checkpoint", "compared"])
def test_what_is_read_is_never_written_over(run, tmp_path, name):
    """Not even with --force."""
    suffix = ".png" if name == "compared" else ".html"
    source = tmp_path / {"text": "text.txt"}.get(name, "model.safetensors")
    (tmp_path / f"page{suffix}").write_bytes(content := source.read_bytes())
    page = f"page{suffix}"
    arguments = {
        "text": ["model.safetensors", page],
        "checkpoint": [page, "text.txt"],
        "compared": ["model.safetensors", "text.txt", "--gradients", "--compare", page],
    }[name]
    status, _, err = run(*arguments, "--output", page, "--force")
    assert status == 2 and "are the same file" in err and (tmp_path / page).read_bytes() == content


def test_a_page_in_a_new_folder_is_replaced_when_asked(run, tmp_path):
    arguments = ["model.safetensors", "text.txt", "--output", "new/page.html"]
    assert run(*arguments)[0] == 0
    (tmp_path / "new" / "page.html").write_text("older")
    assert run(*arguments)[0] == 2 and (tmp_path / "new" / "page.html").read_text() == "older"
    assert run(*arguments, "--force")[0] == 0 and data_of(tmp_path / "new" / "page.html")


def test_small_numbers_keep_their_digits():
    """A very small probability, and a unit whose activation hardly changes."""
    model, _, _ = opened()
    pieces = [Piece("a", "a", 3)] * 2
    reading = Inspection(np.array([-1.5, -30.0]), np.array([[3, 4]] * 2), np.log([[0.123456, 3.21987e-6]] * 2),
                      [np.array([[0, 1e-9], [0, -3e-9]], np.float32)])  # fmt: skip
    html = look_page(pieces, reading, names=["layer0.h"], vocabulary=model.vocabulary, end_id=1, about="a model")
    data = json.loads(html.partition('id="reading">')[2].partition("</script>")[0])
    assert data["pieces"]["probabilities"] == [0.1235, 3.22e-6] * 2 and data["pieces"]["surprisals"] == [1.5, 30.0]
    assert data["states"]["scales"] == [0, 3e-9]


@pytest.mark.slow
def test_a_picture_of_gradients(run, tmp_path):
    pytest.importorskip("matplotlib")
    arguments = ["model.safetensors", "--gradients", "--lags", 4, "--compare", "char.safetensors"]
    status, out, err = run(*arguments)
    assert (status, err) == (0, "") and re.fullmatch(r"model\.gradients\.png  \(\d\d\.\dkB\)\n", out)
    assert (tmp_path / "model.gradients.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_without_matplotlib_the_extra_is_named(run, monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    status, _, err = run("model.safetensors", "--gradients")
    assert status == 2 and "pip install 'theano_rnn[plot]'" in err


def test_labels_in_the_plot_are_unique():
    model, _, _ = opened()
    labels = []
    for path in ("a/x.safetensors", "b/x.safetensors", "c/x.safetensors", "c/x.safetensors"):
        labels.append(look.unique_label(model, path, labels))
    assert labels == ["LSTM", "LSTM x", "LSTM x 2", "LSTM x 3"]


def test_a_unit_that_follows_quotes_is_ranked_first():
    rng = np.random.default_rng(0)
    tokens = ["``", "Oh", "no", "''", "said", "Emma", "</s>"] * 20
    pieces = [Piece("" if token == "</s>" else f" {token}", token, 1 if token == "</s>" else 9) for token in tokens]
    units = rng.normal(size=(len(pieces), 30)).astype(np.float32)
    inside = np.array([token in ("``", "Oh", "no") for token in tokens])
    units[:, 17] = np.where(inside, -0.9, 0.8) + 0.1 * units[:, 17]
    units[:, 3] = np.arange(len(tokens)) % 7 / 7
    ranked = {each["title"]: each["units"] for each in ranked_units(units, pieces, end_id=1)}
    assert ranked["inside quotation marks"][0][0] == 17 and ranked["inside quotation marks"][0][1] < -0.95
    assert ranked["position in the sentence"][0] == [3, 1.0]
    assert len(ranked["capital letters"]) == 10


def test_texts_that_look_like_html_stay_data():
    model, _, _ = opened()
    bad = "</script><script>alert(1)</script>"
    pieces = [Piece(bad, bad, model.vocabulary.unk_id)]
    reading = Inspection(np.array([-1.5]), np.array([[3]]), np.array([[-0.5]]), [np.zeros((1, 2), np.float32)])
    html = look_page(pieces, reading, names=["layer0.h"], vocabulary=model.vocabulary, end_id=1, about="a model")
    assert bad not in html and "\\u003c/script\\u003e" in html
    assert not re.search(r'(src|href)="(?!data:)', html) and "http" not in html.replace("http-equiv", "")
