"""Turn a dataset's source annotation files into the canonical tables."""

import argparse
import logging
from pathlib import Path

from workflow_scripts.lib.datasets.importing import add_source_arguments, import_source, paths_by_split
from workflow_scripts.lib.datasets.left_out import METADATA_KEY
from workflow_scripts.lib.datasets.readers import importer_name
from workflow_scripts.lib.datasets.source_files import content_sha256
from workflow_scripts.lib.datasets.tables import write_annotations
from workflow_scripts.lib.datasets.validation import count_flags, first_of_every_flag
from workflow_scripts.lib.errors import run_entry_point

log = logging.getLogger(__name__)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_source_arguments(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the tables")
    parser.add_argument("--strict", action="store_true", help="odd spans are errors instead of flagged and counted")
    return parser.parse_args()


def main() -> None:
    """Read, complete, check, write."""
    arguments = parse_arguments()
    files = paths_by_split(arguments.file)
    annotations, left_out = import_source(
        arguments.format, files, arguments.dataset, arguments.manifest, arguments.strict, arguments.items
    )
    metadata = {
        "importer": importer_name(arguments.format),
        "source_sha256": {name: content_sha256(path) for name, path in _sources(files, arguments.items).items()},
        METADATA_KEY: left_out,
    }
    write_annotations(arguments.out, annotations, metadata)
    for row in left_out:
        log.warning("left out: %d queries of split %s (%s)", row["queries"], row["split"], row["reason"])
    for flag, where in sorted(first_of_every_flag(annotations).items()):
        log.warning("%s: kept and counted; the first is %s", flag, where)
    flags = ", ".join(f"{count} {name}" for name, count in sorted(count_flags(annotations).items()))
    log.info(
        "%s: %d videos, %d queries, %d moments, %d steps, %d captions; flagged: %s",
        arguments.dataset,
        len(annotations.videos),
        len(annotations.queries),
        len(annotations.moments),
        len(annotations.steps),
        len(annotations.captions),
        flags or "none",
    )


def _sources(files: dict[str, Path], items: list[Path]) -> dict[str, Path]:
    return files | {f"items: {path.name}": path for path in items}


if __name__ == "__main__":
    run_entry_point(main)
