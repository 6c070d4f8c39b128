"""The tables of docs/gpu.md: a row of what was seen in place of the one that stands there."""

from collections.abc import Iterable, Mapping, Sequence

from tests.markdown_pages import ROOT

PAGE = ROOT / "docs" / "gpu.md"
NAMED = ("system", "feature", "dataset")
"""Headings whose cells are names, and decide which row it is."""


def enter(found: Mapping[str, str]) -> None:
    """Write what was seen into the page; what it has no row for is left out."""
    PAGE.write_text(entered(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")


def entered(text: str, found: Mapping[str, str]) -> str:
    """Return the text of a page with a row changed to what was seen, by the headings of its table."""
    lines, headings = text.splitlines(keepends=True), []
    for number, line in enumerate(lines):
        cells = _cells(line)
        if not cells:
            headings = []
        elif not headings:
            headings = cells
        elif _is_row_of(found, headings, cells):
            values = [found.get(heading, "") for heading in headings]
            lines[number] = _line(f"`{v}`" if h in NAMED else v for h, v in zip(headings, values, strict=True))
    return "".join(lines)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")] if line.startswith("|") else []


def _is_row_of(found: Mapping[str, str], headings: Sequence[str], cells: Sequence[str]) -> bool:
    names = {h: cell.strip("`") for h, cell in zip(headings, cells, strict=True) if h in NAMED}
    return bool(names) and all(found.get(heading) == name for heading, name in names.items())


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
