"""Refuse annotations with odd spans (empty, reversed, outside their video) before any table is replaced."""

import argparse
from pathlib import Path

from workflow_scripts.lib.datasets.importing import add_source_arguments, import_source, paths_by_split
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.store.atomic import write_text


def main() -> None:
    """Read, complete, check; write that all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_source_arguments(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="written if nothing is odd")
    arguments = parser.parse_args()
    files = paths_by_split(arguments.file)
    source = (arguments.format, files, arguments.dataset, arguments.manifest)
    annotations, _ = import_source(*source, strict=True, items=arguments.items)
    n_spans = len(annotations.moments) + len(annotations.steps)
    write_text(arguments.out, f"{n_spans} spans, none of them odd\n")


if __name__ == "__main__":
    run_entry_point(main)
