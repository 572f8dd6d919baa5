"""CIDEr against the values of COCO's evaluation; what it must be in cases that need no computation."""

import numpy as np

from theano_rnn.scoring.cider import caption_words, cider

CAPTIONS = [
    "a dog runs through the snow",
    "two people sit on a bench near a tree",
    "a red car is parked near a tree",
    "a man man man rides a horse",
    "",
    "a bird",
]
REFERENCES = [
    ["a dog runs through the snow", "a brown dog is running in deep snow"],
    ["two people sit on a bench", "a man and a woman sit on a bench under a tree", "people on a bench"],
    ["a red car parked on the street"],
    ["a man rides a horse", "a man is riding a brown horse on the beach"],
    ["a cat sleeps on a chair", "a cat on a chair"],
    ["a small bird sits on a branch of a tree", "bird on a branch"],
]
# By ``CiderScorer`` of pycocoevalcap 1.2, the port of COCO's evaluation to Python 3 on PyPI: one ``scorer += (caption,
# references)`` for each picture, and ``scorer.compute_score()``. 20 random sets of captions agreed to 1e-10, too.
EXPECTED = [5.484061912871, 3.82942799082, 2.955983250485, 2.987288401105, 0.0, 1.055386163648]


def split(texts):
    return [text.split() for text in texts]


def test_values_are_those_of_coco():
    found = cider(split(CAPTIONS), [split(texts) for texts in REFERENCES])
    np.testing.assert_allclose(found, EXPECTED, atol=1e-10)


def test_a_caption_like_its_only_reference_has_ten():
    texts = ["a dog in deep snow", "two people on a bench", "red cars stand there"]
    np.testing.assert_allclose(cider(split(texts), [[text] for text in split(texts)]), 10)
    shuffled = ["snow deep in dog a", *texts[1:]]
    np.testing.assert_allclose(cider(split(shuffled), [[text] for text in split(texts)]), [2.5, 10, 10])


def test_words_that_stand_with_every_picture_say_nothing():
    texts = [["the"], ["the"]]
    np.testing.assert_array_equal(cider(texts, [[text] for text in texts]), 0)


def test_longer_captions_than_references_are_punished():
    reference = ["a", "dog", "runs", "in", "deep", "snow"]
    others = ["two", "people", "sit", "here"]
    short, long = (cider([reference + more, others], [[reference], [others]])[0] for more in ([], ["x"] * 9))
    assert long < 0.5 * short


def test_case_and_punctuation_do_not_count():
    assert caption_words('A "small" dog, on (the) road; it\'s 3:45.') == (
        ["a", "small", "dog", "on", "the", "road", "it", "'s", "3:45"]
    )
