"""NLTK's word tokenizer, ten times faster: it skips those of NLTK's rules that cannot match.

>>> fast_nltk_tokenizer()("You can't, said Emma.")
['You', 'ca', "n't", ',', 'said', 'Emma', '.']
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from typing import Any

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
    r"([^' ])('ll|'LL|'re|'RE|'ve|'VE|n't|N'T) ": ("n't", "'ll", "'ve", "'re", "N'T", "'LL", "'VE", "'RE"),
    r'([^\.])(\.)([\]\)}>"\'»”’ ]*+)\s*$': (".",),
    r"([:,])([^\d])": (",", ":"),
    r"([:,])$": (",", ":"),
    r"\.{2,}": ("..",),
    r"[;@#$%&]": (";", "&", "$", "%", "#", "@"),
    r"[\u2012-\u2015]": ("—", "–", "\u2012", "\u2015"),
    r'([^\.])(\.)([\]\)}>"\']*)\s*$': (),  # never: the similar rule above has already split this full stop
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
CLOSING_MARKS = "])}>\"'»”’ "
ENDS = {  # what precedes closing marks at the end of each text that these rules, which are slow, match
    r'([^\.])(\.)([\]\)}>"\'»”’ ]*+)\s*$': ".",
    r"([:,])$": ",:",
}
OTHER_WHITE_SPACE = re.compile(r"[^\S ]")


@functools.lru_cache(maxsize=1)
def fast_nltk_tokenizer() -> Callable[[str], list[str]]:
    """Returns a ten times faster `NLTKWordTokenizer().tokenize`, which skips rules that cannot match."""
    from nltk.tokenize import NLTKWordTokenizer as Rules  # type: ignore[import-untyped]

    def with_triggers(rules: Iterable[tuple[Any, str]]) -> list[tuple[tuple[str, ...], Callable[[str, str], str], str]]:
        return [
            (RULE_TRIGGERS.get(rule.pattern, ("",)), fast_substitution(rule), replacement)
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


def fast_substitution(rule: Any) -> Callable[[str, str], str]:
    """Returns `rule.sub`; for a rule of `ENDS`, one that looks at the end of the text alone."""
    sub, ends = substitution_without_timeout(rule), ENDS.get(rule.pattern)
    if ends is None:
        return sub

    def substitute_at_end(replacement: str, text: str) -> str:
        last = len(text.rstrip().rstrip(CLOSING_MARKS)) - 1
        if last < 0 or text[last] not in ends:
            return text
        start = max(last - 1, 0)
        return text[:start] + sub(replacement, text[start:])

    return substitute_at_end


def substitution_without_timeout(rule: Any) -> Callable[[str, str], str]:
    """Returns `rule.sub` without the slow timeout of newer versions of NLTK; our sentences are bounded in length."""
    sub: Callable[..., str] = rule.sub
    return functools.partial(sub, timeout=None) if hasattr(rule, "_timeout") else sub
