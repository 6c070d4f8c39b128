"""Tie the shards of transcripts together: the state of every video, and a .srt file each."""

import argparse
from pathlib import Path

from workflow_scripts.lib.datasets.transcript_files import write_srt_files, write_transcript_index
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.store.lost_shards import add_lost_options, write_times_lost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shards", nargs="+", type=Path, help="tables of transcripts, one per shard")
    parser.add_argument("--index", required=True, type=Path, help="index.parquet to write")
    parser.add_argument("--srt", required=True, type=Path, help="folder of the .srt files")
    add_lost_options(parser)
    args = parser.parse_args()
    write_srt_files(args.shards, args.srt)
    write_transcript_index(args.shards, args.index)
    write_times_lost(args.lost, args.times_lost)


if __name__ == "__main__":
    run_entry_point(main)
