"""What a benchmark chooses within a rule set: from the settings to the rule set and back into metrics.json."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.markdown_pages import ROOT
from tests.submitted import imported, write_json_file
from tests.unit.made_benchmarks import external_settings, import_tables, score_external
from tests.unit.made_predictions import moments, spans
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics import caption_rules
from workflow_scripts.lib.metrics.optional_captions import WEIGHTS_OF
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.planning.benchmarks import scoring
from workflow_scripts.lib.planning.plan import Plan
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.pictures import with_pictures
from workflow_scripts.lib.scoring.results import Result, options_of

CONFIG = ROOT / "config"
PLAIN = {"thresholds": [0.5], "nms_thresholds": {}}


def plan(tmp_path, monkeypatch, **dataset):
    monkeypatch.chdir(tmp_path)
    return Plan({"datasets": {"hirest": dataset}}, CONFIG)


def test_settings_without_options_mean_the_published_strict_ones():
    assert options_of(PLAIN, "calce") == Options(thresholds=(0.5,))
    assert options_of(PLAIN | {"nms_thresholds": {"mmn_float32": 0.4}}, "mmn_float32").nms_threshold == 0.4
    assert options_of(PLAIN, "span_index", clip=True).clip


def test_settings_with_options_are_handed_on():
    chosen = {"empty_windows": "identical", "reversed": "miss", "match_number": False, "models": {"SPICE": ["a.zip"]}}
    found = options_of(PLAIN | chosen, "calce")
    assert (found.empty_windows, found.reversed, found.match_number) == ("identical", "miss", False)
    assert (found.also, found.models) == (("SPICE",), {"SPICE": (Path("a.zip"),)})


@pytest.mark.parametrize("rules", [name for name, rule_set in RULE_SETS.items() if rule_set.task == "moments"])
def test_the_options_that_a_rule_set_heeds_are_named_beside_its_numbers(rules):
    question, options = moments([[[0, 10]]]), Options()
    scored = apply_rules(rules, question, spans([[[0, 10, 1.0]]]), options)
    found = Result(rules, question, options, scored).section()["options"]
    assert found == {"moments": RULE_SETS[rules].view} | {
        name: getattr(options, name) for name in RULE_SETS[rules].options
    }
    json.dumps(found)


def test_the_options_of_a_dataset_and_of_a_prediction_file_reach_the_settings(tmp_path, monkeypatch):
    (tmp_path / "x.json").write_text("{}")
    evaluation = {"reversed": "miss", "also": ["SPICE"]}
    external = {
        "plain": {"file": "x.json", "split": "val"},
        "own": {"file": "x.json", "split": "val", "reversed": "refuse", "also": ["BERTScore"], "match_number": False},
    }
    planned = plan(tmp_path, monkeypatch, evaluation=evaluation, external=external)
    plain, own = (json.loads(Path(planned.external.settings("hirest", name)).read_text()) for name in ("plain", "own"))
    assert (plain["reversed"], plain["match_number"], list(plain["models"])) == ("miss", True, ["SPICE"])
    assert (own["reversed"], own["match_number"], list(own["models"])) == ("refuse", False, ["BERTScore"])
    assert len(own["models"]["BERTScore"]) == len(WEIGHTS_OF["BERTScore"])
    assert planned.external.models("hirest", "own") == own["models"]["BERTScore"]
    assert all(path.startswith("weights/") for path in planned.external.models("hirest", "plain"))
    assert planned.external.key("hirest", "plain") != planned.external.key("hirest", "own")
    assert scoring(planned.configuration, "hirest", None)["reversed"] == "miss"


def test_a_system_is_scored_by_the_options_of_its_dataset_and_waits_for_the_models(tmp_path, monkeypatch):
    systems = plan(tmp_path, monkeypatch, evaluation={"also": ["SPICE"], "empty_windows": "identical"}).systems
    evaluation = json.loads(Path(systems.settings("hirest", "img")).read_text())["config"]["evaluation"]
    assert evaluation["empty_windows"] == "identical"
    assert systems.metric_models("hirest", "img") == evaluation["models"]["SPICE"] != []
    assert plan(tmp_path, monkeypatch).systems.metric_models("hirest", "img") == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"evaluation": {"reversed": "mis"}}, "evaluation.reversed: .*mis"),
        ({"evaluation": {"also": ["Spice"]}}, "evaluation.also"),
        ({"evaluation": {"also": ["CLIPScore"]}}, "CLIPScore.*needs `pictures`"),
        ({"external": {"x": {"file": "f", "split": "val", "also": ["CLIPScore"]}}}, "external.x.also: CLIPScore needs"),
        (
            {"external": {"x": {"file": "f", "split": "val", "rules": ["captions", "hirest_captions"]}}},
            "one file answers one task, these are of several: captions, captions of steps",
        ),
    ],
)
def test_options_that_cannot_be_are_refused_while_the_workflow_is_planned(settings, message):
    with pytest.raises(UserError, match=message):
        Configuration({"datasets": {"hirest": settings}}, CONFIG).dataset("hirest")


# Files of HiREST through `evaluate_external`


def annotated():
    entry = {"relevant": True, "clip": True, "v_duration": 60.0, "bounds": [10, 30]}
    steps = [{"index": i, "heading": "cut it", "absolute_bounds": s} for i, s in enumerate(([10, 20], [20, 30]))]
    return {f"prompt {name}": {f"{name}.mp4": entry | {"steps": steps}} for name in ("video000001", "video000002")}


def test_a_reversed_span_is_refused_or_a_miss_as_the_settings_say(tmp_path, monkeypatch):
    tables = import_tables(monkeypatch, tmp_path, "hirest", "hirest", {"val": write_json_file(annotated())})
    answers = {prompt: {name: {"bounds": [10, 30]} for name in videos} for prompt, videos in annotated().items()}
    answers["prompt video000002"]["video000002.mp4"]["bounds"] = [30, 10]
    settings = external_settings(write_json_file(answers), "hirest", "val", ["hirest_moments"])
    with pytest.raises(UserError, match=r"ReversedSpan: .*video000002"):
        score_external(monkeypatch, tables, settings, tmp_path / "out")
    found = score_external(monkeypatch, tables, settings | {"reversed": "miss"}, tmp_path / "out")
    section = found["rule_sets"]["hirest_moments"]
    assert section["metrics"] == {"R@0.5": 50.0, "R@0.7": 50.0}
    assert section["options"]["reversed"] == "miss"
    assert section["cautions"] == ["ReversedSpan: 1, in hirest/val/prompt video000002#video000002"]


def test_a_missing_model_ends_before_anything_is_scored(tmp_path, monkeypatch):
    tables = import_tables(monkeypatch, tmp_path, "hirest", "hirest", {"val": write_json_file(annotated())})
    captions = {f"{name}.mp4": {"captions": ["a", "b"]} for name in ("video000001", "video000002")}
    settings = external_settings(write_json_file(captions), "hirest", "val", ["hirest_captions"])
    settings |= {"models": {"SPICE": [str(tmp_path / "corenlp.zip")]}}
    monkeypatch.setattr("workflow_scripts.lib.metrics.captions.tokenize", None)
    with pytest.raises(UserError, match=r"SPICE: its model is not at .*corenlp\.zip"):
        score_external(monkeypatch, tables, settings, tmp_path / "out")
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_clipscore_sees_the_pictures_of_every_step(tmp_path, monkeypatch):
    tables = import_tables(monkeypatch, tmp_path, "hirest", "hirest", {"val": write_json_file(annotated())})
    folder = made_pictures(tmp_path / "pictures", {"video000001.mp4": 60, "video000002": 25})
    captions = {f"{name}.mp4": {"captions": ["a", "b"]} for name in ("video000001", "video000002")}
    settings = external_settings(write_json_file(captions), "hirest", "val", ["hirest_captions"])
    settings |= {"models": {"CLIPScore": ["model.pt"]}, "pictures": str(folder)}
    seen = []

    def make(options, rule):
        return {"CLIPScore": lambda texts: seen.append((rule, texts.pictures)) or np.array([0.5, 0.25, 0.75, np.nan])}

    monkeypatch.setattr(caption_rules, "make_scorers", make)
    found = score_external(monkeypatch, tables, settings, tmp_path / "out")
    assert found["metrics"]["CLIPScore"] == 50.0
    assert found["rule_sets"]["hirest_captions"]["options"] == {"also": ["CLIPScore"]}
    [(rule, pictures)] = seen
    assert rule == "hirest"
    # The fourth step ends after the last picture of its video.
    assert [[path.name for path in shown] for shown in pictures] == [
        ["f_10.jpg", "f_13.jpg", "f_16.jpg", "f_19.jpg"],
        ["f_20.jpg", "f_23.jpg", "f_26.jpg", "f_29.jpg"],
        ["f_10.jpg", "f_13.jpg", "f_16.jpg", "f_19.jpg"],
        [],
    ]


def made_pictures(folder: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            (folder / name / f"f_{i}.jpg").touch()
        (folder / name / "notes.txt").touch()
    return folder


@pytest.fixture
def captioned() -> AnnotatedSplit:
    content = {
        "videos": [
            {"video_id": f"video{i}", "split": "test", "id": i, "category": 1, "url": "u"}
            | {"start time": 0.0, "end time": 9.0}
            for i in (1, 2)
        ],
        "sentences": [{"video_id": f"video{i}", "caption": "a dog", "sen_id": i} for i in (1, 2)],
    }
    return AnnotatedSplit.read(imported("msrvtt", {"test": write_json_file(content)}), "test")


def test_a_video_is_shown_by_all_its_pictures_in_the_order_of_their_numbers(tmp_path, captioned):
    folder = made_pictures(tmp_path / "pictures", {"video2.mp4": 11})
    question = with_pictures(captioned.captions(), captioned, folder, about_steps=False)
    names = dict(zip(question.ids, [[path.name for path in shown] for shown in question.pictures], strict=True))
    assert names == {"video1": [], "video2": [f"f_{i}.jpg" for i in range(11)]}


def test_a_folder_without_pictures_of_the_videos_is_named(tmp_path, captioned):
    question = captioned.captions()
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        with_pictures(question, captioned, tmp_path / "nowhere", about_steps=False)
    with pytest.raises(UserError, match="no folder with pictures"):
        with_pictures(question, captioned, made_pictures(tmp_path / "other", {"video9": 3}), about_steps=False)
