"""List the videos whose files are longer or shorter than annotated."""

import argparse
import logging
from pathlib import Path

from workflow_scripts.lib.datasets.durations import TOLERANCE_S, duration_differences
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.store.atomic import write_text
from workflow_scripts.lib.store.tables import read_table

log = logging.getLogger(__name__)


def main() -> None:
    """Read both tables, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--videos", required=True, type=Path, metavar="PARQUET", help="annotated videos")
    parser.add_argument("--manifest", required=True, type=Path, metavar="PARQUET", help="media manifest")
    parser.add_argument("--out", required=True, type=Path, metavar="TSV", help="list to write")
    arguments = parser.parse_args()
    annotated, probed = (
        dict(zip(table["video_id"].to_pylist(), table["duration_s"].to_pylist(), strict=True))
        for table in (read_table(path, ["video_id", "duration_s"]) for path in (arguments.videos, arguments.manifest))
    )
    differences = duration_differences(annotated, probed)
    lines = [f"{d.video_id}\t{d.annotated_s}\t{d.probed_s}" for d in differences]
    write_text(arguments.out, "\n".join(["video_id\tannotated_s\tprobed_s", *lines]) + "\n")
    log.info("%d of %d videos differ by more than %g s", len(differences), len(annotated), TOLERANCE_S)


if __name__ == "__main__":
    run_entry_point(main)
