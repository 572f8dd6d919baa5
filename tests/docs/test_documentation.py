"""The documentation: its commands and its Python code run, and its links lead somewhere.

A fenced block ``sh`` or ``python`` in README.md or docs/*.md is run, all blocks of a page in one folder and one
namespace. A block ``sh`` has commands alone, without a prompt and without output, so that it can be pasted. A block
that cannot be run here has a comment in the line before it, ``<!-- not run: REASON -->``.
"""

import contextlib
import gzip
import io
import re
import shlex
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
from tiny_runs import Commands, sentences, train_in

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("docs/*.md"))]
QUICK = {"README.md", "docs/index.md"}  # others take a second to half a minute each
LINKING = [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"]
FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+)(?P<language>[\w{}-]*)")
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
PROGRAM = re.compile(r"^(?:theano-rnn|python -m theano_rnn|python scripts/(?=\w+\.py)) *(\w+)(?:\.py)?")
SMALL = ["--embedding-size", "4", "--hidden-size", "4", "--preset", "none", "--batch-size", "4", "--bptt-steps", "20"]
TEXT = "\n".join(["My sister came on Monday.", "There he and she saw the brother.", "It is a truth.", *sentences(400)])
LISTS = "0 ||| It is a truth . ||| lm ||| -3\n0 ||| A truth it is . ||| lm ||| -2\n"
HAS_EXTRAS = all(find_spec(name) is not None for name in ("jax", "matplotlib", "tokenizers"))


class Block(NamedTuple):
    language: str
    text: str
    reason: str | None  # why it is not run


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page."""
    blocks, lines, number, before = [], text.split("\n"), 0, ""
    while number < len(lines):
        opening = FENCE.match(lines[number])
        if opening is not None:
            indent, body, number = len(opening["indent"]), [], number + 1
            while lines[number].strip() != opening["fence"]:
                body.append(lines[number][indent:])
                number += 1
            found = NOT_RUN.fullmatch(before)
            blocks.append(Block(opening["language"], "\n".join(body) + "\n", found and found[1]))
        if lines[number].strip():
            before = lines[number].strip()
        number += 1
    return blocks


def commands_in(block: Block) -> list[str]:
    """The commands of a block ``sh``."""
    lines = re.sub(r"\\\n *", "", block.text).splitlines()
    return [part for line in lines for part in line.split(" && ")]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages name."""
    folder = tmp_path_factory.mktemp("documentation")
    for name in ("mybook.txt", "held-out.txt", "book.txt", "mine.txt", "books/one.txt", "data/austen/emma.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(TEXT)
    (folder / "beginning.txt").write_text("It is a truth")
    (folder / "reviews.csv").write_text("name,review\n" + "".join(f'a,"{each}"\n' for each in sentences(90)))
    labelled = [f"{'pos' if i % 2 else 'neg'}\t{each}\n" for i, each in enumerate(sentences(80))]
    for name in ("labelled.tsv", "more.tsv"):
        (folder / name).write_text("label\ttext\n" + "".join(labelled))
    (folder / "lists.txt").write_text(LISTS)
    (folder / "references.txt").write_text("It is a truth .\n")
    (folder / "books.gz").write_bytes(gzip.compress(TEXT.encode()))
    train_in(folder, *SMALL, "--train", "mybook.txt", checkpoint="runs/model.safetensors")
    shutil.copy(folder / "runs/model.safetensors", folder / "runs/other.safetensors")
    return folder


class Runner:
    """Runs the blocks of a page."""

    def __init__(self, commands: Commands, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands, self.monkeypatch = commands, monkeypatch
        self.namespace: dict[str, object] = {}

    def run(self, block: Block) -> None:
        if block.language == "python":
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile(block.text, "documentation", "exec"), self.namespace)
        for command in commands_in(block) if block.language == "sh" else ():
            output = ""
            for part in command.split(" | "):
                output = self.output_of(part, output)

    def output_of(self, command: str, standard_input: str) -> str:
        words = shlex.split(PROGRAM.sub(r"theano-rnn \1", command), comments=True)
        if words[0] == "echo":
            return " ".join(words[1:]) + "\n"
        if words[0] == "zcat":
            return gzip.decompress(Path(words[1]).read_bytes()).decode()
        if words[0] == "head":
            return standard_input
        assert words[0] == "theano-rnn", f"{command}: cannot be run here; say why in a comment <!-- not run: REASON -->"
        _, name, *arguments = words
        if ">" in arguments:
            arguments = arguments[: arguments.index(">")]
        if name == "train":
            is_free = not {"--resume", "--init-from"} & set(arguments)
            text = [] if {"--train", "--config", "--resume"} & set(arguments) else ["--train", "mybook.txt"]
            small = SMALL[: SMALL.index("--bptt-steps")] if "classify" in arguments else SMALL
            arguments = [*(small if is_free else []), *text, *arguments, "--max-seconds", "0.3"]
        self.monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(standard_input.encode())))
        result = self.commands(name, *arguments)
        assert result.status == 0, f"{command}\n{result.err}"
        return str(result.out)


@pytest.mark.skipif(not HAS_EXTRAS, reason="needs jax, matplotlib and tokenizers")
@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=() if page in QUICK else pytest.mark.slow) for page in PAGES]
)
def test_commands_and_code_run(page, prepared, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "work"
    blocks = [block for block in blocks_of((ROOT / page).read_text(encoding="utf-8")) if not block.reason]
    if not any(block.language in ("sh", "python") for block in blocks):
        return
    shutil.copytree(prepared, folder)
    runner = Runner(Commands(folder, monkeypatch, capsys), monkeypatch)
    for block in blocks:
        runner.run(block)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    blocks = blocks_of(text)
    counted = [block for block in blocks if block.language in ("sh", "python")]
    assert len(counted) == len(re.findall(r"^ *```(?:sh|python)$", text, re.MULTILINE))
    assert sum(block.reason is not None for block in blocks) == len(NOT_RUN.findall(text))  # none is misplaced
    for block in counted:
        assert block.text.strip()
        assert block.language == "python" or not re.search("^[$] | # ", block.text, re.M), "cannot be pasted"


def anchors_of(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them, and of the terms of the glossary."""
    text = re.sub(r"^ *```.*?^ *```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    names = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    names += re.findall(r"^\*\*(.+)\*\*$", text, re.MULTILINE) if path.name == "glossary.md" else []
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


@pytest.mark.parametrize("page", LINKING)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```|`[^`\n]*`", "", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^()\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page}: no file {target}"
        assert not anchor or anchor in anchors_of(file), f"{page}: no anchor {target}"
