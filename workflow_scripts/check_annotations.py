"""Refuse annotations with odd spans (empty, reversed, outside their video) before any table is replaced."""

import argparse
from pathlib import Path

from workflow_scripts.lib.datasets.importing import add_source_options, import_source
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.store.atomic import write_text
from workflow_scripts.lib.store.settings_files import read_settings


def main() -> None:
    """Read, complete, check; write that all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_source_options(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="written if nothing is odd")
    args = parser.parse_args()
    annotations, _ = import_source(read_settings(args.settings, args.key), args.dataset, args.manifest, strict=True)
    n_spans = len(annotations.moments) + len(annotations.steps)
    write_text(args.out, f"{n_spans} spans, none of them odd\n")


if __name__ == "__main__":
    run_entry_point(main)
