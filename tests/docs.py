"""What a page of the documentation has to run: commands, blocks of Python with their output, and files."""

import re
import shlex
from pathlib import Path
from textwrap import dedent

from attrs import frozen

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("configs/**/*.md")])

_BLOCK = re.compile(r"^( *)```(\w*)([^\n]*)\n(.*?)^\1```$", re.DOTALL | re.MULTILINE)
_TITLE = re.compile(r'title="([^"]+)"')


@frozen
class Block:
    """A fenced block: its language, the file that it is (or ""), and what is in it."""

    language: str
    title: str
    text: str


def blocks(document: Path) -> list[Block]:
    """Give all fenced blocks of a document, in order, without the indentation of lists that they are part of."""
    found = []
    for _indent, language, rest, text in _BLOCK.findall(document.read_text(encoding="utf-8")):
        title = _TITLE.search(rest)
        found.append(Block(language, title[1] if title else "", dedent(text)))
    return found


def write_files(document: Path, folder: Path) -> None:
    """Write the blocks that are files, ```toml title="mine.toml", into a folder."""
    for block in blocks(document):
        if block.title:
            path = folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")


def commands(document: Path) -> list[tuple[str, str]]:
    """Give the commands of a document's console blocks, with the output that is shown under each.

    A comparison has the commands of its block before it, which make what it compares, joined by " && ".
    """
    found = []
    for block in blocks(document):
        before: list[str] = []
        if block.language == "console":
            for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                before.append(command)
                found.append((" && ".join(before) if command.startswith("./dev compare") else command, output))
    return found


def scripts(document: Path) -> list[str]:
    """Give the shell scripts of a document's sh blocks; where lines stand after prompts, those."""
    found = []
    for block in blocks(document):
        if block.language == "sh":
            prompted = re.findall(r"^\$ (.*)$", block.text, flags=re.MULTILINE)
            found.append("\n".join(prompted) if prompted else block.text.rstrip())
    return found


@frozen
class Words:
    """One command of a script: its words, and the files that it is redirected to."""

    words: list[str]
    written: list[str]


def parsed(script: str) -> list[Words]:
    """Give the commands of a script, each of a pipeline by itself."""
    found: list[Words] = []
    for line in script.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        command = Words([], [])
        tokens = iter(lexer)
        for word in tokens:
            if word in ("|", "&", "&&", ";"):
                found.append(command)
                command = Words([], [])
            elif word in ("<", ">"):
                file = next(tokens)
                command.written.extend([file] if word == ">" else [])
            else:
                command.words.append(word)
        found += [command] if command.words else []
    return found


def snippets(document: Path) -> list[tuple[str, str]]:
    """Give the blocks of Python that are no files, with the output that is shown in the text block after each."""
    found = []
    every = blocks(document)
    for index, block in enumerate(every):
        if block.language == "python" and not block.title:
            following = every[index + 1] if index + 1 < len(every) else block
            found.append((block.text, following.text if following.language == "text" else ""))
    return found
