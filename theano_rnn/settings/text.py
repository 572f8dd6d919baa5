"""Settings of text: how it becomes tokens, which files are read, and how they are split."""

from __future__ import annotations

from dataclasses import dataclass

from theano_rnn.settings.base import Section, UserError, setting

COLUMN_HELP = (
    "column with the text in .csv, .tsv and .jsonl files (default: body, or else the only column that looks like text)"
)
TEXT_RULES = 2  # 1: of version 0.2.0 and before, and of every vocabulary that does not say


@dataclass(frozen=True)
class TextConfig(Section):
    """How text becomes tokens. Stored in the vocabulary, so that a model tokenizes any text as in its training."""

    unit: str = setting(
        "word", "what one token is: a word, a character, or a piece of a word (subword), of which rare words have "
        "several and frequent words one, so that no word is unknown", choices=("word", "char", "subword"),
    )  # fmt: skip
    sentences: str = setting(
        "punkt",
        "how to find the ends of sentences. punkt: with NLTK's Punkt and this package's list of abbreviations; line: "
        "each line is one sentence; punkt_tab: with Punkt and NLTK's resource punkt_tab, which you must install",
        choices=("punkt", "line", "punkt_tab"),
    )
    tokens: str = setting(
        "nltk", "how sentences are split into words. nltk: by NLTK's word tokenizer; whitespace: at white space, for "
        "text that is already tokenized", choices=("nltk", "whitespace"),
    )  # fmt: skip
    lowercase: bool = setting(False, "convert tokens to lower case, after sentences are split", kind=bool)
    rules: int = TEXT_RULES  # the version of the rules behind all of the above; older models keep theirs

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rules not in range(1, TEXT_RULES + 1):
            raise UserError(f"rules must be from 1 to {TEXT_RULES}, got {self.rules!r}: update theano_rnn")
        if self.unit == "subword" and self.rules < 2:
            raise UserError(f"rules must be at least 2 with unit subword, got {self.rules}")

    @property
    def has_sentences(self) -> bool:
        """Whether the text is split into sentences, each with a token for its end; not if tokens are characters."""
        return self.unit != "char"


@dataclass(frozen=True)
class CorpusConfig(Section):
    """Which files are read, how they are split into parts, and how many words the vocabulary keeps."""

    train: tuple[str, ...] = setting(
        (), "training text: UTF-8 .txt files, tables (.csv, .tsv, .jsonl, see --column), also compressed (.gz, .bz2, "
        ".xz); a folder with such files; - for standard input (default: data/austen)", kind=tuple, metavar="FILE",
    )  # fmt: skip
    valid: tuple[str, ...] = setting(
        (), "validation text (default: a part of each training file)", kind=tuple, metavar="FILE"
    )
    test: tuple[str, ...] = setting((), "test text (default: a part of each training file)", kind=tuple, metavar="FILE")
    column: str | None = setting(None, COLUMN_HELP, metavar="NAME")
    valid_fraction: float = setting(
        0.05, "fraction of each training file's sentences to use for validation, taken just before the test part; "
        "ignored with --valid", kind=float, at_least=0, below=1,
    )  # fmt: skip
    test_fraction: float = setting(
        0.05, "fraction of each training file's sentences to use for the test, taken from the end; ignored with "
        "--valid or --test", kind=float, at_least=0, below=1,
    )  # fmt: skip
    vocab_size: int = setting(
        10_000, "maximum size of the vocabulary: the most frequent words (with --unit subword: the pieces), <unk> and "
        "</s>", kind=int, at_least=3,
    )  # fmt: skip
    min_count: int = setting(1, "keep words that occur at least this often in the training text", kind=int, at_least=1)
    subword_model: str | None = setting(
        None, "with --unit subword, take the pieces of this tokenizer.json, a BPE of the package tokenizers with a "
        "piece for every byte, instead of learning them from the training text", metavar="FILE",
    )  # fmt: skip
    init_from: str | None = setting(
        None, "start from this checkpoint: train its network, with its vocabulary, on the new text", metavar="FILE"
    )
    add_words: int = setting(
        0, "with --init-from, add this many words to the vocabulary: the most frequent new words of the training text",
        kind=int, at_least=0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.add_words and self.init_from is None:
            raise UserError("add_words needs --init-from: name the checkpoint to extend")


@dataclass(frozen=True)
class LanguageModelCorpusConfig(CorpusConfig):
    """Which files are read for a language model, and its vocabulary."""

    vocab_from: str | None = setting(
        None, "take the vocabulary of this checkpoint, of a translator that of its target, so that the language model "
        "can help the translator (translate --lm)", metavar="FILE",
    )  # fmt: skip
