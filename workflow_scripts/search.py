"""Find moments in a folder of videos by sentences: no configuration, no annotations, no training."""

import argparse
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.layers import read_yaml
from workflow_scripts.lib.configuration.schema import Dataset
from workflow_scripts.lib.datasets.own_folder import counted, require_folder_of_videos
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.search.answer_lines import answer_lines
from workflow_scripts.lib.search.compared import OFFLINE, compared_by
from workflow_scripts.lib.search.folder_dataset import dataset_of
from workflow_scripts.lib.search.index import SearchIndex
from workflow_scripts.lib.search.queries import require_words, text_rows

ROOT = Path(__file__).resolve().parents[1]


def make(targets: list[str]) -> bool:
    """Let the workflow make files; what it says goes to stderr. Return whether it did."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "all", "--", *targets]
    return subprocess.run(command, stdout=sys.stderr).returncode == 0


def main() -> None:
    """Look whether the rows are fresh, have them made if not, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Scores are cosines; docs/zero_shot.md tells more.")
    parser.add_argument("folder", type=Path, help="folder with videos, in subfolders too")
    parser.add_argument("queries", nargs="+", metavar="query", help="sentence in English")
    parser.add_argument(
        "--system",
        default="zero_shot",
        help=f"what is compared: zero_shot, the default, pictures by CLIP; {OFFLINE}: what is said, without a download",
    )
    parser.add_argument("--top", type=int, default=5, help="most moments of a query (default 5)")
    parser.add_argument("--least", type=float, help="score that a moment needs; default: what chance does not give")
    args = parser.parse_args()
    require_words(args.queries)
    folder = require_folder_of_videos(args.folder)
    extensions = Dataset.model_fields["extensions"].default
    name = dataset_of(folder, ROOT / "config" / "datasets", extensions, os.cpu_count() or 1)
    configuration = Configuration(read_yaml(ROOT / "config" / "config.yaml"), ROOT / "config")
    source = compared_by(configuration, name, args.system)
    index = SearchIndex(Path("results") / name, configuration.dataset(name), source)
    is_ready = index.is_fresh() and not source.missing
    if not is_ready and not make([str(index.target), *source.missing]):
        raise UserError(f"{folder}: could not be prepared, see above{source.without_weights()}")
    corpus, without_rows = index.corpus()
    if not corpus.video_ids:
        raise UserError(f"{folder}: no video has rows of the stream {source.stream}: {dict(without_rows)}")
    encode = partial(text_rows, source.text)
    least = index.least_score(corpus, encode) if args.least is None else args.least
    left_out = f"; without {source.stream} rows: {dict(without_rows)}" if without_rows else ""
    print(f"{counted(len(corpus.video_ids), 'video')} ({args.system}){left_out}")
    rows = encode(args.queries)
    for query, row, best in zip(args.queries, rows, corpus.best_scores(rows), strict=True):
        moments = corpus.moments(row, args.top, least)
        print("\n".join(["", *answer_lines(query, moments, index.files, best, least)]))


if __name__ == "__main__":
    run_entry_point(main)
