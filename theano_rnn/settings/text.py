"""Settings of text: how it becomes tokens, which files are read, and how they are divided."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, UserError, setting


@dataclass(frozen=True)
class TextConfig(Section):
    """How text becomes tokens; recorded in the vocabulary, so that a model splits text as its training did."""

    unit: str = setting("word", "what one token is", choices=("word", "char"))
    sentences: str = setting(
        "punkt",
        "where sentences end: NLTK's Punkt with our abbreviations, every line end, or your own punkt_tab resource",
        choices=("punkt", "line", "punkt_tab"),
    )
    tokens: str = setting(
        "nltk", "how a sentence becomes words: NLTKWordTokenizer, or blanks (text already tokenized)",
        choices=("nltk", "whitespace"),
    )  # fmt: skip
    lowercase: bool = setting(False, "turn tokens into lower case, after sentences are split", kind=bool)


@dataclass(frozen=True)
class CorpusConfig(Section):
    """Which files are read, how they are cut, and how many of their words the vocabulary keeps."""

    train: tuple[str, ...] = setting(
        (), "training text: UTF-8 .txt, .csv with a `body` column, either as .gz, - for standard input "
        "(default: data/austen)", kind=tuple, metavar="FILE",
    )  # fmt: skip
    valid: str | None = setting(None, "validation text (default: cut from each training file)", metavar="FILE")
    test: str | None = setting(None, "test text (default: cut from each training file)", metavar="FILE")
    valid_fraction: float = setting(
        0.05, "share of each training file's sentences cut for validation, before the test cut; unused with --valid",
        kind=float, at_least=0, below=1,
    )  # fmt: skip
    test_fraction: float = setting(
        0.05, "share of each training file's last sentences cut for the test; unused with --valid or --test",
        kind=float, at_least=0, below=1,
    )  # fmt: skip
    vocab_size: int = setting(
        10_000, "columns of the output layer at most: the commonest words, <unk> and </s>", kind=int, at_least=3
    )
    min_count: int = setting(1, "keep words that occur at least this often in the training text", kind=int, at_least=1)
    init_from: str | None = setting(
        None, "begin with this model, its network and its vocabulary, and train it on the new text", metavar="FILE"
    )
    add_words: int = setting(
        0, "with --init-from, the commonest words of the training text that the model does not know: add this many to "
        "its vocabulary", kind=int, at_least=0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.add_words and self.init_from is None:
            raise UserError("add_words needs --init-from")
