"""translate: one line for each line, n-best lists, measures, scores, pages, and mistakes in one line."""

import io
import json
import re
from importlib.util import find_spec

import pytest
from conftest import ENGINES
from play_models import checkpoint as language_model
from translator_models import checkpoint, opened
from translator_models import language_model as fitting_language_model

from theano_rnn.cli import model_loading
from theano_rnn.cli.main import command
from theano_rnn.scoring.nbest import read_lists

LINES = "A dog runs.\n\nIt is late!\n  \nA dog <b>\u2028is late"
SOURCES = ["A dog runs.", "", "It is late!", "  ", "A dog <b>\u2028is late"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Returns a function that runs the command. The model is compiled once; a path to another one is opened."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # too late to count, but else the command would set it
    original = model_loading.open_translator

    def open_translator(path, machine, **more):
        is_plain = str(path) == str(checkpoint()) and not any(more.values())
        return opened() if is_plain else original(path, machine, **more)

    monkeypatch.setattr(model_loading, "open_translator", open_translator)

    def run(*arguments, text=None, model=None, name="translate"):
        if text is not None:
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        given = [str(checkpoint() if model is None else model), *map(str, arguments), "--engine", ENGINES[-1]]
        status = command(name, given, prog=name)
        out, err = capsys.readouterr()
        return status, out, "".join(line for line in err.splitlines(True) if not line.startswith("compiling "))

    return run


def translated(**options):
    return opened().translate(SOURCES, **options)


@pytest.mark.slow
def test_each_line_has_a_line_in_the_same_order(run):
    status, out, err = run(text=LINES)
    assert status == 0 and err == "3 of 15 source tokens are not in the model's vocabulary\n"
    assert out.split("\n") == [*(each.text for each in translated()), ""]
    assert [line == "" for line in out.split("\n")] == [False, True, False, True, False, True]


def test_the_search_follows_its_flags_and_scores_are_printed(run):
    _, out, _ = run("--scores", "--beam-size", "2", "--length-power", "0.5", "--no-repeat-ngram-size", "1", text=LINES)
    for line, found in zip(out.splitlines(), translated(beam_size=2, length_power=0.5, no_repeat_ngram_size=1)):
        score, text = line.split("\t")
        assert text == found.text
        if not text and not found.translations:
            assert score == "-"
        else:
            assert float(score) == pytest.approx(found.translations[0].score, abs=2e-6)


@pytest.mark.slow
def test_n_best_lists_are_those_that_rescore_reads(run, tmp_path):
    status, out, _ = run("--nbest", "3", text=LINES)
    assert status == 0
    lists = list(read_lists(out.splitlines(), "lists"))
    assert [each[0].id for each in lists] == ["0", "1", "2", "3", "4"]
    for entries, found in zip(lists, translated(num_best=3)):
        if not found.translations:
            assert [(each.text, each.score) for each in entries] == [("", 0.0)]
            continue
        for entry, each in zip(entries, found.translations, strict=True):
            assert entry.text == each.text.replace("|||", "| | |").strip()
            assert entry.score == pytest.approx(each.score, abs=1e-6)
    (tmp_path / "lists.txt").write_text(out)
    status, ranked, err = run("lists.txt", "--weight", "0", model=language_model(), name="rescore")
    assert status == 0, err
    assert [line.split(" ||| ")[0] for line in ranked.splitlines()] == [
        line.split(" ||| ")[0] for line in out.splitlines()
    ]
    assert all("theano_rnn=" in line and "log_p=" in line for line in ranked.splitlines())
    _, one, _ = run("--nbest", "1", text="A dog\n")
    assert one.startswith("0 ||| ") and one.count("\n") == 1


@pytest.mark.slow
def test_a_language_model_an_ensemble_and_coverage_take_part(run):
    lm, other = fitting_language_model(), checkpoint(seed=6)
    flags = ["--lm", lm, "--lm-weight", "0.4", "--coverage", "0.3", "--ensemble", other]
    status, out, err = run(*flags, "--nbest", "2", text="A dog runs.\n\n")
    assert status == 0, err
    model = opened(lm=lm, others=(6,))
    (found,) = model.translate(["A dog runs."], 2, lm_weight=0.4, coverage=0.3)
    for entry, each in zip(next(read_lists(out.splitlines(), "lists")), found.translations, strict=True):
        assert entry.text == each.text.replace("|||", "| | |").strip()
        assert entry.fields[2] == (f"log_p= {each.log_probability:.6f} lm= {each.lm_log_probability:.6f} "
                                   f"coverage= {each.coverage:.6f}")  # fmt: skip
        total = each.log_probability + 0.4 * each.lm_log_probability
        assert entry.score == pytest.approx(total / (len(each.ids) + 1) + each.coverage, abs=1e-5)
    assert out.splitlines()[2] == "1 |||  ||| log_p= 0.000000 lm= 0.000000 coverage= 0.000000 ||| 0.000000"
    _, scored, _ = run("--lm", lm, "--scores", text="A dog runs.\n")
    best = model_with_lm().translate(["A dog runs."])[0].translations[0]
    assert scored == f"{best.score:.6f}\t{best.text}\n"


def model_with_lm():
    return opened(lm=fitting_language_model())


def test_the_weight_of_the_language_model_is_tuned(run, tmp_path, monkeypatch):
    pytest.importorskip("sacrebleu")
    model, lines = model_with_lm(), ["A dog runs.", "It is late!", "It is a dog, it runs, it is late."]
    (tmp_path / "source.txt").write_text("\n".join(lines) + "\n")
    wanted = [each.text for each in model.translate(lines, lm_weight=0.4)]
    assert wanted != [each.text for each in model.translate(lines, lm_weight=0)]
    (tmp_path / "target.txt").write_text("\n".join(wanted) + "\n")
    monkeypatch.setattr(model_loading, "open_translator", lambda path, machine, **more: model)
    arguments = ["source.txt", "--evaluate", "target.txt", "--lm", fitting_language_model(), "--tune-lm-weight"]
    status, out, err = run(*arguments)
    assert status == 0, err
    *tried, best = out.splitlines()
    scores = {float(line.split()[1]): float(line.split()[3]) for line in tried}
    assert scores[0.4] == 100 > scores[0.0]
    smallest = min(weight for weight, score in scores.items() if score == 100)
    assert re.fullmatch(rf"best: --lm-weight {smallest:g}  BLEU 100.00  nrefs:1\|.*", best), best


def test_translations_are_measured(run, tmp_path):
    pytest.importorskip("sacrebleu")
    (tmp_path / "source.txt").write_text("A dog runs.\nIt is late!\n\n")
    texts = [each.text for each in opened().translate(["A dog runs.", "It is late!"])]
    (tmp_path / "same.txt").write_text("\n".join([*texts, "", ""]))
    status, out, _ = run("source.txt", "--evaluate", "same.txt")
    bleu, chrf = out.splitlines()
    assert status == 0
    assert re.fullmatch(r"BLEU 100.00  nrefs:1\|case:mixed\|eff:no\|tok:13a\|smooth:exp\|version:.*", bleu), bleu
    assert re.fullmatch(r"chrF 100.00  nrefs:1\|case:mixed\|eff:yes\|nc:6\|nw:0\|space:no\|version:.*", chrf), chrf
    (tmp_path / "upper.txt").write_text("\n".join([*(text.upper() for text in texts), "", ""]))
    assert float(run("source.txt", "--evaluate", "upper.txt")[1].split()[1]) < 90
    (tmp_path / "short.txt").write_text("Ein Hund.\n")
    status, out, err = run("source.txt", "--evaluate", "short.txt")
    assert (status, out) == (2, "") and "source.txt has 3 lines, but short.txt has 1" in err and err.count("\n") == 1


def test_given_translations_are_scored(run, tmp_path):
    (tmp_path / "source.txt").write_text("A dog runs.\n\nIt is late!\n")
    (tmp_path / "target.txt").write_text("Ein Hund rennt.\nEs ist.\nZorblax ist spät!\n")
    status, out, err = run("source.txt", "--score", "target.txt")
    rows = [line.split("\t") for line in out.splitlines()]
    assert status == 0 and rows[1] == ["-", "0", "Es ist."]
    assert rows[0][1:] == ["5", "Ein Hund rennt."]
    assert float(rows[0][0]) == pytest.approx(opened().score("A dog runs.", "Ein Hund rennt."), abs=1e-4)
    assert "1 of 10 target tokens" not in err
    _, _, err = run("source.txt", "--score", "source.txt")
    assert "target tokens are not in the model's vocabulary" in err


@pytest.mark.slow
def test_a_page_of_attention(run, tmp_path):
    status, out, err = run("--attention", "new/page.html", text=LINES)
    assert status == 0 and out.startswith("new/page.html  ("), err
    html = (tmp_path / "new" / "page.html").read_text()
    data = json.loads(re.search(r'id="attended">(.*?)</script>', html)[1])
    assert [each["text"] for each in data["sentences"]] == [each.text for each in translated() if each.translations]
    for each in data["sentences"]:
        assert len(each["weights"]) == len(each["target"]) and each["source"][-1] == each["target"][-1] == "</s>"
        assert all(sum(row) == pytest.approx(1, abs=0.01) for row in each["weights"])
    status, _, err = run("--attention", "new/page.html", text=LINES)
    assert status == 2 and "already exists" in err
    _, _, err = run("--attention", "new/page.html", "--force", text="A\n" * 150)
    assert err == "the page has the first 100 sentences\n"


def test_tables_and_unknown_words(run, tmp_path):
    (tmp_path / "table.csv").write_text("id,en\n1,A dog runs.\n2,Quux Zorblax\n")
    status, out, err = run("table.csv", "--column", "en")
    assert status == 0 and out.count("\n") == 2
    assert err == "2 of 6 source tokens are not in the model's vocabulary\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nbest", "6"], "--nbest must be at most beam_size, 5, got 6: raise --beam-size"),
        (["--beam-size", "0"], "--beam-size must be at least 1"),
        (["--nbest", "2", "--scores"], "--nbest cannot be used with --scores"),
        (["--nbest", "2", "--attention", "x.html"], "--nbest cannot be used with --attention"),
        (["--attention", "x.txt"], "--attention must end in .html"),
        (["--attention", ""], "--attention must end in .html, got an empty name"),
        (["--evaluate", "missing.txt"], "missing.txt"),
        (["--score", "missing.txt"], "missing.txt"),
        (["missing.txt"], "cannot find missing.txt"),
        (["--score", "-"], "only one of the two files can be standard input"),
        (["--attention", "x.html"], "there is no sentence to show"),
        (["--lm-weight", "0"], "--lm-weight needs a language model: add --lm"),
        (["--tune-lm-weight"], "--tune-lm-weight needs a language model: add --lm"),
        (["--lm", "missing.safetensors"], "cannot find the model missing.safetensors"),
        (["--lm", "x", "--tune-lm-weight"], "--tune-lm-weight compares BLEU: add --evaluate REFERENCE"),
        (["--lm", "x", "--lm-weight", "-1"], "--lm-weight must be at least 0"),
        (["--ensemble", "missing.safetensors"], "cannot find the model missing.safetensors"),
        (["--coverage", "-1"], "--coverage must be at least 0"),
    ],
    ids=repr,
)
def test_a_mistake_is_one_line_and_status_2(run, arguments, message):
    if "--evaluate" in arguments and not find_spec("sacrebleu"):
        pytest.skip("needs sacrebleu")
    status, out, err = run(*arguments, text="\n \n")
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert message in err


def test_the_wrong_kind_of_model_is_refused(run, tmp_path):
    status, _, err = run(text="A", model=language_model())
    assert status == 2 and "is a language model, but a translator is needed" in err and err.count("\n") == 1
    for name in ("score", "generate", "classify", "fill"):
        status, out, err = run(*(["-"] if name != "generate" else []), text="A", name=name)
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert "is a translator, but a " in err and "use it with translate or serve" in err
    status, _, err = run("--lm", language_model(), text="A")
    assert status == 2 and "does not have the target vocabulary of" in err and err.count("\n") == 1
    assert f"train.py --vocab-from {checkpoint()} --train TEXT" in err
    (tmp_path / "target.txt").write_text("A\n")
    status, _, err = run("--score", "target.txt", "--lm", fitting_language_model(), text="A")
    assert status == 2 and "leave --lm out" in err and err.count("\n") == 1
