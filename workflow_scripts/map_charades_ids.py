"""Write the table that joins the two numberings of Charades-STA queries: text files and tvr files."""

import argparse
import logging
from pathlib import Path

from workflow_scripts.lib.datasets.charades_ids import charades_qid_map
from workflow_scripts.lib.datasets.schema import SCHEMA_VERSION
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.store.tables import read_table, write_table

log = logging.getLogger(__name__)


def parse_arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--text", required=True, type=Path, metavar="PARQUET", help="queries.parquet of the text files (charades)"
    )
    parser.add_argument(
        "--tvr", required=True, type=Path, metavar="PARQUET", help="queries.parquet of the tvr files (charades_tvr)"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="PARQUET", help="charades_qid_map.parquet to write")
    return parser.parse_args()


def main() -> None:
    """Read both tables, match, write."""
    arguments = parse_arguments()
    table = charades_qid_map(read_table(arguments.text), read_table(arguments.tvr))
    write_table(arguments.out, table, {"schema_version": SCHEMA_VERSION, "importer": "charades_qid_map 1"})
    log.info("%d queries, %d of them only in the text files", table.num_rows, table["tvr_query_id"].null_count)


if __name__ == "__main__":
    run_entry_point(main)
