"""Text generation with a fake step: live output equals whole samples; stops; prompts."""

import numpy as np
import pytest

from theano_rnn.generation.prompts import Prompt, read_prompt
from theano_rnn.generation.texts import TextGenerator, until_stop
from theano_rnn.learning.batching import sentence_end
from theano_rnn.settings.base import UserError
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


def prompted(text, vocabulary=WORDS):
    return read_prompt(text, vocabulary, sentence_end(vocabulary))


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", [WORDS, SIGNS], ids=["word", "char"])
@pytest.mark.parametrize("stop", [(), (" saw", "(", "b\n"), ("c", "a c")])
@pytest.mark.parametrize("prompt", ["", "Emma saw", "a b"])
def test_live_output_equals_the_whole_sample(vocabulary, stop, prompt):
    writer, read = generator(vocabulary, stop=stop, length=40), prompted(prompt, vocabulary)
    samples = writer.samples(read, 20, seed=[3])
    live = ["".join(writer.live(read, seed=[3], number=number)) for number in range(20)]
    assert live == samples
    assert len(set(samples)) > 1
    assert all(text.startswith(prompt) for text in samples)
    assert not any(text in sample[len(prompt) :] for text in stop for sample in samples)


def test_a_stop_ends_a_sample_long_before_its_most_tokens():
    writer, steps = generator(SIGNS, stop=("a",), max_tokens=100_000), []

    def counted(tokens):
        steps.append(1)
        return even_step(SIGNS)(tokens)

    writer.step = counted
    assert len(writer.samples(Prompt(), 5, seed=[1])) == 5
    assert len(steps) < 300


def test_a_stop_in_the_prompt_does_not_count():
    samples = generator(SIGNS, stop=("c",), max_tokens=30).samples(prompted("a c", SIGNS), 10, seed=[1])
    assert all(text.startswith("a c") and "c" not in text[3:] for text in samples)
    assert max(map(len, samples)) > 3


def test_later_samples_continue_the_count_of_earlier_ones():
    writer = generator(max_tokens=10)
    later = writer.samples(Prompt(), 2, seed=[1], first=3)
    assert writer.samples(Prompt(), 3, seed=[1]) + later == writer.samples(Prompt(), 5, seed=[1])


@pytest.mark.parametrize(
    ("vocabulary", "allow_unknown", "never"),
    [(WORDS, False, ["<unk>"]), (WORDS, True, []), (SIGNS, False, ["<unk>", "</s>"]), (SIGNS, True, ["</s>"])],
)
def test_unknown_is_written_only_where_allowed(vocabulary, allow_unknown, never):
    text = "".join(generator(vocabulary, allow_unknown=allow_unknown, max_tokens=30).samples(Prompt(), 40, seed=[1]))
    assert all(token not in text for token in never)
    assert ("<unk>" in text) == allow_unknown


def test_more_tokens_at_least_than_the_default_are_written():
    assert len(generator(SIGNS, min_tokens=400).samples(Prompt(), 1, seed=[1])[0]) == 400


def test_the_best_texts_come_with_their_scores():
    (score, text), *_ = generator(SIGNS, beam_size=3, max_tokens=2).best(prompted("a", SIGNS), 3)
    assert text.startswith("a") and len(text) == 3
    assert score == pytest.approx(-2 * np.log(len(SIGNS)))


def test_a_stop_may_straddle_pieces():
    assert "".join(until_stop(["x", "<", "/", "s", ">", "y"], ["</s>"])) == "x"
    assert "".join(until_stop(["x", "<", "/", "s"], ["</s>"])) == "x</s"


# Prompts are read as training reads text, and shown as they were typed

LETTERS = Vocabulary(("She", "was", "very", "happy", ".", "My", "dear", "Mr.", "``", "''", "no"))


def tokens_read(text, vocabulary=LETTERS):
    return [piece.token for piece in prompted(text, vocabulary).pieces]


@pytest.mark.parametrize(("text", "tokens"), [
    ("My dear Mr.", ["My", "dear", "Mr."]),
    ("She was very happy. She", ["She", "was", "very", "happy", ".", "</s>", "She"]),
    ("She was very happy.", ["She", "was", "very", "happy", ".", "</s>"]),
    ("She was very happy.\n\n", ["She", "was", "very", "happy", ".", "</s>"]),
    ("Chapter\n\nShe was", ["Chapter", "</s>", "She", "was"]),
    ("", []),
])  # fmt: skip
def test_prompts_have_the_tokens_of_training(text, tokens):
    assert tokens_read(text) == tokens
    assert prompted(text).text == text


def test_a_prompt_of_lines_ends_with_its_line():
    lines = Vocabulary(("Mr.", "a"), TextConfig(sentences="line"))
    assert tokens_read("a Mr.\na", lines)[-2:] == ["</s>", "a"]
    assert tokens_read("a. Mr.", lines)[-1] != "</s>"
    assert tokens_read("a\n", lines) == ["a", "</s>"]


def scripted(vocabulary, words):
    """A step function that gives the tokens of `words`, whatever it reads, and the ids that it has read."""
    rest, read = iter(words), []

    def step(tokens, *state):
        read.append(int(tokens[0]))
        if not wait or len(read) >= wait[0]:
            token = vocabulary.token_to_id(next(rest)) if words else 0
            row = np.full((1, len(vocabulary)), -50.0)
            row[0, vocabulary.eos_id if token == vocabulary.unk_id else token] = 0
            return [row, *state]
        return [np.zeros((1, len(vocabulary))), *state]

    wait = []
    step.wait, step.read = wait, read
    return step


