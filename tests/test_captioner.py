"""Use of a trained captioner: captions, probabilities, attention; a picture's captions do not depend on the others."""

import numpy as np
import pytest
from captioner_models import HEIGHT, REGIONS, SIZE, WIDTH, checkpoint, opened, pictures
from translator_models import checkpoint as translator

from theano_rnn.captioner import Captioner
from theano_rnn.settings.base import UserError

KINDS = pytest.mark.parametrize("has_features", [False, True], ids=["pictures", "features"])


@KINDS
def test_captions_do_not_depend_on_the_other_pictures_and_differ(has_features):
    images = pictures(11, has_features=has_features)
    found = opened(has_features).describe(images, 2)
    assert len({each.text for each in found}) > 3
    for number in (0, 4, 10):
        (alone,) = opened(has_features).describe([images[number]], 2)
        assert [each.ids for each in alone.captions] == [each.ids for each in found[number].captions]
        expected = [each.log_probability for each in found[number].captions]
        np.testing.assert_allclose([each.log_probability for each in alone.captions], expected, atol=1e-5)
    backwards = opened(has_features).describe(images[::-1], 2)[::-1]
    assert [each.text for each in backwards] == [each.text for each in found]


@KINDS
def test_log_probabilities_are_those_of_the_search(has_features):
    model, images = opened(has_features), pictures(3, has_features=has_features)
    for image, found in zip(images, model.describe(images, 3, beam_size=4, length_power=0.5)):
        assert [each.score for each in found.captions] == sorted((each.score for each in found.captions), reverse=True)
        for each in found.captions:
            if len(each.ids) == 9:  # it may have no end
                continue
            np.testing.assert_allclose(model.score(image, " ".join(model.vocabulary.decode(each.ids))),
                                       each.log_probability, atol=1e-4)  # fmt: skip
            np.testing.assert_allclose(each.score, each.log_probability / (len(each.ids) + 1) ** 0.5, atol=1e-6)


def test_a_greedy_caption_takes_the_likeliest_word_at_each_step():
    model, texts = opened(), ["a dog", "a", "a dog runs", "red snow circle"]
    images = np.stack(pictures(4))
    for row, found in zip(model.log_probabilities(images, texts), model.describe(list(images), beam_size=1)):
        best = found.captions[0]
        for text, log_p in zip(texts, row):
            assert log_p <= best.log_probability + 1e-5 or not text.startswith(best.text)


@KINDS
def test_attention_sums_to_one_and_differs_between_words_and_pictures(has_features):
    model = opened(has_features)
    one, other = pictures(2, has_features=has_features)
    found = model.attention(one, "a dog runs")
    grid = (1, REGIONS) if has_features else (HEIGHT // 2, WIDTH // 2)
    assert found.words == ["a", "dog", "runs", "</s>"] and found.weights.shape == (4, *grid) == (4, *model.grid)
    np.testing.assert_allclose(found.weights.sum(axis=(1, 2)), 1, atol=1e-5)
    assert np.abs(np.diff(found.weights, axis=0)).max(axis=(1, 2)).min() > 1e-4
    assert np.abs(model.attention(other, "a dog runs").weights - found.weights).max() > 1e-3
    best = model.describe([one])[0].captions[0]
    np.testing.assert_array_equal(model.attention(one).weights, model.attention(one, best).weights)


def test_files_bytes_and_arrays_are_the_same_picture(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    (pixels,) = pictures(1)
    path = tmp_path / "a.png"
    image_module.fromarray(pixels.repeat(2, axis=0).repeat(2, axis=1)).save(path)  # of twice the size
    found = opened().describe([path, path.read_bytes(), pixels.repeat(2, axis=0).repeat(2, axis=1)])
    assert len({each.text for each in found}) == 1 and found[0].name == str(path) and found[1].name == ""
    np.testing.assert_array_equal(opened().image(path), opened().image(path.read_bytes()))


def test_what_cannot_be_described_is_named():
    with pytest.raises(UserError, match=r"must be an array uint8 \(height, width, 3\), got float64 \(4, 4, 3\)"):
        opened().describe([np.zeros((4, 4, 3))])
    with pytest.raises(UserError, match=rf"features, arrays of shape \({REGIONS}, {SIZE}\): got 'a.png'"):
        opened(True).describe(["a.png"])
    with pytest.raises(UserError, match=r"got shape \(2, 3\)"):
        opened(True).describe([np.zeros((2, 3))])
    with pytest.raises(UserError, match="nbest must be at most beam_size"):
        opened().describe(pictures(1), 3, beam_size=2)
    with pytest.raises(UserError, match="is a translator, but a captioner is needed: use it with translate"):
        Captioner(translator())
    assert opened().describe([]) == []


def test_measures_are_those_of_greedy_captions():
    pytest.importorskip("sacrebleu")
    model, images = opened(), pictures(6)
    texts = [found.text for found in model.describe(images, beam_size=1)]
    right = model.evaluate(np.stack(images), [[text, "a dog"] for text in texts])
    wrong = model.evaluate(np.stack(images), [["circle circle circle"], *[[text] for text in texts[1:]]])
    assert right["exact"] == 100 and right["bleu"] == pytest.approx(100)
    assert wrong["exact"] == pytest.approx(500 / 6) and wrong["bleu"] < 100 and wrong.keys() == right.keys()


def test_a_checkpoint_that_does_not_fit_is_damaged():
    from theano_rnn.learning.checkpoint import load
    from theano_rnn.tasks.registry import TASKS, stored_sections

    task, good = TASKS["describe"], load(checkpoint())
    sections = stored_sections(task, good.settings)
    task.check_stored(sections, good.facts, good.best)
    for name, value in (("height", 13), ("width", "x"), ("longest", 0), ("mean", []), ("scale", [0.0]), ("mean", None)):
        facts = {**good.facts, "images": {**good.facts["images"], name: value}}
        with pytest.raises(UserError):
            task.check_stored(sections, facts, good.best)
    for facts in ({"images": None}, {"images": good.facts["images"]}, {**good.facts, "vocabulary": "a"}):
        with pytest.raises(UserError):
            task.check_stored(sections, facts, good.best)
