"""Cases of HiREST's evaluator: `NAME.pred.json[.gz]`, `NAME.expected.json`; the task is told by the predictions."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.parity.harness import Check, find_data, in_group
from tests.parity.metric_cases import EXPECTED, assert_equal_numbers, case_file, case_names, judge, read_json
from workflow_scripts.lib.metrics.errors import PlaceholderReference
from workflow_scripts.lib.metrics.hirest import HirestScores, moment_retrieval, segmentation, video_retrieval
from workflow_scripts.lib.metrics.step_boundaries import prepare_steps

ENDINGS = (".pred.json", ".preds.json")
SPLITS = ("hirest/all_data_val.json", "hirest/all_data_test.json", "hirest/all_data_train.json")
STEPS = ("hirest/val_testing/formated_moment_evaluation_gt.json", "hirest/formatted_moment_evaluation_gt.json")
RAW, PREPROCESSED = "_raw", "_preprocessed"


def claims(folder: Path) -> bool:
    """Return whether the folder has predictions in the format of HiREST's evaluator."""
    has_both = any(case_file(folder, name, *ENDINGS) for name in case_names(folder))
    return has_both and (not in_group(folder, "metrics") or in_group(folder, "metrics", "hirest"))


def checks(folder: Path) -> list[Check]:
    """Return one check per prediction file, and one per pair of raw and preprocessed steps."""
    names = [name for name in case_names(folder) if case_file(folder, name, *ENDINGS)]
    found = [Check(name, partial(check_case, folder, name)) for name in names]
    bases = [name.removesuffix(RAW) for name in names if name.endswith(RAW)]
    return found + [
        Check(f"{base}-steps", partial(check_steps, folder, base)) for base in bases if base + PREPROCESSED in names
    ]


def task_of(predictions: dict[str, Any]) -> str:
    """Return `retrieval`, `moments` or `steps`."""
    answers = [answer for answer in predictions.values() if isinstance(answer, dict) and answer]
    if any("videos" in answer or "scores" in answer for answer in answers):
        return "retrieval"
    return "steps" if any("bounds" in answer for answer in answers) else "moments"


def find_annotations(data_path: Path | None, expected: dict, names: set[str], sources: tuple[str, ...]) -> dict:
    """Return the annotations that the case names, or those that share most names with the predictions."""
    stated = expected.get("ground_truth", "").split(" ")[0]
    if stated:
        return read_json(find_data(data_path, f"annotations/{stated}"))
    found = [read_json(find_data(data_path, f"annotations/{source}")) for source in sources]
    return max(found, key=lambda annotations: len(names & annotations.keys()))


def evaluator(
    predictions: dict, expected: dict, data_path: Path | None, options: dict
) -> tuple[Callable[[], HirestScores], set[str]]:
    """Return what scores the predictions, and the names of which one must be in an error's message."""
    task = task_of(predictions)
    annotations = find_annotations(data_path, expected, set(predictions), STEPS if task == "steps" else SPLITS)
    categories = read_json(find_data(data_path, "annotations/hirest/categories.json"))
    kind = "video_to_cat" if task == "steps" else "prompt_to_cat"
    if task == "steps" and options.pop("preprocess", False):
        predictions = {
            name: {"bounds": prepare_steps(entry["bounds"], annotations[name]["bounds"], name)}
            for name, entry in predictions.items()
        }
    function = {"steps": segmentation, "moments": moment_retrieval, "retrieval": video_retrieval}[task]
    return partial(function, predictions, annotations, categories[kind], **options), {*predictions, *annotations}


def check_case(folder: Path, name: str, data_path: Path | None) -> None:
    expected = read_json(folder / f"{name}{EXPECTED}")
    predictions = read_json(case_file(folder, name, *ENDINGS))
    run, names = evaluator(predictions, expected, data_path, dict(expected.get("options", {})))
    if "official" in expected and "tool_error" not in expected and has_placeholders(run):
        with pytest.raises(PlaceholderReference, match="all_data_val"):
            run()
        run = partial(run, allow_placeholders=True)
    scores = judge(expected, run, names)
    if scores is not None and "official" in expected:
        assert_equal_numbers(scores.official, expected["official"])


def has_placeholders(run: partial) -> bool:
    """Return whether moments would be scored against the placeholders of the public test file."""
    entries = [entry for videos in run.args[1].values() for entry in videos.values() if isinstance(entry, dict)]
    clips = [entry for entry in entries if entry.get("clip")]
    return run.func is moment_retrieval and bool(clips) and all(entry["bounds"] == [0, 1] for entry in clips)


def check_steps(folder: Path, base: str, data_path: Path | None) -> None:
    """The preprocessing of the raw steps gives the other file."""
    raw, expected = (read_json(case_file(folder, base + kind, *ENDINGS)) for kind in (RAW, PREPROCESSED))
    about = read_json(folder / f"{base}{RAW}{EXPECTED}")
    annotations = find_annotations(data_path, about, set(raw), STEPS)
    for name, entry in expected.items():
        found = prepare_steps(raw[name]["bounds"], annotations[name]["bounds"], name)
        assert found == entry["bounds"], name
