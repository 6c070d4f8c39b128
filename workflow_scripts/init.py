"""Make a dataset of a folder of videos: look into it, write `config/datasets/<name>.yaml`, say what comes next."""

import argparse
import os
import re
import shlex
from pathlib import Path

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.layers import read_yaml
from workflow_scripts.lib.configuration.schema import Dataset
from workflow_scripts.lib.datasets.dataset_file import EXAMPLE, dataset_name, dataset_text, example_line, trains
from workflow_scripts.lib.datasets.own_folder import (
    folder_lines,
    look_at_queries,
    look_into,
    query_lines,
    require_folder_of_videos,
)
from workflow_scripts.lib.errors import UserError, run_entry_point
from workflow_scripts.lib.planning.first_steps import FirstSteps, Step, step_lines
from workflow_scripts.lib.planning.sizes import readable_size
from workflow_scripts.lib.store.atomic import write_text

ROOT = Path(__file__).resolve().parents[1]
EXTENSIONS = Dataset.model_fields["extensions"].default


def place_of(folder: Path, name: str | None, is_forced: bool) -> Path:
    """Return the file to write.

    Raises
    ------
    UserError
        the name cannot be that of a dataset, or it is taken
    """
    if name is not None and not re.fullmatch("[a-z0-9][a-z0-9_]*", name):
        raise UserError(
            f"--name {name}: expected small letters, digits and underscores, such as {dataset_name(folder)}"
        )
    path = ROOT / "config" / "datasets" / f"{name or dataset_name(folder)}.yaml"
    if path.exists() and not is_forced:
        raise UserError(f"{path}: exists; choose another name (--name), edit it, or write it anew (--force)")
    return path


def main() -> None:
    """Look, write, tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder with videos, in subfolders too")
    parser.add_argument("--name", help="name of the dataset; default: that of the folder")
    parser.add_argument("--queries", type=Path, help=f"queries to ask, .csv ({EXAMPLE[0]}) or .jsonl")
    parser.add_argument("--force", action="store_true", help="write the file anew if it exists")
    args = parser.parse_args()
    folder = require_folder_of_videos(args.folder)
    path = place_of(folder, args.name, args.force)
    queries = look_at_queries(args.queries, folder, EXTENSIONS) if args.queries else None
    found = look_into(folder, EXTENSIONS, os.cpu_count() or 1)
    write_text(path, dataset_text(path.stem, found, queries))

    snakemake = "snakemake" if Path.cwd() == ROOT else f"snakemake -s {shlex.quote(str(ROOT / 'Snakefile'))}"
    configuration = Configuration(read_yaml(ROOT / "config" / "config.yaml"), ROOT / "config")
    steps = FirstSteps(configuration, path.stem, snakemake, found.hours, found.hours_of_sound, len(found.usable))
    if queries is None:
        again = f"python -m workflow_scripts.init {shlex.quote(str(args.folder))} --name {path.stem} --force --queries"
        table = [f"queries.csv: {EXAMPLE[0]}", f"             {example_line(found)}"]
        ask = Step("answers to your queries", "said when they are there", [f"{again} queries.csv", *table])
    else:
        ask = steps.answers(trains(queries))
    size = sum(survey.n_bytes or 0 for survey in found.surveys)
    print("\n".join(folder_lines(found, readable_size(size)) + (query_lines(queries) if queries else [])))
    print(f"written: {path}\n\nNext, with costs guessed very roughly from the hours of video ({steps.machine}):")
    spoken = [steps.transcripts()] if found.hours_of_sound else []
    print("\n".join(step_lines([*spoken, ask, steps.captions(), steps.features()])))


if __name__ == "__main__":
    run_entry_point(main)
