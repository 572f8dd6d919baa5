"""Tokenizing files: the ids, compared with a simple implementation; the cache, progress and errors."""

import os
import re
import sys

import numpy as np
import pytest

from theano_rnn.settings.base import UserError
from theano_rnn.settings.text import TextConfig
from theano_rnn.text import sources, tokenizing
from theano_rnn.text.tokenizing import NUM_ENDS, default_num_workers, tokenize_file
from theano_rnn.text.words import sentence_splitter, word_tokenizer

STORY = 'Mr. A. said:\n"No."  He left.\n\n \nB!\r\n\r\nThe end </s> <unk>' + "\n\nAnd so on." * 30
CONFIGS = [
    TextConfig(), TextConfig(lowercase=True), TextConfig(sentences="line"),
    TextConfig(sentences="line", tokens="whitespace"), TextConfig("char"), TextConfig("char", lowercase=True),
]  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("THEANO_RNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("THEANO_RNN_CACHE_MB", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def story(tmp_path):
    (tmp_path / "story.txt").write_bytes(STORY.encode())
    return tmp_path / "story.txt"


def reference(text, config):
    """Returns the tokens by a simple implementation, with None at the end of each sentence."""
    text = text.replace("\r\n", "\n")
    if config.unit == "char":
        return list(text.lower() if config.lowercase else text)
    texts = text.split("\n") if config.sentences == "line" else text.replace("\n \n", "\n\n").split("\n\n")
    tokens = []
    for paragraph in texts:
        for sentence in sentence_splitter(config)(paragraph):
            tokens += [*word_tokenizer(config)(sentence), None]
    return tokens


def spelt(tokenized):
    return [None if number < NUM_ENDS else tokenized.types[number] for number in tokenized.ids.tolist()]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_files_are_tokenized_as_the_plain_way_does(story, config):
    tokenized = tokenize_file(story, config)
    assert spelt(tokenized) == reference(STORY, config)
    assert tokenized.ids.dtype == np.int32
    firsts = list(dict.fromkeys(token for token in reference(STORY, config) if token is not None))
    assert tokenized.types[NUM_ENDS:] == firsts
    has_paragraphs = config.unit == "word" and config.sentences == "punkt"
    num_paragraphs = len([text for text in re.split(r"\n\s*\n", STORY) if text.strip()])
    assert (tokenized.ids == 1).sum() == (num_paragraphs if has_paragraphs else 0)


@pytest.mark.parametrize("config", [CONFIGS[0], CONFIGS[4]], ids=str)
def test_neither_workers_nor_blocks_show(story, config, monkeypatch):
    monkeypatch.setenv("THEANO_RNN_CACHE_MB", "0")
    first = tokenize_file(story, config, num_workers=0)
    monkeypatch.setattr(sources, "BLOCK_BYTES", 7)
    second = tokenize_file(story, config, num_workers=2)
    assert first.types == second.types
    assert first.ids.tolist() == second.ids.tolist()


def test_a_second_start_reads_what_is_known(story, monkeypatch):
    first = tokenize_file(story, TextConfig())
    monkeypatch.setattr(tokenizing.WorkerPool, "tokenize", None)
    again = tokenize_file(story, TextConfig())
    assert (again.ids.tolist(), again.types) == (first.ids.tolist(), first.types)


def test_other_settings_or_content_are_not_what_is_known(story):
    assert len({tuple(spelt(tokenize_file(story, config))) for config in CONFIGS}) == len(CONFIGS)
    story.write_text("New.")
    assert spelt(tokenize_file(story, TextConfig())) == ["New", ".", None]


def test_a_damaged_entry_is_made_again(story, folder):
    first = spelt(tokenize_file(story, TextConfig()))
    (entry,) = folder.iterdir()
    (entry / "ids.bin").write_bytes(b"\0" * 8)
    assert spelt(tokenize_file(story, TextConfig())) == first
    assert (entry / "ids.bin").stat().st_size == 4 * len(first)


@pytest.mark.parametrize("config", [TextConfig(), TextConfig("char")], ids=str)
def test_progress_ends_with_all_bytes(story, config, monkeypatch):
    monkeypatch.setattr(sources, "BLOCK_BYTES", 16)
    calls = []
    tokenize_file(story, config, num_workers=0, progress=lambda done, total: calls.append((done, total)))
    size = story.stat().st_size
    assert calls[-1] == (size, size)
    assert calls == sorted(calls)
    assert 2 <= len(calls) < 6  # not one for each of the many blocks


def test_a_file_that_changes_is_an_error(story):
    def write_more(*_):
        with open(story, "a") as file:
            file.write("more")
        os.utime(story, ns=(1, 1))

    with pytest.raises(UserError, match="changed while it was being read"):
        tokenize_file(story, TextConfig(), progress=write_more)


def test_small_files_need_no_workers(monkeypatch):
    assert default_num_workers(1000) == 0
    assert 1 <= default_num_workers(1 << 24) <= tokenizing.MAX_WORKERS
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert default_num_workers(1 << 24) == tokenizing.MAX_WORKERS
    monkeypatch.setattr(sys, "executable", None)
    assert default_num_workers(1 << 24) == 0


def test_one_endless_line_is_one_sentence(tmp_path):
    (tmp_path / "line.txt").write_text("ab cde " * 60_000)
    tokenized = tokenize_file(tmp_path / "line.txt", TextConfig())
    assert tokenized.types == ["</s>", "</s>", "ab", "cde"]
    assert tokenized.ids.tolist() == [2, 3] * 60_000 + [1]


def test_every_character_keeps_its_own_id(tmp_path):
    (tmp_path / "a.txt").write_bytes("b\u00e9\U0001f600\r\nb\n\n".encode())
    tokenized = tokenize_file(tmp_path / "a.txt", TextConfig("char"))
    assert tokenized.types == ["</s>", "</s>", "b", "é", "\U0001f600", "\n"]
    assert tokenized.ids.tolist() == [2, 3, 4, 5, 2, 5, 5]
