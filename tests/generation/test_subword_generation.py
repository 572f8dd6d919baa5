"""Generation with subwords: pieces become words and characters, and the text has the same pieces again."""

import numpy as np
import pytest

pytest.importorskip("tokenizers")

from theano_rnn.generation.prompts import Prompt, read_prompt
from theano_rnn.generation.texts import TextGenerator
from theano_rnn.settings.text import TextConfig
from theano_rnn.settings.use import GenerationConfig
from theano_rnn.text.incremental_tokenizing import tokenize_incomplete_text
from theano_rnn.text.vocabulary import Vocabulary

TEXT = "She was walking. “Was she talking?” Emma’s café — was not walking ▁ 😀 at all, 1815!"
VOCABULARY = Vocabulary.from_sentences([TEXT.split()] * 2, text=TextConfig("subword"))
IDS = [piece.id for piece in tokenize_incomplete_text(TEXT, VOCABULARY, 1)[0]]


def even_step(tokens):
    return [np.full((len(tokens), len(VOCABULARY)), -np.log(len(VOCABULARY)))]


def scripted_step(ids, prompt_ids=()):
    """A step function that, after a prompt, gives each id of a script in turn the probability 1."""
    remaining = iter([*prompt_ids, *ids])

    def step(tokens):
        log_probabilities = np.full((len(tokens), len(VOCABULARY)), -1e9)
        log_probabilities[:, next(remaining, 1)] = 0
        return [log_probabilities]

    return step


def generator(step, **config):
    return TextGenerator(step, lambda batch_size: (), VOCABULARY, start=1, config=GenerationConfig(**config))


def test_the_pieces_of_a_text_are_written_as_that_text():
    (text,) = generator(scripted_step(IDS), length=len(IDS)).samples(Prompt(), 1, seed=[1])
    assert " ".join(text.split()) == TEXT
    again = [piece.id for piece in tokenize_incomplete_text(text, VOCABULARY, 1)[0]]
    assert [number for number in again if number != 1] == [number for number in IDS if number != 1]


@pytest.mark.slow
@pytest.mark.parametrize("stop", [(), (" sh", "g."), ("é", "x y")])
@pytest.mark.parametrize("prompt", ["", "She wal", "She was ", "“Was she talking?” Emma’s caf", "😀"])
def test_live_output_equals_the_whole_sample(stop, prompt):
    writer, read = generator(even_step, stop=stop, length=60), read_prompt(prompt, VOCABULARY, 1)
    samples = writer.samples(read, 10, seed=[3])
    live = ["".join(writer.live(read, seed=[3], number=number)) for number in range(10)]
    assert live == samples
    assert len(set(samples)) > 1
    assert all(text.startswith(prompt) for text in samples)
    assert not any(text in sample[len(prompt) :] for text in stop for sample in samples)


def test_a_piece_continues_the_word_of_the_prompt():
    ids = [VOCABULARY.token_to_id("k"), VOCABULARY.token_to_id("▁was")]
    prompt = read_prompt("She wal", VOCABULARY, 1)
    (text,) = generator(scripted_step(ids, prompt.ids), length=2).samples(prompt, 1, seed=[1])
    assert text == "She walk was"


def test_bytes_become_a_character():
    ids, prompt = [VOCABULARY.token_to_id(f"<0x{byte:02X}>") for byte in "€".encode()], read_prompt("a", VOCABULARY, 1)
    (text,) = generator(scripted_step(ids, prompt.ids), length=3).samples(prompt, 1, seed=[1])
    assert text == "a€"


def test_a_sentence_has_its_end():
    found = generator(scripted_step(IDS), num_sentences=1).samples(Prompt(), 1, seed=[1])
    assert found == ["She was walking."]
