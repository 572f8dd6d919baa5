"""classify: one line for each text, measures, pages, and mistakes in one line."""

import io
import json
import re

import pytest
from classifier_models import LABELS, checkpoint, opened
from conftest import ENGINES
from play_models import checkpoint as language_model

from theano_rnn.cli import classify, model_loading
from theano_rnn.cli.main import command
from theano_rnn.learning.checkpoint import load
from theano_rnn.settings.base import UserError

LINES = "A charming film.\n\nIt is dull,\tand long.\n  \nA film\u2028by two"
LABELLED = "pos\tA charming film.\nneg\tIt is dull.\nso-so\tIt is long.\npos\tNot dull!\n"


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Returns a function that runs the command. The model is compiled once; a path to another one is opened."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # too late to count, but else the command would set it
    original = model_loading.open_classifier

    def open_once(path, machine, *, temperature=None):
        if str(path) != str(checkpoint()):
            return original(path, machine, temperature=temperature)
        model = opened()
        model.temperature = 2.0 if temperature is None else temperature
        return model

    monkeypatch.setattr(model_loading, "open_classifier", open_once)

    def run(*arguments, text=None, model=None):
        if text is not None:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        given = [str(checkpoint() if model is None else model), *map(str, arguments), "--engine", ENGINES[-1]]
        status = command("classify", given, prog="classify")
        out, err = capsys.readouterr()
        return status, out, "".join(line for line in err.splitlines(True) if not line.startswith("compiling "))

    yield run
    opened().temperature = 2.0


def expected(text):
    (result,) = opened().classify([text])
    return result


def test_each_line_has_a_label_a_probability_and_its_text(run):
    status, out, err = run(text=LINES)
    assert status == 0 and err == "2 texts are blank: the label is empty\n"
    lines = [line.split("\t", 2) for line in out.splitlines()]
    assert [line[2] for line in lines] == ["A charming film.", "", "It is dull,\tand long.", "  ", "A film by two"]
    assert [line[:2] for line in lines if line[1] == "-"] == [["", "-"]] * 2
    for label, p, text in (lines[0], lines[2]):
        found = expected(text)
        assert (label, p) == (found.label, f"{found.probability:.6f}")


def test_all_labels_and_json(run):
    _, out, _ = run("--all", text="A charming film.\n")
    *pairs, text = out.rstrip("\n").split("\t")
    probabilities = [float(p) for p in pairs[1::2]]
    assert text == "A charming film." and set(pairs[::2]) == set(LABELS)
    assert probabilities == sorted(probabilities, reverse=True) and sum(probabilities) == pytest.approx(1, abs=1e-5)
    _, out, _ = run("--json", "--all", text='He said "dull\x07"\n\n')
    first, blank = map(json.loads, out.splitlines())
    assert first["text"] == 'He said "dull\x07"' and first["label"] == next(iter(first["probabilities"]))
    assert blank == {"text": "", "label": None, "probability": None, "probabilities": dict.fromkeys(LABELS)}
    _, out, _ = run("--json", text="A film\n")
    assert set(json.loads(out)) == {"text", "label", "probability"}


def test_a_threshold_and_a_temperature(run):
    _, out, _ = run("--threshold", "1", text="A film\n")
    assert out.startswith("\t0.") and out.endswith("\tA film\n")
    _, out, _ = run("--threshold", "0", "--temperature", "1000", text="A film\n")
    label, p, _ = out.split("\t")
    assert label in LABELS and float(p) == pytest.approx(1 / 3, abs=0.01)


def test_a_table_has_one_line_for_each_row(run, tmp_path):
    (tmp_path / "films.csv").write_text('id,review\n1,"A charming\nfilm."\n2,\n3,It is dull\n')
    _, out, err = run("films.csv", "--column", "review")
    assert [line.split("\t")[2] for line in out.splitlines()] == ["A charming film.", "", "It is dull"]
    assert err == "1 text is blank: the label is empty\n"
    status, _, err = run("films.csv", "--column", "text")
    assert status == 2 and "name the column that has the text with --column" in err


def test_measures_over_labelled_texts(run, tmp_path):
    (tmp_path / "labelled.txt").write_text(LABELLED + "pos\t \n")
    status, out, err = run("labelled.txt", "--evaluate")
    assert status == 0 and err == "1 text is blank and not counted\n"
    assert out.startswith("4 texts\n") and max(map(len, out.splitlines())) <= 80
    report = opened().evaluate(tuple(line.split("\t")[::-1]) for line in LABELLED.splitlines())
    assert f"accuracy           {report.accuracy:.4f}\n" in out and f"macro F1           {report.macro_f1:.4f}\n" in out
    assert "with temperature 2: " in out and "confusion matrix" in out
    rows = [list(map(int, re.findall(r"\d+", line))) for line in out.splitlines()[-3:]]
    assert rows == report.confusion.tolist()
    _, out, _ = run("labelled.txt", "--evaluate", "--json")
    found = json.loads(out)
    assert found["confusion"] == report.confusion.tolist()
    assert [each["label"] for each in found["labels"]] == list(LABELS)


def test_labelled_folders_and_tables(run, tmp_path):
    for label in LABELS[:2]:
        (tmp_path / "films" / label).mkdir(parents=True)
        (tmp_path / "films" / label / "1.txt").write_text("A film.\n\nIt is long.")
    assert run("films", "--evaluate")[1].startswith("2 texts\n")
    (tmp_path / "films.csv").write_text("film,verdict\nA film,neg\nIt is dull,pos\nA long film,pos\n")
    arguments = ["films.csv", "--evaluate", "--column", "film", "--label-column", "verdict"]
    assert run(*arguments)[1].startswith("3 texts\n")


