"""Find moments in a folder of videos by sentences: no configuration, no annotations, no training."""

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import get_args

from models.systems.zero_shot.config import Config
from models.systems.zero_shot.fusion import fused
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.layers import read_yaml
from workflow_scripts.lib.configuration.schema import Dataset
from workflow_scripts.lib.datasets.own_folder import require_folder_of_videos
from workflow_scripts.lib.errors import run_entry_point
from workflow_scripts.lib.search.answer_lines import answer_lines
from workflow_scripts.lib.search.compared import OFFLINE
from workflow_scripts.lib.search.folder_dataset import dataset_of
from workflow_scripts.lib.search.queries import require_words
from workflow_scripts.lib.search.searcher import Searcher

ROOT = Path(__file__).resolve().parents[1]


def make(targets: list[str]) -> bool:
    """Let the workflow make files; what it says goes to stderr. Return whether it did."""
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "all", "--", *targets]
    return subprocess.run(command, stdout=sys.stderr).returncode == 0


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number}: expected a whole number from 1")
    return number


def main() -> None:
    """Look whether the rows are fresh, have them made if not, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="Scores are cosines; docs/zero_shot.md tells more.")
    parser.add_argument("folder", type=Path, help="folder with videos, in subfolders too")
    parser.add_argument("queries", nargs="+", metavar="query", help="sentence in English")
    parser.add_argument(
        "--system",
        action="append",
        help="what is compared: zero_shot, the default, pictures by CLIP; without a download "
        f"{', '.join(f'{name}: {what}' for name, what in OFFLINE.items())}; given several times, what they find is put "
        "into one order by rank",
    )
    parser.add_argument("--top", type=_at_least_one, default=5, help="most moments of a query (default 5)")
    parser.add_argument(
        "--localiser",
        choices=get_args(Config.model_fields["localiser"].annotation),
        help="how moments are made of scores; default: as the system's settings say",
    )
    parser.add_argument("--least", type=float, help="score that a moment needs; default: what chance does not give")
    args = parser.parse_args()
    require_words(args.queries)
    folder = require_folder_of_videos(args.folder)
    extensions = Dataset.model_fields["extensions"].default
    name = dataset_of(folder, ROOT / "config" / "datasets", extensions, os.cpu_count() or 1)
    configuration = Configuration(read_yaml(ROOT / "config" / "config.yaml"), ROOT / "config")
    systems = dict.fromkeys(args.system or ["zero_shot"])
    searchers = [Searcher(configuration, name, system, make, args.localiser) for system in systems]
    streams, files = [each.stream for each in searchers], searchers[0].files
    found = [each.search(args.queries, args.top, args.least) for each in searchers]
    for query, answers in zip(args.queries, zip(*found, strict=True), strict=True):
        moments = fused([moments for moments, _ in answers])[: args.top]
        why_not = "; ".join(reason for _, reason in answers)
        print("\n".join(answer_lines(query, moments, files, streams, why_not)))
    named = [option for system in dict.fromkeys(args.system or ()) for option in ("--system", system)]
    page = ["python", "-m", "workflow_scripts.browse", str(args.folder), *named]
    print(f"play and correct them on a page: {shlex.join(page)}", file=sys.stderr)


if __name__ == "__main__":
    run_entry_point(main)
