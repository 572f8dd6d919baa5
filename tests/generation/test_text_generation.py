"""Text generation with a fake step: live output equals whole samples; stops; prompts."""

import numpy as np
import pytest

from theano_rnn.generation.texts import TextGenerator, prompt_ids, until_stop
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.text.vocabulary import Vocabulary

WORDS = Vocabulary(("Emma", "saw", "the", "ball", ",", "``", "''", "(", ")", "'s", "."))
SIGNS = Vocabulary(tuple("abc \n"), TextConfig(unit="char"))


def even_step(vocabulary):
    return lambda tokens: [np.full((len(tokens), len(vocabulary)), -np.log(len(vocabulary)))]


def generator(vocabulary=WORDS, **config):
    return TextGenerator(even_step(vocabulary), lambda batch_size: (), vocabulary, start=1,
                         config=GenerationConfig(**config))  # fmt: skip


@pytest.mark.parametrize("vocabulary", [WORDS, SIGNS], ids=["word", "char"])
@pytest.mark.parametrize("stop", [(), (" saw", "(", "b\n"), ("c", "a c")])
@pytest.mark.parametrize("prompt", ["", "Emma saw", "a b"])
def test_live_output_equals_the_whole_sample(vocabulary, stop, prompt):
    writer, (ids, _) = generator(vocabulary, stop=stop, max_tokens=40), prompt_ids(prompt, vocabulary)
    samples = writer.samples(ids, 20, seed=[3])
    live = ["".join(writer.live(ids, seed=[3], number=number)) for number in range(20)]
    assert live == samples
    assert len(set(samples)) > 1
    beginning = "".join(writer.pieces(ids, []))
    assert all(text.startswith(beginning) for text in samples)
    assert not any(text in sample[len(beginning) :] for text in stop for sample in samples)


def test_a_stop_ends_a_sample_long_before_its_most_tokens():
    writer, steps = generator(SIGNS, stop=("a",), max_tokens=100_000), []

    def counted(tokens):
        steps.append(1)
        return even_step(SIGNS)(tokens)

    writer.step = counted
    assert len(writer.samples([], 5, seed=[1])) == 5
    assert len(steps) < 300


def test_a_stop_in_the_prompt_does_not_count():
    ids, _ = prompt_ids("a c", SIGNS)
    samples = generator(SIGNS, stop=("c",), max_tokens=30).samples(ids, 10, seed=[1])
    assert all(text.startswith("a c") and "c" not in text[3:] for text in samples)
    assert max(map(len, samples)) > 3


def test_later_samples_continue_the_count_of_earlier_ones():
    writer = generator(max_tokens=10)
    assert writer.samples([], 3, seed=[1]) + writer.samples([], 2, seed=[1], first=3) == writer.samples([], 5, seed=[1])


@pytest.mark.parametrize(
    ("vocabulary", "allow_unknown", "never"),
    [(WORDS, False, ["<unk>"]), (WORDS, True, []), (SIGNS, False, ["<unk>", "</s>"]), (SIGNS, True, ["</s>"])],
)
def test_unknown_is_written_only_where_allowed(vocabulary, allow_unknown, never):
    text = "".join(generator(vocabulary, allow_unknown=allow_unknown, max_tokens=30).samples([], 40, seed=[1]))
    assert all(token not in text for token in never)
    assert ("<unk>" in text) == allow_unknown


def test_more_tokens_at_least_than_the_default_are_written():
    assert len(generator(SIGNS, min_tokens=400).samples([], 1, seed=[1])[0]) == 400


def test_the_best_texts_come_with_their_scores():
    (score, text), *_ = generator(SIGNS, beam_size=3, max_tokens=2).best(prompt_ids("a", SIGNS)[0], 3)
    assert text.startswith("a") and len(text) == 3
    assert score == pytest.approx(-2 * np.log(len(SIGNS)))


def test_a_stop_may_straddle_pieces():
    assert "".join(until_stop(["x", "<", "/", "s", ">", "y"], ["</s>"])) == "x"
    assert "".join(until_stop(["x", "<", "/", "s"], ["</s>"])) == "x</s"
