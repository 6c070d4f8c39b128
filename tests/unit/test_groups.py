"""Scores of groups of queries, whatever a rule set calls what it scores; and answers that end before they start."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.made_benchmarks import import_tables
from workflow_scripts.lib.metrics.questions import Rankings
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options, Scored
from workflow_scripts.lib.predictions.answer_tables import SCHEMAS
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit, step_id
from workflow_scripts.lib.scoring.results import Result
from workflow_scripts.lib.scoring.run import grouped, score_run

CATEGORIES = {"bake": "Food", "fold": "Crafts"}
SETTINGS = {"thresholds": [0.5], "nms_thresholds": {}}


@pytest.fixture
def hirest(tmp_path, monkeypatch):
    """Two prompts of two categories, each with the moment (10, 20) of its video."""
    entry = {"relevant": True, "clip": True, "v_duration": 60.0, "bounds": [10, 20], "steps": []}
    contents = {
        "val": {prompt: {f"{prompt}.mp4": entry} for prompt in CATEGORIES},
        "categories": {"prompt_to_cat": CATEGORIES, "video_to_cat": {}},
    }
    files = {name: tmp_path / f"{name}.json" for name in contents}
    for name, path in files.items():
        path.write_text(json.dumps(contents[name]))
    return AnnotatedSplit.read(import_tables(monkeypatch, tmp_path, "hirest", "hirest", files), "val", None)


def test_prompts_are_grouped_by_what_their_queries_say(hirest):
    question = hirest.rankings()
    videos = ["bake.mp4", "fold.mp4"]
    answers = Rankings(question.ids, [videos, videos], [[1.0, 0.0], [1.0, 0.0]])
    result = Result("hirest_videos", question, Options(), apply_rules("hirest_videos", question, answers, Options()))
    groups = grouped(result, hirest, "category")
    assert {name: values["R@1"] for name, values in groups.items()} == {"Food": 100.0, "Crafts": 0.0}
    assert grouped(result, hirest, None) == {}


def test_steps_are_grouped_by_what_the_query_of_their_moment_says(hirest):
    steps = [step_id("hirest/val/bake#bake", 0), step_id("hirest/val/bake#bake", 1), step_id("hirest/val/fold#fold", 0)]
    scored = Scored({"CIDEr": np.array([0.2, 0.4, 1.0])})
    groups = grouped(Result("hirest_captions", SimpleNamespace(ids=steps), Options(), scored), hirest, "category")
    assert groups["Food"]["CIDEr"] == pytest.approx(30.0)
    assert groups["Crafts"]["CIDEr"] == pytest.approx(100.0)


def moments(spans):
    rows = [
        {"run_id": "r", "system": "s", "dataset": "hirest", "split": "val", "variant": "", "query_id": query}
        | {"video_id": query.partition("#")[2], "rank": 0, "start_s": start, "end_s": end, "score": 1.0}
        | {"text": None, "is_readable": True}
        for query, (start, end) in spans.items()
    ]
    tables = {task: schema.empty_table() for task, schema in SCHEMAS.items()}
    return tables | {"moments": pa.Table.from_pylist(rows, schema=SCHEMAS["moments"])}


def test_an_answer_that_ends_before_it_starts_is_a_miss_of_the_rules_that_count_it_so(hirest):
    tables = moments({"hirest/val/bake#bake": (10.0, 20.0), "hirest/val/fold#fold": (20.0, 10.0)})
    settings = SETTINGS | {"reversed": "miss"}
    [result], left_out = score_run(hirest, tables, settings, ["hirest_moments"], ["moments"])
    assert (result.scored.metrics["R@0.5"], left_out) == (50.0, {})
