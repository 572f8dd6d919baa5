"""Training from Python: the same checkpoint as by the command, on files and on texts; mistakes."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import sentences

import theano_rnn
from theano_rnn import Classifier, LanguageModel, Translator, train
from theano_rnn.cli.main import main
from theano_rnn.learning.checkpoint import load
from theano_rnn.settings.base import UserError

TEXT = "\n\n".join(sentences(60, seed=1))
SETTINGS = {"embedding_size": 3, "hidden_size": 4, "preset": "none", "batch_size": 4, "bptt_steps": 20, "epochs": 2,
            "cell": "tanh", "schedule": "constant"}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # too late to count, but else the command would set it
    Path("book.txt").write_text(TEXT)
    return tmp_path


def same_checkpoint(first, second):
    a, b = load(first, resume=True), load(second, resume=True)
    tensors, others = ({**each.last, **{f"optimizer/{name}": value for name, value in each.optimizer.items()}}
                       for each in (a, b))  # fmt: skip
    return tensors.keys() == others.keys() and all(np.array_equal(tensors[name], others[name]) for name in tensors)


@pytest.mark.slow
def test_a_model_is_trained_as_by_the_command(folder, capsys):
    model = LanguageModel.train("book.txt", checkpoint="python.safetensors", **SETTINGS)
    assert "validation" in capsys.readouterr().out
    flags = [part for name, value in SETTINGS.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["train", "--train", "book.txt", "--checkpoint", "command.safetensors", *flags]) == 0
    assert same_checkpoint("python.safetensors", "command.safetensors")
    assert isinstance(model, LanguageModel)
    assert model.generate("Emma", seed=2) == LanguageModel("command.safetensors").generate("Emma", seed=2)
    assert Path("python.jsonl").exists()


@pytest.mark.slow
def test_texts_are_kept_so_that_a_run_can_be_resumed(folder):
    options = {**SETTINGS, "epochs": 1, "checkpoint": Path("runs/texts.safetensors")}
    path = train(["Emma saw.\nJane saw.", Path("book.txt"), TEXT], **options)
    assert path == "runs/texts.safetensors"
    first, second, third = load(path).settings["corpus"]["train"]
    assert Path(first).read_text() == "Emma saw.\nJane saw." and Path(third).read_text() == TEXT
    assert Path(first).parent == Path(third).parent and second == "book.txt"
    train(resume=True, checkpoint=path, epochs=2)
    assert load(path).progress["epoch"] == 2
    train(TEXT + "\nMore.", **options)
    assert Path(third).read_text() == TEXT  # which the older run still needs


def test_mistakes_are_errors_that_say_what_to_do(folder):
    with pytest.raises(TypeError, match="no setting 'hidden': did you mean hidden_size"):
        train("book.txt", hidden=3)
    with pytest.raises(UserError, match="hidden-size must be"):
        train("book.txt", hidden_size=0)
    with pytest.raises(FileNotFoundError):
        train("missing.txt")
    with pytest.raises(ValueError, match="at least one"):
        train([])
    with pytest.raises(UserError, match="OMP_NUM_THREADS"):
        train("book.txt", threads=1)
    with pytest.raises(TypeError, match="got bytes"):
        train(b"abc\ndef")
    with pytest.raises(UserError, match="hidden-size"):
        train(TEXT, checkpoint="none.safetensors", hidden_size="x")
    with pytest.raises(TypeError, match="task 'next'"):
        LanguageModel.train("book.txt", task="fill")
    with pytest.raises(AttributeError):
        theano_rnn.nothing  # noqa: B018


@pytest.mark.slow
def test_a_thread_can_train(folder):
    with ThreadPoolExecutor(1) as pool:
        model = pool.submit(LanguageModel.train, "book.txt", device="cpu", **SETTINGS).result()
    assert model.device == "cpu"  # as in training, not "auto"


@pytest.mark.slow
def test_ctrl_c_saves_and_raises(folder, monkeypatch):
    from theano_rnn.cli.session import Session

    def interrupted(self, *arguments):
        self.interruption.signal = 2

    monkeypatch.setattr(Session, "on_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train("book.txt", checkpoint="stopped.safetensors", **SETTINGS)
    assert load("stopped.safetensors").progress["step"] == 1


@pytest.mark.slow
def test_the_package_is_imported_quickly():
    """Without NumPy and Aesara; `LanguageModel` and `train` are imported on first use."""
    code = "import sys, theano_rnn; assert not {'numpy', 'aesara'} & set(sys.modules); theano_rnn.train"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_a_classifier_is_trained_on_labelled_lines(folder):
    lines = "".join(f"{sentence.split()[0]}\t{sentence}\n" for sentence in sentences(90))
    settings = {name: value for name, value in SETTINGS.items() if name != "bptt_steps"}
    model = Classifier.train(lines, checkpoint="names.safetensors", **{**settings, "epochs": 1})
    assert model.labels == ["Anne", "Emma", "Jane"]
    assert model.temperature == load("names.safetensors").facts["temperature"]
    again = Classifier("names.safetensors", temperature=1.0)
    results = again.classify(["Emma saw the house.", " "])
    assert results[0].label in model.labels and results[1].label == ""
    with pytest.raises(TypeError, match="a classifier is trained with task 'classify', got 'fill'"):
        Classifier.train(lines, task="fill")
    with pytest.raises(UserError, match="a language model, but a classifier is needed: use it with generate"):
        Classifier(train(TEXT, checkpoint="words.safetensors", **{**SETTINGS, "epochs": 1}))


def test_a_translator_is_trained_on_two_texts(folder):
    pytest.importorskip("sacrebleu")
    source = "".join(f"{sentence}\n" for sentence in sentences(60))
    settings = {name: value for name, value in SETTINGS.items() if name != "bptt_steps"}
    model = Translator.train([source, source.upper()], checkpoint="upper.safetensors", **{**settings, "epochs": 1})
    assert "▁HOUSE" in model.vocabulary.words and "▁house" in model.source_vocabulary.words
    found = Translator("upper.safetensors").translate(["Emma saw the house.", " "], num_best=2)
    assert found[0].text and len(found[0].translations) <= 2 and found[1].text == ""
    with pytest.raises(TypeError, match="a translator is trained with task 'translate', got 'next'"):
        Translator.train(source, task="next")
