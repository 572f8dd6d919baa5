"""Split paragraphs into sentences and sentences into tokens with NLTK, and join tokens to text again.

Sentences are those of NLTK's Punkt, which gets a short list of abbreviations that is part of this package; tokens are
those of NLTK's word tokenizer. Neither needs data files, and nothing is ever downloaded. This is the only module that
imports nltk, and it does so when the first text arrives, because that import takes a while.

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
from theano_rnn.text.detokenizing import spaced_tokens
from theano_rnn.text.vocabulary import BOS, EOS, PAD, UNK, Vocabulary

__all__ = [
    "BOS", "EOS", "PAD", "UNK", "Vocabulary", "abbreviations", "detokenize", "detokenized_pieces", "sentence_splitter",
    "tokenization_fingerprint", "word_tokenizer",
]  # fmt: skip

PUNKT_TAB_INSTRUCTIONS = (
    "run `python -m nltk.downloader -d ~/nltk_data punkt_tab` on a machine with a network, copy ~/nltk_data here, and "
    "run `chmod -R go-w ~/nltk_data` so that only you can change it; or use sentences=punkt, which needs no data"
)

# NLTK's tokenizer applies each of these regular expressions to each sentence. Most cannot match, so a rule is skipped
# unless the sentence contains one of its triggers. A rule that is not listed here, as of another version of NLTK, is
# always applied, so the tokens are NLTK's in any case.
RULE_TRIGGERS: dict[str, tuple[str, ...]] = {
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
    r"(?i)\b(can)(?#X)(not)\b": ("cannot",),  # from here on: triggers in the sentence in lower case
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
    """Returns the abbreviations whose full stop does not end a sentence: lower case, without that full stop.

    Words that also end sentences in novels and letters (no, sat, mon, fig, co, ed, al) are left out on purpose.
    """
    text = importlib.resources.files("theano_rnn").joinpath("data/abbreviations.txt").read_text(encoding="utf-8")
    return tuple(text.split())


def sentence_splitter(config: TextConfig) -> Callable[[str], list[str]]:
    r"""Returns a function that splits a paragraph into sentences, without white space around them.

    With `sentences="line"`, every line that is not blank is a sentence; with `unit="char"`, every line as it is.

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
    return lambda paragraph: list(tokenizer.tokenize(paragraph.replace("\n", " ").strip()))


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
    parts: list[object] = [importlib.metadata.version("nltk") if config.unit == "word" else ""]
    if config.unit == "word" and config.sentences == "punkt":
        parts += abbreviations()
    elif config.unit == "word" and config.sentences == "punkt_tab":
        parameters = punkt_tab_tokenizer()._params
        parts += [sorted(parameters.abbrev_types), sorted(parameters.collocations), sorted(parameters.sent_starters)]
        parts += [sorted(parameters.ortho_context.items())]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def word_tokenizer(config: TextConfig) -> Callable[[str], list[str]]:
    """Returns a function that splits a sentence into tokens.

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
        return lambda sentence: list("".join(map(str.lower, sentence)))  # one by one, or a sigma depends on its word
    return lambda sentence: [token.lower() for token in split(sentence)]


@functools.lru_cache(maxsize=1)
def fast_nltk_tokenizer() -> Callable[[str], list[str]]:
    """Returns a ten times faster `NLTKWordTokenizer().tokenize`, which skips rules that cannot match."""
    from nltk.tokenize import NLTKWordTokenizer as Rules  # type: ignore[import-untyped]

    def with_triggers(rules: Iterable[tuple[Any, str]]) -> list[tuple[tuple[str, ...], Callable[[str, str], str], str]]:
        return [
            (RULE_TRIGGERS.get(rule.pattern, ("",)), substitution_without_timeout(rule), replacement)
            for rule, replacement in rules
        ]

    first_rules = with_triggers(
        [*Rules.STARTING_QUOTES, *Rules.PUNCTUATION, Rules.PARENS_BRACKETS, Rules.DOUBLE_DASHES]
    )
    quote_rules = with_triggers(Rules.ENDING_QUOTES)
    quote_rules_for_spaces = with_triggers(pair for pair in Rules.ENDING_QUOTES if pair[0].pattern != r"\s+")
    contractions = with_triggers((rule, r" \1 \2 ") for rule in [*Rules.CONTRACTIONS2, *Rules.CONTRACTIONS3])

    def tokenize(sentence: str) -> list[str]:
        text = sentence
        for triggers, sub, replacement in first_rules:
            for trigger in triggers:
                if trigger in text:
                    text = sub(replacement, text)
                    break
        text = f" {text} "
        for triggers, sub, replacement in quote_rules if OTHER_WHITE_SPACE.search(text) else quote_rules_for_spaces:
            for trigger in triggers:
                if trigger in text:
                    text = sub(replacement, text)
                    break
        lowered = text.lower()
        for triggers, sub, replacement in contractions:
            if triggers[0] in lowered:
                text = sub(replacement, text)
        return text.split()

    return tokenize


def substitution_without_timeout(rule: Any) -> Callable[[str, str], str]:
    """Returns `rule.sub` without the slow timeout of newer versions of NLTK; our sentences are bounded in length."""
    sub: Callable[..., str] = rule.sub
    return functools.partial(sub, timeout=None) if hasattr(rule, "_timeout") else sub


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
    """Yields, for each token, the text that it adds; joined, these pieces are the text of `detokenize`."""
    if config.unit == "char":
        yield from tokens
    elif config.tokens == "whitespace":
        for number, token in enumerate(tokens):
            yield f" {token}" if number else token
    else:
        yield from spaced_tokens(tokens)
