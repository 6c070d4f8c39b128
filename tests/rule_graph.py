"""The picture of the workflow in `README.md`, from the rule graph that Snakemake finds."""

import argparse
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.markdown_pages import README, ROOT

BEGIN, END = "<!-- rule graph: begin -->", "<!-- rule graph: end -->"
TARGET = "results/demo/img/report.html"
NODE = re.compile(r"^\s*(\w+)\[(\w+)\]$")
EDGE = re.compile(r"^\s*(\w+) --> (\w+)$")

Edges = set[tuple[str, str]]


def snakemake_graph() -> str:
    """Return the rules behind the demo's report as Snakemake draws them; nothing is written beside the code."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            str(Path(sys.executable).with_name("snakemake")),
            *("--snakefile", str(ROOT / "Snakefile")),
            *("--directory", folder, "--rulegraph", "mermaid-js", "--", TARGET),
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def read_edges(text: str) -> Edges:
    """Return (rule, rule that needs it) of a graph in Snakemake's mermaid form."""
    lines = text.splitlines()
    names = {match[1]: match[2] for line in lines if (match := NODE.match(line))}
    return {(names[match[1]], names[match[2]]) for line in lines if (match := EDGE.match(line))}


def without_shortcuts(edges: Edges) -> Edges:
    """Return the edges that do not follow from a longer way between the same rules."""

    def is_reachable(start: str, goal: str, usable: Edges) -> bool:
        waiting, seen = [start], set()
        while waiting:
            current = waiting.pop()
            if current == goal:
                return True
            if current not in seen:
                seen.add(current)
                waiting += [after for before, after in usable if before == current]
        return False

    return {edge for edge in edges if not is_reachable(*edge, edges - {edge})}


def levels(edges: Edges) -> dict[str, int]:
    """Return the length of the longest way to every rule; the graph must have no circle."""
    level = dict.fromkeys(sorted({rule for edge in edges for rule in edge}), 0)
    for _ in level:
        for before, after in sorted(edges):
            level[after] = max(level[after], level[before] + 1)
    return level


def mermaid(edges: Edges) -> str:
    """Return the same text for the same rules, in whatever order Snakemake names them."""
    level = levels(edges)
    ordered = sorted(without_shortcuts(edges), key=lambda edge: (level[edge[0]], level[edge[1]], edge))
    return "\n".join(["```mermaid", "flowchart TB", *(f"    {a} --> {b}" for a, b in ordered), "```"])


def replace_block(text: str, block: str) -> str:
    """Return a document with `block` between the markers.

    Raises
    ------
    ValueError
        the markers are not there once each, in order
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"{README.name}: expected one {BEGIN} before one {END}")
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{block}\n{END}{rest.split(END)[1]}"


def current_readme() -> str:
    """Return `README.md` as it should be."""
    return replace_block(README.read_text(encoding="utf-8"), mermaid(read_edges(snakemake_graph())))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the picture instead of comparing it")
    write = parser.parse_args().write
    wanted = current_readme()
    if write:
        README.write_text(wanted, encoding="utf-8")
    elif README.read_text(encoding="utf-8") != wanted:
        print("README.md: the picture is not that of the rules; run `make graph`", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
