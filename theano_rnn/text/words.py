"""Text to tokens and back: a paragraph becomes sentences, a sentence tokens, and a vocabulary makes them ids.

Sentences end where NLTK's Punkt says so, helped by a short list of abbreviations that travels with the package; words
are those of NLTK's own word tokenizer. Neither needs data files, and nothing is ever downloaded. This is the only
module that imports nltk, and it does so when the first text arrives.

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
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text.detokenizing import word_pieces
from theano_rnn.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

__all__ = [
    "BOS", "EOS", "PAD", "UNK", "Vocabulary", "abbreviations", "detokenize", "detokenized_pieces", "sentence_splitter",
    "splitter_signature", "word_tokenizer",
]  # fmt: skip

PUNKT_TAB_RECIPE = (
    "run `python -m nltk.downloader -d ~/nltk_data punkt_tab` on a machine with a network, copy ~/nltk_data here, and "
    "make it private with `chmod -R go-w ~/nltk_data`; or use sentences=punkt, which needs no data"
)

# NLTK's rules, by their own source text, and what must be in a sentence for the rule to change it. A rule that is not
# listed here (another version of NLTK) is always tried, so the tokens are NLTK's in any case.
RULE_NEEDS: dict[str, tuple[str, ...]] = {
    "([«“‘„]|[`]+)": ("`", "“", "‘", "«", "„"),
    r"^\"": ('"',),
    r"(``)": ("``",),
    r"([ \(\[{<])(\"|\'{2})": ('"', "''"),
    r"(?i)(?<!\w)(\')(?!(?:re|ve|ll|m|t|s|d|n)\b)(?=\w)": ("'",),
    "([»”’])": ("’", "”", "»"),
    r"''": ("''",),
    r'"': ('"',),
    r"([^' ])('[sS]|'[mM]|'[dD]|') ": ("'",),
    r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ": ("'",),
    r'([^\.])(\.)([\]\)}>"\'»”’ ]*+)\s*$': (".",),
    r"([:,])([^\d])": (",", ":"),
    r"([:,])$": (",", ":"),
    r"\.{2,}": ("..",),
    r"[;@#$%&]": (";", "&", "$", "%", "#", "@"),
    r"[\u2012-\u2015]": ("—", "–", "\u2012", "\u2015"),
    r'([^\.])(\.)([\]\)}>"\']*)\s*$': (".",),
    r"[?!]": ("?", "!"),
    r"([^'])' ": ("' ",),
    r"[*]": ("*",),
    r"[\]\[\(\)\{\}\<\>]": ("(", ")", "[", "]", "<", ">", "{", "}"),
    r"--": ("--",),
    r"(?i)\b(can)(?#X)(not)\b": ("cannot",),  # this and the following: in the sentence in lower case
    r"(?i)\b(d)(?#X)('ye)\b": ("'ye",),
    r"(?i)\b(gim)(?#X)(me)\b": ("gimme",),
    r"(?i)\b(gon)(?#X)(na)\b": ("gonna",),
    r"(?i)\b(got)(?#X)(ta)\b": ("gotta",),
    r"(?i)\b(lem)(?#X)(me)\b": ("lemme",),
    r"(?i)\b(more)(?#X)('n)\b": ("'n",),
    r"(?i)\b(wan)(?#X)(na)(?=\s)": ("wanna",),
    r"(?i) ('t)(?#X)(is)\b": ("'t",),
    r"(?i) ('t)(?#X)(was)\b": ("'t",),
}
OTHER_WHITE_SPACE = re.compile(r"[^\S ]")


def abbreviations() -> tuple[str, ...]:
    """The abbreviations that do not end a sentence: lower case, without the last full stop.

    Words that also end sentences in novels and letters (no, sat, mon, fig, co, ed, al) are left out on purpose.
    """
    text = importlib.resources.files("theano_rnn").joinpath("data/abbreviations.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def sentence_splitter(config: TextConfig) -> Callable[[str], list[str]]:
    r"""A function that cuts one paragraph into its sentences, with no blanks around them.

    With `sentences="line"` or `unit="char"` every line that is not blank is a sentence.

    Raises
    ------
    UserError
        `sentences="punkt_tab"` and NLTK finds no such resource, or refuses it.

    Examples
    --------
    >>> sentence_splitter(TextConfig())("He paid\n$3.50 to Dr. Grant. No. It rained.")
    ['He paid $3.50 to Dr. Grant.', 'No.', 'It rained.']
    >>> sentence_splitter(TextConfig(sentences="line"))("He paid\n$3.50 to Dr. Grant. No.")
    ['He paid', '$3.50 to Dr. Grant. No.']
    """
    if config.sentences == "line" or config.unit == "char":
        return lambda paragraph: [line.strip() for line in paragraph.split("\n") if line.strip()]
    if config.sentences == "punkt_tab":
        tokenizer = punkt_tab_tokenizer()
    else:
        from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer  # type: ignore[import-untyped]

        parameters = PunktParameters()
        parameters.abbrev_types.update(abbreviations())
        tokenizer = PunktSentenceTokenizer(parameters)
    tokenizer.text_contains_sentbreak = remembered(tokenizer.text_contains_sentbreak)
    return lambda paragraph: list(tokenizer.tokenize(paragraph.replace("\n", " ").strip()))


def remembered(decide: Callable[[str], bool]) -> Callable[[str], bool]:
    """Punkt's decision on the words around a full stop, made once for those that come again, such as `it. I`."""
    known = functools.lru_cache(maxsize=1 << 15)(decide)
    return lambda context: known(context) if len(context) < 64 else decide(context)


