"""Write a page that compares systems pair by pair: every seed, differences with intervals, what is chance, and cost."""

import argparse
from pathlib import Path

from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.reporting.compared_runs import read_runs, render_runs
from workflow_scripts.lib.store.atomic import write_text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="metrics files, or the folders that they are in")
    parser.add_argument("--out", required=True, type=Path, help="page to write (HTML)")
    args = parser.parse_args()
    write_text(args.out, render_runs(read_runs(args.runs)))


if __name__ == "__main__":
    run_entry_point(main)