def written(prompt, words, vocabulary=LETTERS, ends=None, restarts=False, state=(), **config):
    """The text after a prompt if the model writes `words`; "|" ends a sentence."""
    if ends is not None:
        vocabulary = Vocabulary(vocabulary.words, vocabulary.text, ends)
    step = scripted(vocabulary, [*words, *["|"] * 1000])
    writer = TextGenerator(step, lambda batch_size: state, vocabulary, start=1, restarts=restarts,
                           config=GenerationConfig(temperature=0, **config))  # fmt: skip
    read = prompted(prompt, vocabulary)
    step.wait.append(len(writer.read_ids(read)))
    (text,) = writer.samples(read, 1, seed=[1])
    return text, step.read


ALWAYS, NEVER = {"": (1.0, 1.0)}, {"": (0.0, 0.0)}


def test_unknown_words_of_a_prompt_are_shown_as_typed():
    assert written("Zoë  was", ["happy", ".", "|"], ends=ALWAYS)[0] == "Zoë  was happy."


def test_a_finished_sentence_goes_on_with_the_next():
    for prompt in ("She was.", "She was. "):
        text, _ = written(prompt, ["My", "dear", ".", "|"], ends=ALWAYS)
        assert text.replace("  ", " ") == "She was. My dear."


def test_a_prompt_whose_sentence_only_ends_is_not_the_whole_text():
    assert written("She was", ["|", "My", "dear", "|"], ends=ALWAYS)[0] == "She was My dear"


def test_a_text_goes_to_the_end_of_a_paragraph():
    words = ["She", "was", ".", "|", "My", "dear", ".", "|", "no", "|"]
    assert written("", words, ends=ALWAYS)[0] == "She was."
    assert written("", words, ends=NEVER, num_sentences=2)[0] == "She was. My dear."
    assert written("", words, ends=ALWAYS, num_sentences=2)[0] == "She was.\n\nMy dear."
    assert written("", words, ends=ALWAYS | {".": (0.0, 0.0)})[0] == "She was. My dear. no"


def test_paragraphs_end_by_their_last_token_and_open_quotations():
    words = ["``", "She", ".", "|", "My", ".", "''", "|", "no", "|"]
    ends = {"": (1.0, 0.0), "''": (1.0, 1.0)}
    assert written("", words, ends=ends)[0] == '"She. My."'
    assert written("", words, ends=ends, num_sentences=3)[0] == '"She. My."\n\nno'
    assert written('"She', [".", *words[3:]], ends=ends)[0] == '"She. My."'


def test_an_empty_sentence_is_no_text():
    for prompt in ("", "She was. "):
        assert written(prompt, ["|", "|", "My", "dear", ".", "|"], ends=ALWAYS)[0] == f"{prompt}My dear."
        assert written(prompt, ["|", "My", "|", "dear", ".", "|"], ends=NEVER, num_sentences=1)[0] == f"{prompt}My"


def test_lines_are_paragraphs_of_their_own():
    lines = Vocabulary(LETTERS.words, TextConfig(sentences="line"))
    words = ["She", "was", "|", "My", "dear", "|"]
    assert written("", words, lines)[0] == "She was"
    assert written("", words, lines, num_sentences=2)[0] == "She was\nMy dear"
    assert written("no\n", words, lines)[0] == "no\nShe was"
    assert written("no", ["|", *words], lines)[0] == "no"
    assert written("no", ["|", *words], lines, num_sentences=2)[0] == "no\nShe was"


def test_a_text_of_a_given_length_has_so_many_tokens():
    words = ["She", "was", ".", "|"] * 4
    assert written("", words, ends=NEVER, length=9)[0] == "She was. She was. She"
    assert written("", words, ends=ALWAYS, length=12)[0] == "She was.\n\nShe was.\n\nShe was."
    assert len(generator(SIGNS, length=1234).samples(Prompt(), 1, seed=[1])[0]) == 1234


def test_a_text_has_more_sentences_if_it_has_too_few_tokens():
    words = ["She", "was", ".", "|", "My", "dear", ".", "|"]
    assert written("", words, ends=ALWAYS, min_tokens=4)[0] == "She was.\n\nMy dear."


def test_a_model_of_sentences_begins_each_with_a_zero_state():
    """It has never read `</s>`, nor anything before the beginning of a sentence."""
    count = []

    def step(tokens, state):
        count.append((int(tokens[0]), float(state[0, 0])))
        word = [2, 6, 1][(len(count) - 1) % 3]  # She . </s>
        row = np.full((1, len(LETTERS)), -50.0)
        row[0, word] = 0
        return [row, state + 1]

    writer = TextGenerator(step, lambda batch_size: [np.zeros((1, 4))], LETTERS, start=13, restarts=True,
                           config=GenerationConfig(temperature=0, num_sentences=2))  # fmt: skip
    (text,) = writer.samples(prompted("My dear. no. "), 1, seed=[1])
    assert text == "My dear. no. She. She." or text == "My dear. no. She.\n\nShe."
    assert count == [(13, 0.0), (2, 1.0), (6, 2.0), (13, 0.0), (2, 1.0), (6, 2.0)]


def test_a_model_of_characters_has_no_sentences_to_count():
    with pytest.raises(UserError, match="use --length"):
        generator(SIGNS, num_sentences=2)


@pytest.mark.parametrize("settings", [{"num_sentences": 2}, {"max_tokens": 9}, {"min_tokens": 3}, {"beam_size": 2}])
def test_a_length_leaves_nothing_else_to_say(settings):
    with pytest.raises(UserError, match="length"):
        GenerationConfig(length=5, **settings)


def test_a_stop_may_hold_the_end_of_a_paragraph():
    words = ["She", "was", ".", "|", "My", "dear", ".", "|"]
    assert written("", words, ends=ALWAYS, length=8, stop=(".\n\nMy",))[0] == "She was"
