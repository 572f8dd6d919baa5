"""export and import: from a checkpoint to PyTorch and back with the same perplexity, and mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exchange_models import TEXT, config_of, params_of, write
from tiny_runs import Commands, contents

from theano_rnn.learning.checkpoint import load, save

EXAMPLE = Path(__file__).parents[2] / "examples" / "score_in_pytorch.py"
MODEL, FILE, BACK = "model.safetensors", "model.pytorch.safetensors", "back.safetensors"


@pytest.fixture
def commands(tmp_path, monkeypatch, capsys):
    """Runs commands in a folder with a checkpoint and a text."""
    write(tmp_path / MODEL, config_of("lstm", 2))
    (tmp_path / "text.txt").write_text(TEXT)
    return Commands(tmp_path, monkeypatch, capsys)


def perplexity(commands, name):
    result = commands("score", name, "text.txt", "--stream")
    assert result.status == 0, result.err
    return json.loads(result.out)["perplexity"]


def succeeded(result):
    assert (result.status, result.err, result.out.count("\n")) == (0, "", 1)
    return result.out


def refused(result):
    assert (result.status, result.out, result.err.count("\n")) == (2, "", 1)
    return result.err


def test_pytorch_the_example_and_the_model_that_comes_back_score_alike(commands):
    pytest.importorskip("torch")
    assert succeeded(commands("export", MODEL)).startswith(f"wrote {FILE}: 2 x lstm of 6, 7 words; next: python ")
    ours = perplexity(commands, MODEL)
    printed = subprocess.run([sys.executable, EXAMPLE, FILE, "text.txt"], capture_output=True, text=True, check=True)
    assert f"{float(printed.stdout):.6g}" == f"{ours:.6g}"
    out = succeeded(commands("import", FILE, "--output", f"new/folder/{BACK}"))
    assert out.startswith(f"wrote new/folder/{BACK}, 7 words; next: theano-rnn score ")
    assert perplexity(commands, f"new/folder/{BACK}") == ours


@pytest.mark.parametrize(("cell", "batching"), [("gru", "sentences"), ("relu", "stream")])
@pytest.mark.slow
def test_the_example_scores_other_cells_and_texts_that_start_otherwise(commands, cell, batching):
    pytest.importorskip("torch")
    write(MODEL, config_of(cell, tie_weights=False), batching=batching)
    succeeded(commands("export", MODEL))
    printed = subprocess.run([sys.executable, EXAMPLE, FILE, "text.txt"], capture_output=True, text=True, check=True)
    assert f"{float(printed.stdout):.6g}" == f"{perplexity(commands, MODEL):.6g}"


def test_the_example_is_of_thirty_lines_and_knows_nothing_of_this_package():
    lines = EXAMPLE.read_text().splitlines()
    assert len(lines) <= 30
    assert not any("import theano" in line or "from theano" in line for line in lines)


@pytest.mark.slow
def test_an_imported_model_generates_tells_and_trains_on_but_cannot_be_resumed(commands):
    commands("export", MODEL)
    commands("import", FILE, "--output", BACK)
    assert succeeded(commands("generate", BACK, "--num-samples", "1"))
    told = commands("info", BACK)
    assert (told.status, told.err) == (0, "")
    assert told.out.startswith(f"{BACK}: language model, imported or exported\nstep 0, ")
    before = Path(BACK).read_bytes()
    train = ["train", "--checkpoint", BACK, "--resume"]
    assert refused(commands(*train)).endswith(f"start a new run with --init-from {BACK} and another --checkpoint\n")
    assert Path(BACK).read_bytes() == before
    flags = ["--sentences", "line", "--tokens", "whitespace", "--epochs", "1", "--batch-size", "2"]
    result = commands("train", "--init-from", BACK, "--train", "text.txt", "--checkpoint", "on.safetensors", *flags)
    assert result.status == 0, result.err
    assert "finished" in commands("info", "on.safetensors").out


def test_onnx_is_written_or_its_extra_named(commands, monkeypatch):
    pytest.importorskip("onnx")
    assert succeeded(commands("export", MODEL, "--format", "onnx")).startswith("wrote model.onnx: 2 x lstm of 6")
    assert Path("model.onnx").stat().st_size > 1000
    monkeypatch.setitem(sys.modules, "onnx.helper", None)
    again = refused(commands("export", MODEL, "--format", "onnx", "--output", "b.onnx"))
    assert again == ("theano-rnn export: ONNX files need onnx, which is not installed: "
                     "run pip install 'theano_rnn[export]'\n")  # fmt: skip
    assert not Path("b.onnx").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"residual": True, "num_layers": 2}, "residual connections"), ({"cell": "mogrifier"}, "mogrifier"),
     ({"kind": "fill-in model"}, "is a fill-in model")],
)  # fmt: skip
def test_what_pytorch_lacks_is_refused_by_name_and_nothing_written(commands, options, message):
    kind = {"kind": options["kind"]} if "kind" in options else {}
    write(MODEL, config_of(**{} if kind else options), **kind)
    before = contents(commands.folder)
    assert message in refused(commands("export", MODEL))
    assert contents(commands.folder) == before


def test_a_file_that_is_there_stays_unless_forced(commands):
    commands("export", MODEL)
    before = contents(commands.folder)
    for arguments in (["export", MODEL], ["import", FILE, "--output", MODEL]):
        assert "already exists: give another --output, or add --force" in refused(commands(*arguments))
    assert contents(commands.folder) == before
    Path(FILE).write_text("something else")
    assert succeeded(commands("export", MODEL, "--force"))
    assert contents(commands.folder) == before
    Path(BACK).write_text("something else")
    assert succeeded(commands("import", FILE, "--output", BACK, "--force"))


def test_no_command_writes_onto_what_it_reads(commands):
    commands("export", MODEL)
    Path("link").symlink_to(FILE)
    Path("hard").hardlink_to(MODEL)
    before = contents(commands.folder)
    for arguments in (
        ["export", MODEL, "--output", f"./{MODEL}"],
        ["export", MODEL, "--output", "hard"],
        ["import", FILE, "--output", "link"],
        ["import", FILE, "--like", MODEL, "--output", MODEL],
    ):
        assert "are the same file" in refused(commands(*arguments, "--force"))
    assert contents(commands.folder) == before


def test_what_cannot_be_read_or_written_is_one_line(commands):
    commands("export", MODEL)
    Path("half").write_bytes(Path(FILE).read_bytes()[:700])
    assert "half is damaged or not a safetensors file" in refused(commands("import", "half", "--output", BACK))
    assert "nothing: No such file" in refused(commands("import", "nothing", "--output", BACK))
    assert "cannot find the model nothing" in refused(commands("export", "nothing"))
    assert "is a folder" in refused(commands("export", MODEL, "--output", "."))
    assert "convert it with theano-rnn import" in refused(commands("score", FILE, "text.txt"))
    assert "is already a checkpoint of theano_rnn" in refused(commands("import", MODEL, "--output", BACK))
    assert "checkpoint" in refused(commands("import", FILE, "--like", FILE, "--output", BACK))
    assert not Path(BACK).exists()


def test_a_model_of_other_software_takes_its_words_from_one_of_ours(commands):
    import safetensors.numpy

    commands("export", MODEL)
    safetensors.numpy.save_file(safetensors.numpy.load_file(FILE), "theirs")
    assert "--like" in refused(commands("import", "theirs", "--output", BACK))
    told = commands("import", "theirs", "--like", MODEL, "--output", BACK)
    assert told.status == 0 and "nothing shows whether they have the order of" in told.err
    assert perplexity(commands, BACK) == perplexity(commands, MODEL)


def test_a_model_of_pytorchs_example_is_imported_with_its_corpus(commands):
    """Its perplexity is that of the log-probabilities that PyTorch gives to the same tokens."""
    torch = pytest.importorskip("torch")
    import safetensors.torch

    parts = {"train.txt": "the cat sat on <unk>\na dog sat\n", "valid.txt": "the mat\n", "test.txt": "a\n"}
    for name, text in parts.items():
        Path(name).write_text(text)
    words = ["the", "cat", "sat", "on", "<unk>", "<eos>", "a", "dog", "mat"]
    torch.manual_seed(1)
    model = torch.nn.Module()
    model.encoder, model.rnn = torch.nn.Embedding(9, 6), torch.nn.GRU(6, 6)
    model.decoder = torch.nn.Linear(6, 9)
    safetensors.torch.save_model(model, "theirs.safetensors")
    succeeded(commands("import", "theirs.safetensors", "--words", ".", "--output", BACK))
    ids = [words.index(word) for word in ["<eos>", *["the", "cat", "sat", "<eos>", "a", "dog", "<unk>", "<eos>"]]]
    with torch.no_grad():
        log_p = model.decoder(model.rnn(model.encoder(torch.tensor(ids[:-1])))[0]).log_softmax(-1)
        nats = -log_p[range(8), ids[1:]].mean().item()
    Path("scored.txt").write_text("the cat sat\na dog bird\n")
    result = json.loads(commands("score", BACK, "scored.txt", "--stream", "--columns", "1").out)
    assert result["perplexity"] == pytest.approx(np.exp(nats), rel=1e-5)
    (commands.folder / "few.txt").write_text("the\n<eos>\n")
    too_few = commands("import", "theirs.safetensors", "--words", "few.txt", "--output", "c")
    assert "2 words are given" in refused(too_few)


def test_a_model_to_share_has_no_more_than_its_parameters(commands):
    write(MODEL, config_of(head="adaptive", cutoffs=(2, 5)))
    small, half = "model.model.safetensors", "half.safetensors"
    assert succeeded(commands("export", MODEL, "--format", "model")).startswith(f"wrote {small}: language model, ")
    assert perplexity(commands, small) == perplexity(commands, MODEL)
    assert commands("generate", small).out == commands("generate", MODEL).out
    succeeded(commands("export", MODEL, "--format", "model", "--dtype", "float16", "--output", half))
    assert Path(half).stat().st_size < Path(small).stat().st_size
    assert perplexity(commands, half) == pytest.approx(perplexity(commands, MODEL), rel=1e-2)
    assert "--resume needs" in refused(commands("train", "--checkpoint", small, "--resume"))
    assert "imported or exported" in commands("info", small).out
    assert "add --format model" in refused(commands("export", MODEL, "--dtype", "float16"))


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_a_model_of_double_precision_is_shared_in_any(commands, dtype):
    write(MODEL, config_of(dtype="float64"))
    succeeded(commands("export", MODEL, "--format", "model", "--dtype", dtype, "--output", "small"))
    assert perplexity(commands, "small") == pytest.approx(perplexity(commands, MODEL), rel=1e-2)


def test_a_model_to_share_does_not_name_folders(commands):
    write(MODEL, config_of())
    checkpoint = load(MODEL)
    checkpoint.settings["corpus"] = {"train": ["/home/me/secret/book.txt"], "valid": None, "init_from": "/home/x.bin"}
    save(MODEL, checkpoint)
    succeeded(commands("export", MODEL, "--format", "model", "--output", "small"))
    assert load("small").settings["corpus"] == {"train": ["book.txt"], "valid": None, "init_from": "x.bin"}
    assert b"secret" not in Path("small").read_bytes()


def test_a_parameter_too_large_for_half_precision_is_refused(commands):
    params = params_of(config_of())
    params["b_y"] = params["b_y"] + np.float32(1e6)
    write(MODEL, config_of(), params)
    flags = ["--format", "model", "--dtype", "float16"]
    assert "b_y has values that are too large for float16" in refused(commands("export", MODEL, *flags))
    assert not Path("model.model.safetensors").exists()


@pytest.mark.parametrize("options", [{"cutoffs": (2, 5)}, {"cutoffs": (3,), "tie_weights": False, "cell": "gru"}])
def test_the_example_scores_the_default_head(commands, options):
    pytest.importorskip("torch")
    write(MODEL, config_of(head="adaptive", **options))
    succeeded(commands("export", MODEL))
    printed = subprocess.run([sys.executable, EXAMPLE, FILE, "text.txt"], capture_output=True, text=True, check=True)
    assert f"{float(printed.stdout):.6g}" == f"{perplexity(commands, MODEL):.6g}"
    succeeded(commands("import", FILE, "--output", BACK))
    assert perplexity(commands, BACK) == perplexity(commands, MODEL)