def test_a_picture_of_the_confusion_matrix(run, tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "labelled.txt").write_text(LABELLED)
    status, out, _ = run("labelled.txt", "--evaluate", "--output", "new/confusion.png")
    assert status == 0 and out.endswith("\nnew/confusion.png has a picture of the confusion matrix\n")
    assert (tmp_path / "new/confusion.png").read_bytes().startswith(b"\x89PNG")
    status, _, err = run("labelled.txt", "--evaluate", "--output", "new/confusion.png")
    assert status == 2 and "add --force to replace it" in err
    assert run("labelled.txt", "--evaluate", "--output", "new/confusion.png", "--force")[0] == 0


def test_without_matplotlib_a_picture_is_refused_at_once(run, tmp_path, monkeypatch):
    (tmp_path / "labelled.txt").write_text(LABELLED)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    status, out, err = run("labelled.txt", "--evaluate", "--output", "confusion.png")
    assert (status, out) == (2, "") and "plots need matplotlib" in err
    assert run("labelled.txt", "--evaluate")[0] == 0


@pytest.mark.slow
def test_a_page_explains_the_first_texts(run, tmp_path, monkeypatch):
    monkeypatch.setattr(classify, "MAX_EXPLAINED", 2)
    monkeypatch.setattr(classify, "MAX_EXPLAINED_TOKENS", 20)
    (tmp_path / "films.txt").write_text(f"A <b>charming</b> film.\n\n{'long ' * 30}\nIt is dull.\nIt is long.\n")
    status, out, err = run("films.txt", "--explain", "page.html")
    assert status == 0 and re.fullmatch(r"page.html  \([\d.]+kB\)\n", out)
    notes = [line for line in err.splitlines() if not line.startswith("explaining: ")]  # on a slow machine
    assert notes == ["1 text is longer than 20 tokens and left out", "the page has the first 2 texts"]
    html = (tmp_path / "page.html").read_text()
    data = json.loads(re.search(r'<script type="application/json" id="explained">(.*?)</script>', html, re.DOTALL)[1])
    assert [len(text["pieces"]) for text in data["texts"]] == [11, 5] and "<b>" not in html
    found = opened().explain("It is dull.")
    shown = data["texts"][1]
    assert shown["label"] == found.label == shown["probabilities"][0][0]
    assert [piece["contribution"] for piece in shown["pieces"]] == pytest.approx(list(found.contributions), abs=1e-2)
    assert [piece["removal"] for piece in shown["pieces"]] == pytest.approx(list(found.removals), abs=1e-2)
    status, _, err = run("films.txt", "--explain", "page.html")
    assert status == 2 and "page.html already exists: give another --explain, or add --force" in err
    status, _, err = run("--explain", "other.html", text=" \n")
    assert status == 2 and "there is no text to explain" in err


@pytest.mark.parametrize(
    ("arguments", "text", "message"),
    [
        ([], "", "standard input is empty"),
        ([], "A film.\n" * 9 + "\0", "standard input is not text: it has a zero byte"),
        (["nothing.txt"], None, "cannot find nothing.txt"),
        (["."], None, "is a folder, not a text file"),
        (["--nonsense"], None, "unrecognized arguments"),
        (["--threshold", "1.1"], None, "--threshold must be from 0 to 1, got 1.1"),
        (["--threshold", "nan"], None, "--threshold must be from 0 to 1, got nan"),
        (["--temperature", "0"], None, "--temperature must be above 0, got 0"),
        (["--temperature", "inf"], None, "--temperature must be above 0, got inf"),
        (["--output", "a.png"], None, "--output needs --evaluate"),
        (["--label-column", "y"], None, "--label-column needs --evaluate"),
        (["--evaluate", "--all"], None, "--all cannot be used with --evaluate"),
        (["--explain", "a.html", "--json"], None, "--json cannot be used with --explain"),
        (["--explain", "a.pdf"], None, "--explain must end in .html, got a.pdf"),
        (["--evaluate", "--output", "a.pdf"], None, "--output must end in .png, got a.pdf"),
        (["--evaluate", "--explain", "a.html"], None, "not allowed with"),
        (["--evaluate"], "A film.\n", "standard input has no labels: each line must be a label"),
        (["--evaluate"], "pos\tA film.\nbad\tDull\n", "standard input row 2: the model has no label 'bad' (its labels "
         "are neg, pos, so-so)"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_status_2(run, arguments, text, message):
    status, out, err = run(*arguments, text=text)
    assert (status, out) == (2, "") and message in err and err.count("\n") == 1


def test_a_wrong_kind_of_model_is_named_with_the_commands_that_fit(run, capsys, tmp_path):
    status, _, err = run(model=language_model(), text="A film")
    assert status == 2 and err.endswith(
        "is a language model, but a classifier is needed: use it with generate, score, look or serve, or train "
        "one with --task classify\n"
    )
    assert load(checkpoint()).kind == "classifier"
    assert command("generate", [str(checkpoint())], prog="generate") == 2
    assert capsys.readouterr().err.endswith(
        "is a classifier, but a language model is needed: use it with classify or serve, or train one with --task "
        "next\n"
    )
    status, _, err = run(model=tmp_path / "none.safetensors", text="A film")
    assert status == 2 and "cannot find the model" in err


def test_a_label_and_a_text_stay_on_their_line():
    assert classify.on_one_line("a\r\nb\u2028c\n") == "a b c"
    with pytest.raises(UserError, match="no label"):
        opened().evaluate([("A film.", "x")])