def punkt_tab_tokenizer() -> Any:
    """NLTK's English sentence tokenizer, from the resource that the user has installed."""
    from nltk.tokenize.punkt import PunktTokenizer

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # says the same as the error
            return PunktTokenizer("english")
    except (LookupError, OSError, ValueError) as error:
        lines = (line.strip(" *") for line in str(error).splitlines())
        reason = next((line for line in lines if line), type(error).__name__).rstrip(".")
        raise UserError(f"sentences=punkt_tab cannot be used ({reason}): {PUNKT_TAB_RECIPE}") from error


def splitter_signature(config: TextConfig) -> str:
    """What besides the settings decides sentences and tokens: NLTK's version, and what Punkt knows; hexadecimal."""
    parts: list[object] = [importlib.metadata.version("nltk") if config.unit == "word" else ""]
    if config.unit == "word" and config.sentences == "punkt":
        parts += abbreviations()
    elif config.unit == "word" and config.sentences == "punkt_tab":
        known = punkt_tab_tokenizer()._params
        parts += [sorted(known.abbrev_types), sorted(known.collocations), sorted(known.sent_starters)]
        parts += [sorted(known.ortho_context.items())]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def word_tokenizer(config: TextConfig) -> Callable[[str], list[str]]:
    """A function that cuts one sentence into tokens.

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
    elif config.tokens == "whitespace":
        split = str.split
    else:
        split = fast_nltk_tokenizer()
    if not config.lowercase:
        return split
    if config.unit == "char":
        return lambda sentence: list("".join(map(str.lower, sentence)))  # one by one: no sigma depends on its word
    return lambda sentence: [token.lower() for token in split(sentence)]


@functools.lru_cache(maxsize=1)
def fast_nltk_tokenizer() -> Callable[[str], list[str]]:
    """`NLTKWordTokenizer().tokenize` at ten times its speed: NLTK's rules in order, less those that cannot match."""
    from nltk.tokenize import NLTKWordTokenizer as Rules  # type: ignore[import-untyped]

    def ready(rules: Iterable[tuple[Any, str]]) -> list[tuple[tuple[str, ...], Callable[[str, str], str], str]]:
        return [(RULE_NEEDS.get(rule.pattern, ("",)), untimed(rule), replacement) for rule, replacement in rules]

    before = ready([*Rules.STARTING_QUOTES, *Rules.PUNCTUATION, Rules.PARENS_BRACKETS, Rules.DOUBLE_DASHES])
    after = ready(Rules.ENDING_QUOTES)
    after_if_only_blanks = ready(pair for pair in Rules.ENDING_QUOTES if pair[0].pattern != r"\s+")
    contractions = ready((rule, r" \1 \2 ") for rule in [*Rules.CONTRACTIONS2, *Rules.CONTRACTIONS3])

    def tokenize(sentence: str) -> list[str]:
        text = sentence
        for needs, sub, replacement in before:
            for piece in needs:
                if piece in text:
                    text = sub(replacement, text)
                    break
        text = f" {text} "
        for needs, sub, replacement in after if OTHER_WHITE_SPACE.search(text) else after_if_only_blanks:
            for piece in needs:
                if piece in text:
                    text = sub(replacement, text)
                    break
        lowered = text.lower()
        for needs, sub, replacement in contractions:
            if needs[0] in lowered:
                text = sub(replacement, text)
        return text.split()

    return tokenize


def untimed(rule: Any) -> Callable[[str, str], str]:
    """`rule.sub` without the clock that newer versions of NLTK start for every call; our pieces of text are bounded."""
    sub: Callable[..., str] = rule.sub
    return functools.partial(sub, timeout=None) if hasattr(rule, "_timeout") else sub


def detokenize(tokens: Iterable[str], config: TextConfig) -> str:
    """The text that `tokens` stand for, as a reader writes it.

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
    """What each of `tokens` adds to the text, one piece for each, as they come."""
    if config.unit == "char":
        yield from tokens
    elif config.tokens == "whitespace":
        for number, token in enumerate(tokens):
            yield f" {token}" if number else token
    else:
        yield from word_pieces(tokens)
