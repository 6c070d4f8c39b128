"""Turn a dataset's source annotation files into the canonical tables."""

import argparse
import logging
from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import write_annotations
from workflow_scripts.lib.datasets.importing import add_source_options, import_source, item_paths, split_paths
from workflow_scripts.lib.datasets.left_out import METADATA_KEY
from workflow_scripts.lib.datasets.readers import importer_name
from workflow_scripts.lib.datasets.source_files import content_sha256
from workflow_scripts.lib.datasets.validation import count_flags, empty_moments, first_of_every_flag
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.store.settings_files import read_settings

log = logging.getLogger(__name__)


def main() -> None:
    """Read, complete, check, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_source_options(parser)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the tables")
    args = parser.parse_args()
    source = read_settings(args.settings, args.key)
    annotations, left_out = import_source(source, args.dataset, args.manifest, strict=False)
    files = split_paths(source) | {f"items: {path.name}": path for path in item_paths(source)}
    metadata = {
        "importer": importer_name(source["format"]),
        "source_sha256": {name: content_sha256(path) for name, path in files.items()},
        METADATA_KEY: left_out,
    }
    write_annotations(args.out, annotations, metadata)
    for row in left_out:
        log.warning("left out: %d queries of split %s (%s)", row["queries"], row["split"], row["reason"])
    for (split, why), places in sorted(empty_moments(annotations).items()):
        log.warning("left out: %d moments of split %s (%s); the first is %s", len(places), split, why, places[0])
    for flag, where in sorted(first_of_every_flag(annotations).items()):
        log.warning("%s: kept and counted; the first is %s", flag, where)
    flags = ", ".join(f"{count} {name}" for name, count in sorted(count_flags(annotations).items()))
    log.info(
        "%s: %d videos, %d queries, %d moments, %d steps, %d captions; flagged: %s",
        args.dataset,
        len(annotations.videos),
        len(annotations.queries),
        len(annotations.moments),
        len(annotations.steps),
        len(annotations.captions),
        flags or "none",
    )


if __name__ == "__main__":
    run_entry_point(main)
