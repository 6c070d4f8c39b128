"""Turn a dataset's source annotation files into the canonical tables."""

import argparse
import logging
from pathlib import Path

from workflow_scripts.datasets.durations import fill_durations
from workflow_scripts.datasets.left_out import METADATA_KEY, leave_out
from workflow_scripts.datasets.readers import importer_name, known_formats, read_annotations
from workflow_scripts.datasets.source_files import content_sha256
from workflow_scripts.datasets.tables import add_flags, write_annotations
from workflow_scripts.datasets.validation import count_flags, refuse_flags, validate
from workflow_scripts.errors import UserError, run_entry_point

log = logging.getLogger(__name__)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", required=True, help="key of the dataset")
    parser.add_argument("--format", required=True, help=f"format of the files: {', '.join(known_formats())}")
    parser.add_argument(
        "--file", required=True, action="append", metavar="SPLIT=PATH", help="a split's file; may be repeated"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the tables")
    parser.add_argument("--manifest", type=Path, help="media manifest; read only if durations are missing")
    parser.add_argument("--strict", action="store_true", help="odd spans are errors instead of flagged and counted")
    return parser.parse_args()


def source_files(arguments: list[str]) -> dict[str, Path]:
    """Return the paths by split."""
    files: dict[str, Path] = {}
    for argument in arguments:
        split, equals, path = argument.partition("=")
        if not (split and equals and path) or split in files:
            raise UserError(f"--file {argument}: expected SPLIT=PATH, every split once, e.g. --file train=train.jsonl")
        files[split] = Path(path)
    return files


def main() -> None:
    """Read, complete, check, write."""
    arguments = parse_arguments()
    files = source_files(arguments.file)
    annotations = read_annotations(arguments.format, files, arguments.dataset)
    left_out = leave_out(annotations, fill_durations(annotations, arguments.manifest))
    add_flags(annotations)
    validate(annotations)
    if arguments.strict:
        refuse_flags(annotations)
    metadata = {
        "importer": importer_name(arguments.format),
        "source_sha256": {split: content_sha256(path) for split, path in files.items()},
        METADATA_KEY: left_out,
    }
    write_annotations(arguments.out, annotations, metadata)
    for row in left_out:
        log.warning("left out: %d queries of split %s (%s)", row["queries"], row["split"], row["reason"])
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


if __name__ == "__main__":
    run_entry_point(main)
