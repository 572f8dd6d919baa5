"""Split paragraphs into sentences and sentences into tokens with NLTK, and join tokens to text again.

Sentences are those of NLTK's Punkt, which gets a short list of abbreviations that is part of this package; tokens are
those of NLTK's word tokenizer. Neither needs data files, and nothing is ever downloaded. Only this module and
`nltk_words` import nltk, and they do so when the first text arrives, because that import takes a while.

Since version 2 of the rules (`TextConfig.rules`), typographic marks are understood (see `typography`), unusual blanks
are recorded in the tokens (`spacing`), and some sentence ends of Punkt's are corrected (`sentence_ends`).

>>> text = TextConfig()
>>> sentences = sentence_splitter(text)("Mr. Knightley smiled. Emma, you can't be serious!")
>>> sentences
['Mr. Knightley smiled.', "Emma, you can't be serious!"]
>>> tokens = [word_tokenizer(text)(sentence) for sentence in sentences]
>>> tokens[1]
['Emma', ',', 'you', 'ca', "n't", 'be', 'serious', '!']
>>> vocabulary = Vocabulary.from_sentences(tokens, text=text)
>>> vocabulary.encode(["Emma", "smiled", "twice"]).tolist()
[5, 12, 0]
>>> detokenize(vocabulary.decode(vocabulary.encode(tokens[1])), text)
"Emma, you can't be serious!"
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.resources
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.detokenizing import spaced_tokens
from theano_rnn.text.nltk_words import fast_nltk_tokenizer
from theano_rnn.text.sentence_ends import join_false_ends
from theano_rnn.text.spacing import mark_spacing, spaced_as_marked
from theano_rnn.text.subword_text import piece_texts
from theano_rnn.text.typography import plain_marks_for_sentences, plain_marks_for_words, tokens_as_written
from theano_rnn.text.usual_spacing import usual_tokens
from theano_rnn.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

__all__ = [
    "BOS", "EOS", "PAD", "UNK", "Vocabulary", "abbreviations", "detokenize", "detokenized_pieces", "model_tokenizer",
    "sentence_splitter", "tokenization_fingerprint", "word_tokenizer",
]  # fmt: skip

PUNKT_TAB_INSTRUCTIONS = (
    "run `python -m nltk.downloader -d ~/nltk_data punkt_tab` on a machine with a network, copy ~/nltk_data here, and "
    "run `chmod -R go-w ~/nltk_data` so that only you can change it; or use sentences=punkt, which needs no data"
)


def abbreviations() -> tuple[str, ...]:
    """Returns the abbreviations whose full stop does not end a sentence: lower case, without that full stop.

    Words that also end sentences in novels and letters (no, sat, mon, fig, co, ed, al) are left out on purpose.
    """
    text = importlib.resources.files("theano_rnn").joinpath("data/abbreviations.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def sentence_splitter(config: TextConfig) -> Callable[[str], list[str]]:
    r"""Returns a function that splits a paragraph into sentences, without white space around them.

    With `sentences="line"`, every line that is not blank is a sentence; with `unit="char"`, every line as it is. With
    `unit="subword"`, sentences end only at white space, so that nothing is lost when they are joined with blanks.

    Raises
    ------
    UserError
        If `sentences="punkt_tab"` and NLTK does not find this resource or refuses to load it.

    Examples
    --------
    >>> sentence_splitter(TextConfig())("He paid\n$3.50 to Dr. Grant. No. It rained.")
    ['He paid $3.50 to Dr. Grant.', 'No.', 'It rained.']
    >>> sentence_splitter(TextConfig(sentences="line"))("He paid\n$3.50 to Dr. Grant. No.")
    ['He paid', '$3.50 to Dr. Grant. No.']
    """
    if config.unit == "char":
        return lambda paragraph: paragraph.split("\n")
    if config.sentences == "line":
        return lambda paragraph: [line.strip() for line in paragraph.split("\n") if line.strip()]
    if config.sentences == "punkt_tab":
        tokenizer = punkt_tab_tokenizer()
    else:
        from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer  # type: ignore[import-untyped]

        parameters = PunktParameters()
        parameters.abbrev_types.update(abbreviations())
        tokenizer = PunktSentenceTokenizer(parameters)
    tokenizer.text_contains_sentbreak = cached_decision(tokenizer.text_contains_sentbreak)
    if config.rules == 1:
        return lambda paragraph: list(tokenizer.tokenize(paragraph.replace("\n", " ").strip()))

    def split(paragraph: str) -> list[str]:
        text = paragraph.replace("\n", " ").strip()
        plain = plain_marks_for_sentences(text)
        spans = join_false_ends(plain, tokenizer.span_tokenize(plain))
        if config.unit == "subword":
            spans = list(join_touching(spans))
        return [text[start:end] for start, end in spans]

    return split


def join_touching(spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yields the spans of a text, joined if there is nothing between them.

    >>> list(join_touching([(0, 3), (3, 5), (6, 9)]))
    [(0, 5), (6, 9)]
    """
    begin = last = None
    for start, end in spans:
        if last != start:
            if begin is not None and last is not None:
                yield begin, last
            begin = start
        last = end
    if begin is not None and last is not None:
        yield begin, last


