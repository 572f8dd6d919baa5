"""Use of a trained captioner: captions, probabilities, attention; a picture's captions do not depend on the others."""

import numpy as np
import pytest
from captioner_models import HEIGHT, REGIONS, SIZE, WIDTH, WORDS, checkpoint, opened, pictures
from translator_models import checkpoint as translator

from theano_rnn.captioner import Captioner
from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.tasks.caption_batches import CaptionedImages
from theano_rnn.tasks.caption_evaluation import evaluated_scenes, scene_pointing, swaps
from theano_rnn.tasks.scenes import NUM_SCENES, SIDES, make_scenes, scene_parts
from theano_rnn.text.vocabulary import Vocabulary

KINDS = pytest.mark.parametrize("has_features", [False, True], ids=["pictures", "features"])


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_log_probabilities_of_pairs_are_those_of_the_loss():
    """Of more pairs than are scored at once, and of captions of different lengths."""
    model, images = opened(), np.stack(pictures(5))
    texts = [" ".join(WORDS[i % 8] for i in range(k, 2 * k + k % 3)) for k in range(1, 9)] * 9
    for some in (texts, texts[:1], texts[:3]):
        found = model.log_probabilities(images, some)
        for column, text in list(enumerate(some))[:8]:
            part = model.part(images, [[text]] * 5)
            (batch,) = model.task.batches(part, model.sections, model.facts, dtype=model.model.config.dtype)
            (losses,) = model.function("loss")(*batch.arrays)
            expected = -np.asarray(losses, np.float64).sum(axis=0)[:5]
            np.testing.assert_allclose(found[batch.numbers, column], expected, rtol=1e-5)
        np.testing.assert_allclose(found[:, 8:], np.tile(found[:, :8], 9)[:, : max(len(some) - 8, 0)], rtol=1e-5)
    assert model.log_probabilities(images, []).shape == (5, 0)


def test_captions_are_found_by_their_probabilities():
    """As by sorting all log-probabilities; pictures with the same caption are all right ones."""
    pytest.importorskip("sacrebleu")
    model, images = opened(), np.stack(pictures(9))
    references = [[WORDS[i % 4], f"{WORDS[i % 4]} {WORDS[i]}"] if i < 8 else ["a dog"] for i in range(9)]
    found = model.evaluate(images, references, num_ranked=8)
    texts = sorted({text for each in references[:8] for text in each})
    log_p = model.log_probabilities(images[:8], texts)
    is_right = np.array([[text in each for text in texts] for each in references[:8]])
    assert (found["ranked_pictures"], found["ranked_captions"]) == (8, len(texts)) == (8, 12)
    for what, scores, right in (("caption", log_p, is_right), ("picture", log_p.T, is_right.T)):
        for depth in (1, 5, 10):
            hits = [right[i][np.argsort(-row)[:depth]].any() for i, row in enumerate(scores)]
            # with wrong ones only before it, a right one is at most as far behind
            wrong = [(row[~right[i]] >= row[right[i]].max()).sum() < depth for i, row in enumerate(scores)]
            assert hits == wrong and found[f"{what}_in_{depth}"] == pytest.approx(100 * np.mean(wrong))
    names = {"loss", "perplexity", "bleu", "exact", "cider", "swaps", "changed_by_swap"}
    assert model.evaluate(images, references).keys() == names


def test_where_the_words_of_scenes_look():
    """Weights that always lie on the first, second, ... object's middle, and a model that writes the first caption."""
    scenes = make_scenes(6, np.random.default_rng(3))
    words = sorted({word for caption in scenes.captions for word in caption.split()})
    vocabulary = Vocabulary(words, TextConfig(sentences="line", tokens="whitespace"))
    ids = [[*map(vocabulary.token_to_id, caption.split()), vocabulary.eos_id] for caption in scenes.captions]
    part = CaptionedImages(scenes.images, np.concatenate(ids).astype(np.int32), np.array(list(map(len, ids))),
                           np.arange(6), [])  # fmt: skip
    facts = {"vocabulary": vocabulary, "images": {"mean": [0.0], "scale": [1.0]}}
    where = {caption: number for number, caption in enumerate(scenes.captions)}

    def attention(images, tokens, mask):
        weights = np.zeros((*tokens.shape, 64))
        for column in range(tokens.shape[1]):
            given = vocabulary.decode(tokens[1 : int(mask[:, column].sum()), column])
            if (number := where.get(" ".join(given))) is not None:
                for time, about in enumerate(scenes.about[number]):
                    x0, y0, x1, y1 = scenes.boxes[number, 1 - about if given[time] in SIDES else about]
                    weights[time, column, (y0 + y1) // 16 * 8 + (x0 + x1) // 16] = 1
        return [weights]

    rows = scene_pointing(lambda name: {"attention": attention}[name], scenes, part, [True] + [False] * 5, facts,
                          grid=(8, 8), dtype="float32")  # fmt: skip
    found = {(row["captions"], row["kind"]): row for row in rows}
    assert [found["all", kind]["num_words"] for kind in ("colour", "shape")] == [12, 12]
    assert [found["right", kind]["num_words"] for kind in ("colour", "shape")] == [2, 2]
    for captions in ("right", "all"):
        for kind in ("colour", "shape"):
            row = found[captions, kind]
            assert (row["touching"], row["mass"], row["other"]) == (100, 100, 0) and 5 < row["touching_by_chance"] < 25
    sizes = found["all", "size"]  # they are made to look at the other object
    assert sizes["num_words"] > 0 and (sizes["touching"], sizes["other"]) == (0, 100)
    assert sizes["num_words"] == sum(word in SIDES for caption in scenes.captions for word in caption.split())


def test_swaps_count_captions_that_change_with_the_picture():
    """Pictures 0 and 3 share a true caption, so the swap of the last one by the first does not count."""
    ids = [[1, 2, 9], [3, 9], [4, 9], [1, 2, 9], [5, 9]]
    part = CaptionedImages(np.zeros((4, 2, 2, 3), np.uint8), np.concatenate(ids).astype(np.int32),
                           np.array(list(map(len, ids))), np.array([0, 1, 2, 3, 3]), list("abcd"))  # fmt: skip
    assert swaps([(1, 2), (1, 2), (4,), (5,)], part) == {"swaps": 3, "changed_by_swap": pytest.approx(200 / 3)}
    assert swaps([(7,)] * 4, part) == {"swaps": 3, "changed_by_swap": 0}
    assert swaps([(7,)], part._replace(images=part.images[:1], ids=part.ids[:3], lengths=part.lengths[:1],
                                       owners=part.owners[:1])) == {"swaps": 0, "changed_by_swap": 0}  # fmt: skip


def test_evaluated_scenes_are_those_of_the_test_part_and_new_ones(monkeypatch):
    for part, count in (("train", 1), ("valid", 1), ("test", 3)):
        monkeypatch.setitem(NUM_SCENES, part, count)
    found = evaluated_scenes()
    np.testing.assert_array_equal(found["test"].images, scene_parts()["test"].images)
    assert len(found["new"].captions) == 3


def test_a_greedy_caption_takes_the_likeliest_word_at_each_step():
    model, texts = opened(), ["a dog", "a", "a dog runs", "red snow circle"]
    images = np.stack(pictures(4))
    for row, found in zip(model.log_probabilities(images, texts), model.describe(list(images), beam_size=1)):
        best = found.captions[0]
        for text, log_p in zip(texts, row):
            assert log_p <= best.log_probability + 1e-5 or not text.startswith(best.text)


@pytest.mark.slow
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
