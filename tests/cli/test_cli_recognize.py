"""recognize: words and labels in time, JSON, n-best lists, errors, pages, language models, mistakes in one line."""

import base64
import io
import json
import re
import sys
import types

import numpy as np
import play_models
import pytest
from conftest import ENGINES
from play_models import checkpoint as language_model
from recognizer_models import RATE, checkpoint, opened, samples, wav_bytes, write_recordings

from theano_rnn.cli import model_loading
from theano_rnn.cli.main import command
from theano_rnn.generation.word_scores import RecurrentWords
from theano_rnn.recognizer import Recognizer
from theano_rnn.scoring.nbest import read_lists
from theano_rnn.settings.base import UserError
from theano_rnn.settings.word_search import WordSearchConfig
from theano_rnn.sound.audio import read_samples

FREE = ["--lm-weight", "0", "--word-bonus", "8"]  # so that a model that has learned nothing finds words
CONFIG = {"lm_weight": 0.0, "word_bonus": 8.0}
FILES = ["0.wav", "1.wav", "2.wav"]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Returns a function that runs the command in a folder of recordings. The functions are compiled once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # too late to count, but else the command would set it
    write_recordings(tmp_path)
    original = Recognizer.function

    def function(self, name):
        unit = "letter" if self.decoder.is_lettered else "phoneme"
        known = opened(unit=unit, bidirectional=self.model.config.bidirectional)
        return original(known if self.engine == known.engine else self, name)

    monkeypatch.setattr(Recognizer, "function", function)

    def run(*arguments, model=None, name="recognize"):
        given = [str(checkpoint() if model is None else model), *map(str, arguments), "--engine", ENGINES[-1]]
        status = command(name, given, prog=name)
        out, err = capsys.readouterr()
        return status, out, "".join(line for line in err.splitlines(True) if not line.startswith("compiling "))

    return run


def test_words_stand_with_their_times_and_labels(run):
    status, out, err = run(*FILES, *FREE)
    assert (status, err) == (0, "")
    expected = opened().recognize(FILES, **CONFIG)
    lines = out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [f"{each.name}: {each.text}" for each in expected]
    rows = [line.split() for line in lines if re.match(r" +\d", line)]
    words = [word for each in expected for word in each.words]
    assert len(rows) == len(words) > 3
    for row, word in zip(rows, words):
        assert row[:4] == [f"{word.start:.2f}", f"{word.end:.2f}", word.word, f"{word.probability:.2f}"]
        assert row[4:] == [text for each in word.labels for text in (each.label, f"{each.probability:.2f}")]
    others = [line for line in lines if "likeliest labels:" in line]
    paths = [[each.label for each in found.labels] for found in expected]
    assert [line.split()[2::2] for line in others] == [
        path for path, found in zip(paths, expected)
        if path != [label.label for word in found.words for label in word.labels]
    ]  # fmt: skip


def test_json_has_all_of_it(run):
    status, out, _ = run(*FILES, "--json", "--nbest", 3, *FREE)
    assert status == 0
    for line, each in zip(out.splitlines(), opened().recognize(FILES, num_best=3, **CONFIG), strict=True):
        record = json.loads(line)
        assert (record["audio"], record["text"]) == (each.name, each.text)
        assert record["seconds"] == pytest.approx(each.seconds)
        assert [word["word"] for word in record["words"]] == each.text.split()
        for word, found in zip(record["words"], each.words):
            assert word["start"] == pytest.approx(found.start, abs=1e-3) and word["labels"][0]["start"] == word["start"]
        assert [label["label"] for label in record["labels"]] == [label.label for label in each.labels]
        assert [(r["text"], r["score"]) for r in record["nbest"]] == [
            (" ".join(r.words), pytest.approx(r.score, abs=1e-5)) for r in each.results
        ]


def test_n_best_lists_are_those_that_rescore_reads(run, tmp_path):
    status, out, _ = run(*FILES, "--nbest", 4, *FREE)
    assert status == 0
    lists = list(read_lists(out.splitlines(), "lists"))
    assert [each[0].id for each in lists] == ["0", "1", "2"]
    for entries, found in zip(lists, opened().recognize(FILES, num_best=4, **CONFIG)):
        for entry, each in zip(entries, found.results, strict=True):
            assert entry.text == " ".join(each.words).replace("|||", "| | |")
            assert entry.score == pytest.approx(each.score, abs=1e-5)
    (tmp_path / "lists.txt").write_text(out)
    status, ranked, err = run("lists.txt", "--weight", "0", model=language_model(), name="rescore")
    assert status == 0, err
    assert len(ranked.splitlines()) == len(out.splitlines()) and "theano_rnn=" in ranked


