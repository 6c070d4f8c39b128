"""From source annotation files to complete, checked annotations in memory: what importing and checking share."""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.durations import fill_durations
from workflow_scripts.lib.datasets.item_files import join_items
from workflow_scripts.lib.datasets.left_out import leave_out
from workflow_scripts.lib.datasets.readers import known_formats, read_annotations
from workflow_scripts.lib.datasets.tables import Annotations, add_flags
from workflow_scripts.lib.datasets.validation import refuse_flags, validate
from workflow_scripts.lib.errors import UserError

log = logging.getLogger(__name__)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where annotations come from."""
    parser.add_argument("--dataset", required=True, help="key of the dataset")
    parser.add_argument("--format", required=True, help=f"format of the files: {', '.join(known_formats())}")
    parser.add_argument(
        "--file", required=True, action="append", metavar="SPLIT=PATH", help="a split's file; may be repeated"
    )
    parser.add_argument("--items", type=Path, action="append", default=[], help="file with items; may be repeated")
    parser.add_argument("--manifest", type=Path, help="media manifest; read only if durations are missing")


def paths_by_split(arguments: list[str]) -> dict[str, Path]:
    """Return the paths of `SPLIT=PATH` arguments by split.

    Raises
    ------
    UserError
        an argument has another form, or a split occurs twice
    """
    files: dict[str, Path] = {}
    for argument in arguments:
        split, equals, path = argument.partition("=")
        if not (split and equals and path) or split in files:
            raise UserError(f"--file {argument}: expected SPLIT=PATH, every split once, e.g. --file train=train.jsonl")
        files[split] = Path(path)
    return files


def import_source(
    source_format: str,
    files: dict[str, Path],
    dataset: str,
    manifest: Path | None,
    strict: bool,
    items: Sequence[Path] = (),
) -> tuple[Annotations, list[dict[str, Any]]]:
    """Read, complete and check annotations.

    Parameters
    ----------
    source_format : name of a reader
    files : source file of every split
    dataset : key of the dataset
    manifest : media manifest, for durations that the files leave open
    strict : whether odd spans are errors
    items : files with noun phrases of the queries, see `join_items`

    Returns
    -------
    annotations : Annotations
        With durations and flags.
    left_out : list of dict
        See `leave_out`.

    Raises
    ------
    AnnotationError
        A subclass named after what is wrong.
    """
    annotations = read_annotations(source_format, files, dataset)
    if items:
        n_joined = join_items(annotations, list(items))
        log.info("items: %d of %d queries have theirs from a file", n_joined, len(annotations.queries))
    left_out = leave_out(annotations, fill_durations(annotations, manifest))
    add_flags(annotations)
    validate(annotations)
    if strict:
        refuse_flags(annotations)
    return annotations, left_out
