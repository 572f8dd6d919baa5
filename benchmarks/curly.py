"""Write a copy of a text with typographic quotation marks and apostrophes, and compare the tokens of both.

A model should learn the same from "Don't!" and “Don’t!”. To check it, train twice and compare the test perplexities:

    python benchmarks/curly.py data/austen/emma.txt emma_curly.txt
    theano-rnn train --train data/austen/emma.txt --checkpoint straight.ckpt
    theano-rnn train --train emma_curly.txt --checkpoint curly.ckpt
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SHORTENED = r"(?:tis|twas|twould|twill|em|t|n|\d0s)\b"  # words that begin with an apostrophe
CURLY = [
    (r'(?<![^\s(\[])"(?=\S)', "“"),  # at the start, after white space or an opening bracket
    (r"(?<=[-—'])\"(?=['\w])", "“"),  # --"Oh
    (r'"', "”"),
    (rf"(?i)'(?={SHORTENED})", "’"),
    (r"(?<![^\s(\[“])'(?=\S)", "‘"),
    (r"(?<=[-—])'(?=\w)", "‘"),
    (r"'", "’"),
]


def curly(text: str) -> str:
    """Returns the text with typographic marks for ' and ".

    >>> curly('"\\'Tis I--don\\'t you see?" said he. "The \\'Musgroves\\' house."')
    '“’Tis I--don’t you see?” said he. “The ‘Musgroves’ house.”'
    """
    for pattern, mark in CURLY:
        text = re.sub(pattern, mark, text)
    return text


def tokenized(text: str) -> tuple[list[list[str]], Counter[str]]:
    """Returns the tokens of each sentence, and how often each type occurs."""
    from theano_rnn.settings.text import TextConfig
    from theano_rnn.text.reading import PARAGRAPH_END
    from theano_rnn.text.words import sentence_splitter, word_tokenizer

    split, tokenize = sentence_splitter(TextConfig()), word_tokenizer(TextConfig())
    paragraphs = [paragraph for paragraph in PARAGRAPH_END.split(text) if paragraph.strip()]
    sentences = [tokenize(sentence) for paragraph in paragraphs for sentence in split(paragraph)]
    return sentences, Counter(token for sentence in sentences for token in sentence)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, metavar="TEXT")
    parser.add_argument("target", type=Path, metavar="COPY")
    arguments = parser.parse_args()
    text = arguments.source.read_text(encoding="utf-8")
    arguments.target.write_text(curly(text), encoding="utf-8")
    (plain, plain_types), (marked, marked_types) = tokenized(text), tokenized(curly(text))
    for name, sentences, types in [("straight", plain, plain_types), ("curly", marked, marked_types)]:
        print(f"{name}: {len(sentences):,} sentences, {sum(types.values()):,} tokens, {len(types):,} types")
    print("sentences of the same number of tokens:", [len(s) for s in plain] == [len(s) for s in marked])
    only = {"straight": plain_types - marked_types, "curly": marked_types - plain_types}
    for name, types in only.items():
        print(f"more frequent in the {name} text:", dict(types.most_common(15)))


if __name__ == "__main__":
    main()