def cached_decision(decide: Callable[[str], bool]) -> Callable[[str], bool]:
    """Returns `decide`, Punkt's decision on the words around a full stop, with a cache for frequent ones (`it. I`)."""
    cached = functools.lru_cache(maxsize=1 << 15)(decide)
    return lambda context: cached(context) if len(context) < 64 else decide(context)


def punkt_tab_tokenizer() -> Any:
    """Returns NLTK's English sentence tokenizer, loaded from the punkt_tab resource that the user has installed."""
    from nltk.tokenize.punkt import PunktTokenizer

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # repeats the error
            return PunktTokenizer("english")
    except (LookupError, OSError, ValueError) as error:
        lines = (line.strip(" *") for line in str(error).splitlines())
        reason = next((line for line in lines if line), type(error).__name__).rstrip(".")
        raise UserError(f"sentences=punkt_tab cannot be used ({reason}): {PUNKT_TAB_INSTRUCTIONS}") from error


def tokenization_fingerprint(config: TextConfig) -> str:
    """Returns a SHA-256, hexadecimal, of what decides tokens besides settings: NLTK's version, Punkt's parameters."""
    parts: list[object] = [importlib.metadata.version("nltk") if config.has_sentences else ""]
    if config.has_sentences and config.sentences == "punkt":
        parts += abbreviations()
    elif config.has_sentences and config.sentences == "punkt_tab":
        parameters = punkt_tab_tokenizer()._params
        parts += [sorted(parameters.abbrev_types), sorted(parameters.collocations), sorted(parameters.sent_starters)]
        parts += [sorted(parameters.ortho_context.items())]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def word_tokenizer(config: TextConfig) -> Callable[[str], list[str]]:
    """Returns a function that splits a sentence into tokens; with `unit="subword"`, into words, which have pieces.

    Examples
    --------
    >>> word_tokenizer(TextConfig())('"You can\\'t," said Mrs. Norris--"it cost $3.50."')
    ['``', 'You', 'ca', "n't", ',', "''", 'said', 'Mrs.', 'Norris', '--', "''", 'it', 'cost', '$', '3.50', '.', "''"]
    >>> word_tokenizer(TextConfig(tokens="whitespace", lowercase=True))("The <unk> said N .")
    ['the', '<unk>', 'said', 'n', '.']
    >>> word_tokenizer(TextConfig(unit="char"))("Oh, no")
    ['O', 'h', ',', ' ', 'n', 'o']
    """
    split: Callable[[str], list[str]]
    if config.unit == "char":
        split = list
    elif config.unit == "subword" or config.tokens == "whitespace":
        split = str.split
    elif config.rules == 1:
        split = fast_nltk_tokenizer()
    else:
        split = marking_tokenizer()
    if not config.lowercase:
        return split
    if config.unit == "char":
        return lambda sentence: list("".join(map(str.lower, sentence)))  # one by one, or a sigma depends on its word
    return lambda sentence: [token.lower() for token in split(sentence)]


def model_tokenizer(vocabulary: Vocabulary) -> Callable[[str], list[str]]:
    """Returns a function that splits a sentence into the tokens that a model with this vocabulary reads."""
    split = word_tokenizer(vocabulary.text)
    if vocabulary.tokenizer is None:
        return split
    return lambda sentence: [piece for word in split(sentence) for piece in vocabulary.pieces(word)]


@functools.lru_cache(maxsize=1)
def marking_tokenizer() -> Callable[[str], list[str]]:
    """Returns a tokenizer by NLTK's rules that also knows typographic marks and records unusual spacing."""
    nltk_tokens = fast_nltk_tokenizer()

    def tokenize(sentence: str) -> list[str]:
        plain = plain_marks_for_words(sentence)
        tokens = nltk_tokens(plain)
        usual = usual_tokens(tokens, sentence, plain)
        return mark_spacing(*tokens_as_written(sentence, tokens)) if usual is None else usual

    return tokenize


def detokenize(tokens: Iterable[str], config: TextConfig) -> str:
    """Returns the text of `tokens`, with spaces and quotation marks as in ordinary writing.

    Examples
    --------
    >>> detokenize(["``", "He", "ca", "n't", "!", "''", "(", "she", "_did_", ";", "and", "--", "oh", ")"], TextConfig())
    '"He can\\'t!" (she _did_; and--oh)'
    >>> detokenize(list("an owl"), TextConfig(unit="char"))
    'an owl'
    >>> detokenize(["said", "<unk>", "."], TextConfig(tokens="whitespace"))
    'said <unk> .'
    """
    return "".join(detokenized_pieces(tokens, config))


def detokenized_pieces(tokens: Iterable[str], config: TextConfig) -> Iterator[str]:
    """Yields, for each token, the text that it adds; joined, these pieces are the text of `detokenize`.

    If the last tokens are bytes that are no character, one more text is the sign for that.
    """
    if config.unit == "char":
        yield from tokens
    elif config.unit == "subword":
        yield from piece_texts(tokens)
    elif config.tokens == "whitespace":
        for number, token in enumerate(tokens):
            yield f" {token}" if number else token
    elif config.rules == 1:
        yield from spaced_tokens(tokens)
    else:
        yield from spaced_as_marked(tokens)
