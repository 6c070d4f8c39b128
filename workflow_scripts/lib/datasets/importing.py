"""From source annotation files to complete, checked annotations in memory: what importing and checking share."""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.lib.datasets.annotation_tables import Annotations, add_flags
from workflow_scripts.lib.datasets.durations import fill_durations, fill_from_rows
from workflow_scripts.lib.datasets.item_files import join_items
from workflow_scripts.lib.datasets.left_out import leave_out
from workflow_scripts.lib.datasets.readers import read_annotations
from workflow_scripts.lib.datasets.validation import refuse_flags, validate_annotations
from workflow_scripts.lib.store.settings_files import add_settings_options

log = logging.getLogger(__name__)


def add_source_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where annotations come from."""
    add_settings_options(parser)
    parser.add_argument("--dataset", required=True, help="key of the dataset")
    parser.add_argument("--manifest", nargs="?", type=Path, help="media manifest, if the files leave durations open")


def split_paths(source: Mapping[str, Any]) -> dict[str, Path]:
    """Return the file of every split that the settings of an import name."""
    return {split: Path(path) for split, path in source["files"]}


def item_paths(source: Mapping[str, Any]) -> list[Path]:
    """Return the files with items that the settings of an import name."""
    return [Path(path) for path in source["items"]]


def import_source(
    source: Mapping[str, Any], dataset: str, manifest: Path | None, strict: bool
) -> tuple[Annotations, list[dict[str, Any]]]:
    """Read, complete and check annotations.

    Parameters
    ----------
    source : dict
        `format`, the name of a reader; `files`, pairs of split and source file; `items`, files with noun phrases of
        the queries (`join_items`); `only_splits`, if not all; `durations_of`, rows that tell durations
        (`fill_from_rows`).
    dataset : key of the dataset
    manifest : media manifest, for durations that nothing else tells
    strict : whether odd spans are errors

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
    annotations = read_annotations(source["format"], split_paths(source), dataset)
    if "only_splits" in source:
        annotations.keep_splits(source["only_splits"])
    if source["items"]:
        n_joined = join_items(annotations, item_paths(source))
        log.info("items: %d of %d queries have theirs from a file", n_joined, len(annotations.queries))
    rows = source.get("durations_of")
    left_out = leave_out(
        annotations, fill_from_rows(annotations, rows) if rows else fill_durations(annotations, manifest)
    )
    add_flags(annotations)
    validate_annotations(annotations)
    if strict:
        refuse_flags(annotations)
    return annotations, left_out
