"""The tables of `docs/datasets.md`, from `config/datasets/`."""

import argparse
import re
import sys
from dataclasses import asdict

from tests.markdown_pages import ROOT
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.planning.needs import Need
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.list_downloads import size_of

PAGE = ROOT / "docs" / "datasets.md"
BEGIN, END = "<!-- data tables: begin -->", "<!-- data tables: end -->"


def row(need: Need) -> str:
    """Return one line of a table."""
    how = re.sub(r"(https?://[^\s,]+)", r"<\1>", need.ways[0])
    how = re.sub(r"(snakemake --cores 1 \S+)", r"`\1`", how)
    cells = (need.name.partition(" of ")[0], f"`{need.place}`", size_of(asdict(need)), need.licence, how)
    return f"| {' | '.join(cells)} |"


def tables() -> str:
    """Return a section for every dataset that needs something from elsewhere."""
    configuration = Configuration({}, ROOT / "config")
    needs = Plan({}, ROOT / "config").preflight.needs(None).data()
    sections = []
    for name in configuration.known("datasets"):
        rows = [row(need) for need in needs if need.used_by == name]
        if rows:
            title = configuration.dataset(name).title
            head = "| what | where it goes | size | licence | how to get it |\n|---|---|---|---|---|"
            sections.append("\n".join([f"### {title} (`{name}`)\n", head, *rows]))
    return "\n\n".join(sections)


def current_page() -> str:
    """Return the page as it should be."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    tail = rest.partition(END)[2]
    return f"{head}{BEGIN}\n\n{tables()}\n\n{END}{tail}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the tables instead of comparing them")
    wanted, write = current_page(), parser.parse_args().write
    if write:
        PAGE.write_text(wanted, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != wanted:
        print("docs/datasets.md: run `python -m tests.data_tables --write`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