def test_errors_are_counted_by_kind(run):
    status, out, err = run("--evaluate", "manifest.jsonl", *FREE)
    report = opened().evaluate(["manifest.jsonl"], WordSearchConfig(**CONFIG))
    assert (status, err) == (0, "")
    lines = out.splitlines()
    for line, name, counts in zip(lines, ("phonemes", "words"), (report.labels, report.words)):
        assert line.startswith(name) and f"{100 * counts.rate:.2f} % wrong" in line
        assert f"{counts.substitutions} substituted, {counts.insertions} inserted, {counts.deletions} missing" in line
    assert f"{report.words.wrong_sentences} of 3" in lines[2] and len(lines) == 5
    record = json.loads(run("--evaluate", "manifest.jsonl", "--json", *FREE)[1])
    assert record["words"]["error_rate"] == pytest.approx(report.words.rate)
    assert record["words"]["substitutions"] == report.words.substitutions and record["words"]["count"] == 6
    assert sum(each["count"] for each in record["words"]["confusions"]) == report.words.errors


def test_the_weight_and_the_bonus_are_tuned(run, monkeypatch):
    monkeypatch.setattr("theano_rnn.recognizer.TUNED_WEIGHTS", (0.0, 0.5))
    monkeypatch.setattr("theano_rnn.recognizer.TUNED_BONUSES", (-50.0, 8.0))
    status, out, _ = run("--tune", "manifest.jsonl")
    assert status == 0
    found = {}
    for line in out.splitlines():
        weight, bonus, rate, errors = re.fullmatch(
            r"--lm-weight (\S+) --word-bonus (\S+): (\S+) % of words wrong, (\d+) of 6", line
        ).groups()
        found[float(weight), float(bonus)] = int(errors)
        report = opened().evaluate(
            ["manifest.jsonl"], WordSearchConfig(lm_weight=float(weight), word_bonus=float(bonus))
        )
        assert report.words.errors == int(errors) and f"{100 * report.words.rate:.2f}" == rate
    assert len(found) == 4 and list(found.values()) == sorted(found.values()) and len({*found.values()}) > 1


def test_recordings_that_cannot_be_compared_are_named(run, tmp_path):
    write_recordings(tmp_path, ("ONE", "THREE"))
    status, out, err = run("--evaluate", "manifest.jsonl")
    assert status == 0 and "words" in out and "not in the lexicon" in err and "THREE" in err


def test_given_words_are_placed(run):
    status, out, err = run("2.wav", "--text", "two one")
    assert (status, err) == (0, "") and out.startswith("2.wav: TWO ONE\n")
    status, out, err = run("2.wav", "--text", "three")
    assert (status, out) == (2, "") and err == (
        "2.wav: 'three' is not a word of the lexicon: correct it, or give its pronunciation with --lexicon\n"
    )


def test_a_page_shows_and_plays_the_recordings(run, tmp_path):
    status, out, err = run(*FILES, "--align", "new/page.html", *FREE)
    assert status == 0 and out.startswith("new/page.html  ("), err
    html = (tmp_path / "new" / "page.html").read_text()
    data = json.loads(re.search(r'id="aligned">(.*?)</script>', html)[1])
    assert data["about"] == checkpoint().name
    for record, each, name in zip(data["recordings"], opened().recognize(FILES, **CONFIG), FILES, strict=True):
        assert record["text"] == each.text and [word[0] for word in record["words"]] == each.text.split()
        sound = base64.b64decode(record["audio"].removeprefix("data:audio/wav;base64,"))
        np.testing.assert_array_equal(read_samples(io.BytesIO(sound))[0], read_samples(name)[0])
        posteriors = record["posteriors"]
        values = np.frombuffer(base64.b64decode(posteriors["values"]), np.uint8).reshape(posteriors["rows"], -1)
        columns = [opened().labels.index(label) + 1 for label in posteriors["labels"]]
        np.testing.assert_allclose(values / 255, np.exp(each.log_probabilities[:, columns]).T, atol=0.003)
        picture = record["spectrogram"]
        assert picture["top_hz"] == RATE / 2
        assert len(base64.b64decode(picture["values"])) == picture["rows"] * picture["columns"]
        assert {label[0] for label in record["labels"]} <= set(posteriors["labels"])
    status, _, err = run("0.wav", "--align", "new/page.html")
    assert status == 2 and "already exists" in err
    assert run("0.wav", "--align", "new/page.html", "--force")[0] == 0


