"""The parts of a Markdown page that tests look at: code blocks, cells of tables, links, headings."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "config" / "README.md",
    ROOT / "results" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
"""The pages beside the README."""
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def code_blocks(text: str) -> list[tuple[str, str]]:
    """Return (language, content) of every fenced block; the indentation of a block inside a list is taken off."""
    blocks = []
    for indent, language, content in FENCE.findall(text):
        lines = [line.removeprefix(indent) for line in content.splitlines()]
        blocks.append((language, "\n".join(lines)))
    return blocks


def prose(text: str) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", text)


def table_rows(text: str) -> Iterator[list[str]]:
    """Yield the cells of every line of a table, headers apart."""
    lines = prose(text).splitlines()
    for i, line in enumerate(lines):
        is_header = i + 1 < len(lines) and set(lines[i + 1]) <= set("|-: ") and "|-" in lines[i + 1]
        is_rule = set(line) <= set("|-: ")
        if line.startswith("|") and not is_header and not is_rule:
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def code_words(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def relative_links(text: str) -> list[str]:
    """Return the targets of all links that do not leave the repository."""
    return [target for target in LINK.findall(prose(text)) if not target.startswith(("http://", "https://"))]


def anchors(text: str) -> set[str]:
    """Return the anchors that the headings of a page get on a code-hosting site."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page whose file or heading is not there."""
    broken = []
    for link in relative_links(page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    return broken


def make_targets() -> set[str]:
    """Return the targets of the Makefile that have a rule."""
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    return {match[1] for line in lines if (match := re.match(r"([a-z][a-z-]*):(?!=)", line))}


def make_commands(text: str) -> list[str]:
    """Return the `make` commands of a page, in blocks and in running text."""
    lines = [line for _, block in code_blocks(text) for line in block.splitlines()]
    return [command for command in [*lines, *code_words(prose(text))] if command.startswith("make ")]


def unknown_targets(text: str) -> list[str]:
    """Return the `make` commands of a page that name a target that is not there."""
    named = {command: command.split()[1:] for command in make_commands(text)}
    return [
        command
        for command, words in named.items()
        if not {word for word in words if not word.startswith("-") and "=" not in word} <= make_targets()
    ]
