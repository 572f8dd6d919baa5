"""describe: a line for each picture, n-best lists, measures, pages, and mistakes in one line."""

import base64
import io
import json

import numpy as np
import pytest
from captioner_models import REGIONS, SIZE, checkpoint, opened, pictures
from conftest import ENGINES
from safetensors.numpy import save_file

from theano_rnn.cli import model_loading
from theano_rnn.cli.main import command

Image = pytest.importorskip("PIL.Image")
NAMES = [f"{number}.png" for number in range(4)]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Returns a function that runs the command in a folder with pictures. The models are compiled once."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")  # too late to count, but else the command would set it
    for name, pixels in zip(NAMES, pictures(4)):
        Image.fromarray(pixels).save(name)
    features = pictures(4, has_features=True)
    save_file(dict(zip(NAMES, features)), "a.safetensors")
    monkeypatch.setattr(model_loading, "open_captioner", lambda path, machine: opened(path == str(checkpoint(True))))

    def run(*arguments, has_features=False):
        given = [str(checkpoint(has_features)), *map(str, arguments), "--engine", ENGINES[-1]]
        status = command("describe", given, prog="describe")
        out, err = capsys.readouterr()
        return status, out, "".join(line for line in err.splitlines(True) if not line.startswith("compiling "))

    return run


def test_each_picture_has_a_line_in_the_same_order(run):
    status, out, err = run(*NAMES)
    expected = [each.text for each in opened().describe(pictures(4))]
    assert (status, err) == (0, "") and out == "".join(f"{name}\t{text}\n" for name, text in zip(NAMES, expected))


def test_features_take_the_place_of_pictures(run):
    status, out, _ = run("2.png", "0.png", "--image-features", "a.safetensors", has_features=True)
    expected = [opened(True).describe(pictures(4, has_features=True))[number].text for number in (2, 0)]
    assert status == 0 and [line.split("\t") for line in out.splitlines()] == [
        ["2.png", expected[0]],
        ["0.png", expected[1]],
    ]


def test_lists_and_json_have_probabilities(run):
    flags = ["--nbest", "2", "--beam-size", "4", "--length-power", "0.5", "--no-repeat-ngram-size", "1"]
    (found,) = opened().describe(pictures(1), 2, beam_size=4, length_power=0.5, no_repeat_ngram_size=1)
    _, out, _ = run("0.png", *flags)
    assert out == "".join(f"0.png\t{each.log_probability:.6f}\t{each.text}\n" for each in found.captions)
    _, out, _ = run("0.png", *flags, "--json")
    read = json.loads(out)
    assert read["image"] == "0.png" and [each["caption"] for each in read["captions"]] == [
        each.text for each in found.captions
    ]


def test_pictures_that_cannot_be_read_are_left_out(run, tmp_path):
    (tmp_path / "bad.png").write_text("no picture")
    status, out, err = run("0.png", "bad.png", "none.png", "1.png")
    assert status == 2 and [line.split("\t")[0] for line in out.splitlines()] == ["0.png", "1.png"]
    assert err.count("\n") == 2 and "bad.png is not a picture" in err and "cannot find none.png" in err


def test_captions_are_measured(run, tmp_path):
    pytest.importorskip("sacrebleu")
    texts = [each.text for each in opened().describe(pictures(4), beam_size=1)]
    rows = [{"image": name, "captions": [text, "a dog"]} for name, text in zip(NAMES, [*texts[:3], "dog dog"])]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    status, out, _ = run("--evaluate", "test.jsonl")
    lines = {line[:47].strip(): line[47:].split() for line in out.splitlines()}
    assert status == 0 and max(map(len, out.splitlines())) <= 80 and lines[""] == ["test"]
    assert lines["pictures"] == ["4"] and lines["exact captions, %"] == ["75.0"]
    assert 0 < float(lines["BLEU"][0]) <= 100 and 0 < float(lines["CIDEr"][0]) <= 1000
    assert lines["caption of a picture is among the first 10"] == ["100.0"]
    assert 0 <= float(lines["captions changed by swapping pictures, %"][0]) <= 100
    status, out, _ = run("--evaluate", "test.jsonl", "--ranked", "0")
    assert status == 0 and "the first" not in out
    status, out, _ = run("--evaluate", "test.jsonl", "--images", tmp_path, "--json")
    read = json.loads(out)
    assert read["exact"] == 75 and read["pictures"] == 4 and read["loss"] > 0


def test_a_page_has_the_pictures_and_where_each_word_looks(run, tmp_path):
    status, out, err = run("0.png", "3.png", "--page", "page.html", "--nbest", "2")
    assert (status, err) == (0, "") and out.startswith("page.html  (")
    html = (tmp_path / "page.html").read_text()
    data = json.loads(html.partition('id="described">')[2].partition("</script>")[0])
    assert [each["name"] for each in data["pictures"]] == ["0.png", "3.png"]
    for shown, pixels in zip(data["pictures"], (pictures(4)[0], pictures(4)[3])):
        jpeg = Image.open(io.BytesIO(base64.b64decode(shown["picture"].partition(",")[2])))
        assert np.abs(np.asarray(jpeg.convert("RGB")).astype(int) - pixels).mean() < 40
        found = opened().describe([pixels], 2)[0].captions
        assert [text for text, _ in shown["captions"]] == [each.text for each in found]
        weights = opened().attention(pixels, found[0]).weights
        np.testing.assert_allclose(shown["weights"], weights.reshape(len(weights), -1), atol=1e-4)
        assert (shown["rows"], shown["columns"]) == weights.shape[1:] and shown["words"][-1] == "</s>"
    status, _, err = run("0.png", "--page", "page.html")
    assert status == 2 and "--force" in err
    status, _, _ = run("none.png", "1.png", "--image-features", "a.safetensors", "--page", "other.html",
                       has_features=True)  # fmt: skip
    assert status == 2 and (tmp_path / "other.html").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name pictures, or add --evaluate CAPTIONS"),
        (["--evaluate"], "was not trained on scenes: name the captions to compare with, --evaluate CAPTIONS"),
        (["0.png", "--ranked", "5"], "--ranked needs --evaluate"),
        (["--evaluate", "a.jsonl", "--ranked", "-1"], "--ranked must be at least 0, got -1"),
        (["0.png", "--evaluate", "a.jsonl"], "name pictures or --evaluate CAPTIONS, not both"),
        (["--evaluate", "none.jsonl"], "cannot find none.jsonl"),
        (["0.png", "--images", "."], "--images needs --evaluate CAPTIONS"),
        (["0.png", "--page", "page.txt"], "--page must end in .html"),
        (["0.png", "--page", "a.html", "--json"], "--page cannot be used with --json"),
        (["0.png", "--nbest", "4"], "--nbest must be at most"),
        (["--evaluate", "0.png", "--nbest", "2"], "--nbest cannot be used with --evaluate"),
        (["0.png", "--image-features", "a.safetensors"], "reads pictures, not ready-made features"),
    ],
    ids=repr,
)
def test_mistakes_are_told_in_one_line(run, arguments, told):
    status, out, err = run(*arguments)
    assert (status, out, err.count("\n")) == (2, "", 1) and told in err


def test_a_model_of_features_says_so(run, tmp_path):
    status, _, err = run("0.png", has_features=True)
    assert status == 2 and "reads ready-made features, not pictures: add --image-features" in err
    save_file({"0.png": np.zeros((REGIONS + 1, SIZE), "float32")}, tmp_path / "b.safetensors")
    status, _, err = run("0.png", "--image-features", "b.safetensors", has_features=True)
    assert status == 2 and f"arrays of shape ({REGIONS}, {SIZE})" in err