def test_a_page_has_limits(run, monkeypatch):
    monkeypatch.setattr("theano_rnn.cli.recognize.MAX_SHOWN_SECONDS", 2.0)
    status, _, err = run(*FILES, "--align", "page.html")
    assert status == 0 and err.startswith("1 recordings are left out, because a page has at most")


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_recognized(run, tmp_path):
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "cut.wav").write_bytes(wav_bytes()[:4000])
    (tmp_path / "text.wav").write_text("no sound")
    status, out, err = run("0.wav", "empty.wav", "missing.wav", "text.wav", "1.wav")
    assert status == 2 and [line.split(":")[0] for line in out.splitlines() if ".wav" in line] == ["0.wav", "1.wav"]
    assert err.count("\n") == 3
    assert "empty.wav is empty" in err and "cannot find missing.wav" in err and "text.wav is not" in err
    status, out, _ = run("cut.wav")
    assert status == 0 and out.startswith("cut.wav: ")
    status, out, err = run("missing.wav", "--align", "page.html")
    assert (status, out) == (2, "") and "there is no recording to show" in err


def test_another_lexicon_and_an_arpa_file(run, tmp_path):
    (tmp_path / "new.dict").write_text("THREE  T UW AH\nX  K S\n")
    status, out, err = run("0.wav", "--lexicon", "new.dict", *FREE)
    assert status == 0 and "1 words of the lexicon have phonemes that the model does not know" in err
    assert set(out.splitlines()[0].split()[1:]) == {"THREE"}
    (tmp_path / "lm.arpa").write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-9 <unk>\n-0.1 TWO\n-0.7 </s>\n\n\\end\\\n")
    status, out, _ = run("1.wav", "--arpa", "lm.arpa", "--lm-weight", "9", "--word-bonus", "12")
    assert status == 0 and set(out.splitlines()[0].split()[1:]) == {"TWO"}


def test_letters(run):
    status, out, _ = run("0.wav", *FREE, model=checkpoint("letter"))
    (found,) = opened(unit="letter").recognize(["0.wav"], **CONFIG)
    assert status == 0 and out.startswith(f"0.wav: {found.text}\n")
    status, _, err = run("0.wav", "--lm", str(language_model()), model=checkpoint("letter"))
    assert status == 2 and "--lm needs a language model of characters" in err and "got one of unit word" in err


def test_a_language_model_of_characters_scores_letters_in_the_search(run, monkeypatch):
    labels = opened(unit="letter").decoder.labels
    characters, _, _ = play_models.opened(unit="char")
    scorer, log_p = model_loading.recurrent_letters(characters, labels), 0.0
    state = scorer.start()
    for letter in "two one":
        log_p += scorer.log_probabilities(state)[labels.index(letter)]
        (state,) = scorer.extend([state], [labels.index(letter)])
    log_p += scorer.log_probabilities(state)[-1]
    (expected,) = characters.score(["two one"])
    assert log_p == pytest.approx(expected.total, abs=1e-4)
    with pytest.raises(UserError, match="does not know 'n', 'o'.*transcripts in lower case"):
        model_loading.recurrent_letters(FakeLanguageModel("char", words=(" ", "e", "t", "w", "\n")), labels)

    monkeypatch.setattr(model_loading, "open_language_model", lambda path, machine: characters)
    found = {}
    for weight in (0, 3):
        status, out, err = run("0.wav", "--lm", "x", "--lm-weight", weight, "--nbest", 5, model=checkpoint("letter"))
        assert (status, err) == (0, "")
        found[weight] = {entry.text: entry.score for entry in next(read_lists(out.splitlines(), "lists"))}
    assert list(found[0]) != list(found[3])


class FakeLanguageModel:
    """A language model whose words are those of the lexicon but one; it knows no order of words."""

    def __init__(self, unit="word", words=("ONE", "TWO")):
        from theano_rnn.settings.text import TextConfig
        from theano_rnn.text.vocabulary import Vocabulary

        self.vocabulary = Vocabulary(words, TextConfig(unit=unit, tokens="whitespace", sentences="line"))
        self.start_id, self.end_id = self.vocabulary.bos_id, self.vocabulary.eos_id
        self.model = types.SimpleNamespace(initial_state=lambda columns: [np.zeros((columns, 1))])

    def function(self, name):
        size = self.vocabulary.vocab_size

        def step(tokens, state):
            return np.tile(np.log(np.arange(1, size + 1) / (size * (size + 1) / 2)), (len(tokens), 1)), state + 1

        return step


