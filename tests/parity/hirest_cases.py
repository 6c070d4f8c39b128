"""Cases of HiREST's evaluator: `NAME.pred.json[.gz]`, `NAME.expected.json`; the task is told by the predictions."""

from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from tests.parity.harness import Check, find_data, in_group
from tests.parity.metric_cases import (
    EXPECTED,
    GROUPS,
    assert_equal_numbers,
    case_file,
    case_names,
    judge,
    read_json,
    submitted,
)
from tests.submitted import DATASET, Submitted, imported, write_json_file
from tests.unit.made_predictions import moments, spans
from workflow_scripts.lib.metrics.errors import PlaceholderReference
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.metrics.step_boundaries import prepare_steps
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit

ENDINGS = (".pred.json", ".preds.json")
SPLITS = ("hirest/all_data_val.json", "hirest/all_data_test.json", "hirest/all_data_train.json")
STEPS = ("hirest/val_testing/formated_moment_evaluation_gt.json", "hirest/formatted_moment_evaluation_gt.json")
SPLIT = "asked"
RAW, PREPROCESSED = "_raw", "_preprocessed"


def claims(folder: Path) -> bool:
    """Return whether the folder has predictions in the format of HiREST's evaluator."""
    has_both = any(case_file(folder, name, *ENDINGS) for name in case_names(folder))
    others = [name for name in GROUPS if name != "hirest"]
    return has_both and not any(in_group(folder, "metrics", name) for name in others)


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


def find_source(data_path: Path | None, expected: dict, names: set[str], sources: tuple[str, ...]) -> str:
    """Return the annotation file that the case names, or the one that shares most names with the predictions."""
    stated = expected.get("ground_truth", "").split(" ")[0]
    if stated:
        return stated
    return max(sources, key=lambda source: len(names & read_annotations(data_path, source).keys()))


def read_annotations(data_path: Path | None, source: str) -> dict:
    """Return the content of an annotation file."""
    return read_json(find_data(data_path, f"annotations/{source}"))


@cache
def split_of(data_path: Path | None, source: str) -> AnnotatedSplit:
    """Return the split that an annotation file belongs to, imported with its steps."""
    if source in STEPS:
        source = SPLITS[STEPS.index(source)]
    files = {SPLIT: write_json_file(read_annotations(data_path, source))}
    if source == SPLITS[1]:
        files[f"{SPLIT}_steps"] = write_json_file(read_annotations(data_path, STEPS[1]))
    return AnnotatedSplit.read(imported("hirest", files), SPLIT)


def check_case(folder: Path, name: str, data_path: Path | None) -> None:
    expected = read_json(folder / f"{name}{EXPECTED}")
    path = case_file(folder, name, *ENDINGS)
    predictions = read_json(path)
    task = task_of(predictions)
    source = find_source(data_path, expected, set(predictions), STEPS if task == "steps" else SPLITS)
    annotations, split = read_annotations(data_path, source), split_of(data_path, source)
    settings = expected | {"options": dict(expected.get("options", {}))}
    is_prepared = settings["options"].pop("preprocess", False)
    rules = {"moments": "hirest_moments", "retrieval": "hirest_videos"}.get(
        task, "hirest_steps" if is_prepared else "hirest_steps_raw"
    )

    def run() -> Submitted:
        return submitted(rules, split, path, settings)[0]

    if "official" in expected and "tool_error" not in expected and has_placeholders(task, annotations):
        with pytest.raises(PlaceholderReference, match="all_data_val"):
            run()
        run = partial(by_hand, predictions, annotations)
    names = {*predictions, *annotations}
    submission = judge(expected, run, names | {name.removesuffix(".mp4") for name in names})
    if submission is not None and "official" in expected:
        categories = read_json(find_data(data_path, "annotations/hirest/categories.json"))
        kind = "video_to_cat" if task == "steps" else "prompt_to_cat"
        assert_equal_numbers(official(submission, task, categories[kind]), expected["official"])


def has_placeholders(task: str, annotations: dict) -> bool:
    """Return whether moments would be scored against the placeholders of the public test file."""
    return task == "moments" and all(entry["bounds"] == [0, 1] for _, entry in clippable(annotations))


def clippable(annotations: dict) -> list[tuple[tuple[str, str], dict]]:
    """Return (prompt, file) and entry of every video whose moment is annotated."""
    found = [((prompt, name), entry) for prompt, videos in annotations.items() for name, entry in videos.items()]
    return [(key, entry) for key, entry in found if isinstance(entry, dict) and entry.get("clip")]


def by_hand(predictions: dict, annotations: dict) -> Submitted:
    """Return question and answers where the project's door is shut, because the annotations are placeholders."""
    entries = clippable(annotations)
    ids = [f"{DATASET}/{SPLIT}/{prompt}#{name}" for (prompt, name), _ in entries]
    question = moments([[entry["bounds"]] for _, entry in entries], [entry["v_duration"] for _, entry in entries])
    answers = spans([[predictions[prompt][name]["bounds"]] for (prompt, name), _ in entries])
    return Submitted("hirest_moments", replace(question, ids=ids), answers, Options())


def official(submission: Submitted, task: str, categories: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the numbers of every category ({} for one without members) and of `all`, as they are published."""
    question = submission.question
    if task == "retrieval":
        keys = list(question.ids)
    elif task == "moments":
        keys = [name.removeprefix(f"{DATASET}/{SPLIT}/").rpartition("#")[0] for name in question.ids]
    else:
        keys = [f"{video}.mp4" for video in question.video_ids]
    members = {category: [] for category in categories.values()} | {"all": list(range(len(keys)))}
    for i, key in enumerate(keys):
        if key in categories:
            members[categories[key]].append(i)
    return {name: published_form(submission, own, task) for name, own in members.items()}


def published_form(submission: Submitted, chosen: list[int], task: str) -> dict[str, Any]:
    """Return the metrics of some queries in the form of the published script; without numbers if there is no query."""
    metrics = submission.of(chosen).metrics if chosen else {}
    if task != "steps":
        count = "total_prompt_count" if task == "retrieval" else "total_videos"
        return metrics | ({count: len(chosen)} if chosen else {})
    sides = {
        side: {name.partition("@")[2]: value for name, value in metrics.items() if name.startswith(side)}
        for side in ("recall", "precision")
    }
    return sides | ({"total": len(chosen)} if chosen else {})


def check_steps(folder: Path, base: str, data_path: Path | None) -> None:
    """The preprocessing of the raw steps gives the other file."""
    raw, expected = (read_json(case_file(folder, base + kind, *ENDINGS)) for kind in (RAW, PREPROCESSED))
    about = read_json(folder / f"{base}{RAW}{EXPECTED}")
    annotations = read_annotations(data_path, find_source(data_path, about, set(raw), STEPS))
    for name, entry in expected.items():
        found = prepare_steps(raw[name]["bounds"], annotations[name]["bounds"])
        assert found == entry["bounds"], name