def test_a_language_model_of_the_project_scores_words_in_the_search(run, monkeypatch, capsys):
    words = opened().decoder.words
    scorer = model_loading.recurrent_words(FakeLanguageModel(), words, None)
    assert isinstance(scorer, RecurrentWords)
    assert "2 of 4 words of the lexicon are unknown to the language model" in capsys.readouterr().err
    row = np.exp(scorer.log_probabilities(scorer.start()))
    vocabulary = FakeLanguageModel().vocabulary
    known = np.arange(1, vocabulary.vocab_size + 1) / (vocabulary.vocab_size * (vocabulary.vocab_size + 1) / 2)
    for word, value in zip(words, row):
        id_ = vocabulary.token_to_id(word)
        assert value == pytest.approx(known[id_] / (2 if id_ == vocabulary.unk_id else 1))
    with pytest.raises(UserError, match="knows no word of the lexicon"):
        model_loading.recurrent_words(FakeLanguageModel(words=("one",)), words, None)
    with pytest.raises(UserError, match="needs a language model of words, got one of unit char"):
        model_loading.recurrent_words(FakeLanguageModel(unit="char", words=("O",)), words, None)
    monkeypatch.setattr(model_loading, "open_language_model", lambda path, machine: FakeLanguageModel())
    scored = []
    original = RecurrentWords.extend
    monkeypatch.setattr(RecurrentWords, "extend", lambda *args: scored.append(1) or original(*args))
    status, _, err = run("0.wav", "--lm", str(language_model()), "--word-bonus", "8")
    assert status == 0 and "unknown to the language model" in err and scored


def test_what_is_said_into_a_microphone(run, monkeypatch, tmp_path):
    sound = samples(0.8, 0)

    class InputStream:
        def __init__(self, *, samplerate, callback, **_):
            assert samplerate == RATE
            for begin in range(0, len(sound), 800):
                callback((sound[begin : begin + 800, None] / 32768).astype(np.float32), 800, None, None)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    fake = types.ModuleType("sounddevice")
    fake.InputStream, fake.PortAudioError, fake.query_devices = InputStream, OSError, lambda kind: {}
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    fake.__spec__ = types.SimpleNamespace()
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    status, out, err = run("--microphone", *FREE)
    assert status == 0 and "speak, then press Enter" in err
    expected = opened().recognize_samples(sound, RATE, **CONFIG)
    assert out.startswith(f"microphone: {expected.text}\n")
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert run("--microphone", "--align", "page.html")[0] == 0 and (tmp_path / "page.html").exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    status, out, err = run("--microphone", *FREE, model=checkpoint(bidirectional=False))
    lines = err.splitlines()
    assert status == 0 and lines[0] == "speak, then press Enter" and len(set(lines)) > 2  # words, as they arrive
    expected = opened(bidirectional=False).recognize_samples(sound, RATE, **CONFIG)
    assert out.startswith(f"microphone: {expected.text}\n") and lines[-1].split()[0] == expected.text.split()[0]

    def no_device(kind):
        raise ValueError("no input device")

    fake.query_devices = no_device
    status, _, err = run("--microphone")
    assert (status, err.count("\n")) == (2, 1) and "no microphone that can be used (no input device)" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name sound files, or add --microphone, or --evaluate or --tune MANIFEST"),
        (["0.wav", "--evaluate", "manifest.jsonl"], "only one of these"),
        (["0.wav", "--nbest", "201"], "--nbest must be at most beam_size, 200, got 201: raise --beam-size"),
        (["0.wav", "--beam-size", "0"], "--beam-size must be at least 1"),
        (["0.wav", "--nbest", "2", "--align", "x.html"], "--nbest cannot be used with --align"),
        (["0.wav", "--json", "--align", "x.html"], "--align cannot be used with --json"),
        (["0.wav", "--align", "x.txt"], "--align must end in .html, got x.txt"),
        (["--evaluate", "manifest.jsonl", "--text", "ONE"], "--text cannot be used with --evaluate"),
        (["--tune", "manifest.jsonl", "--json"], "--tune cannot be used with --json"),
        (["--tune", "manifest.jsonl", "--nbest", "2"], "--nbest cannot be used with --tune"),
        (["--tune", "missing.jsonl"], "cannot find missing.jsonl"),
        (["--evaluate", "missing.jsonl"], "cannot find missing.jsonl"),
        (["0.wav", "--lexicon", "missing.dict"], "cannot find missing.dict"),
        (["0.wav", "--arpa", "missing.arpa"], "cannot find missing.arpa"),
        (["0.wav", "--arpa", "manifest.jsonl"], "manifest.jsonl is not a whole ARPA file"),
        (["0.wav", "--arpa", "a", "--lm", "b"], "not allowed with"),
    ],
    ids=repr,
)
def test_a_mistake_is_one_line_and_status_2(run, arguments, message):
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert message in err


def test_the_microphone_needs_a_package(run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    status, _, err = run("--microphone")
    assert (status, err.count("\n")) == (2, 1) and "needs the package sounddevice" in err


def test_the_wrong_kind_of_model_is_refused(run):
    status, _, err = run("0.wav", model=language_model())
    assert status == 2 and "is a language model, but a recognizer is needed" in err and err.count("\n") == 1
    status, _, err = run("-", name="translate")
    assert status == 2 and "is a recognizer, but a translator is needed: use it with recognize or serve" in err
