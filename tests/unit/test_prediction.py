"""From a results folder to metrics: the entry points train, predict, evaluate, collect_metrics and report."""

import importlib
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from models.systems.img import system as img_system
from models.systems.interface import Caption, QueryScore, Ranked, Saliency, Span, Step, System, Told
from tests.unit.made_features import read_by
from tests.unit.made_results import SPLIT_ENDS, make_results
from tests.unit.made_training import N_EPOCHS, N_SELECT, made_item
from workflow_scripts.lib.datasets import errors
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.questions import Moments
from workflow_scripts.lib.metrics.windows import list_windows
from workflow_scripts.lib.predictions.answer_readers import read_spans
from workflow_scripts.lib.predictions.answer_tables import SCHEMAS, read_answers, write_answers
from workflow_scripts.lib.store.tables import read_table, write_table
from workflow_scripts.lib.training.answer_journal import AnswerJournal
from workflow_scripts.lib.training.checkpoint import Trained, read_checkpoint, write_checkpoint
from workflow_scripts.lib.training.prediction import Asking, batches, predict_items, without_rows
from workflow_scripts.lib.versions import code_revision

ROOT = Path(__file__).resolve().parents[2]
GIVEN = {"moments": "annotated", "steps": "annotated"}
NAMES = {"run_id": "made/img/seed0", "system": "img", "dataset": "made", "split": "test"}


@pytest.fixture(autouse=True)
def _own_state(monkeypatch):
    """Leave the settings that entry points make for their process as they were."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with read_by("zarr"):
        yield
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()


def run(monkeypatch, name, *args):
    """Run an entry point in this process; argument errors, user errors and bugs come out as exceptions."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, args)])
    importlib.import_module(f"workflow_scripts.{name}").main()


def train(monkeypatch, settings, out, key="k", seed=0):
    AcceleratorState._reset_state(reset_partial_state=True)
    GradientState._reset_state()
    run(monkeypatch, "train", "--settings", settings, "--key", key, "--seed", seed, "--out", out)
    return out / "checkpoint.safetensors"


def predict(monkeypatch, settings, checkpoint, out, split="test", seed=0):
    given = ("--settings", settings, "--checkpoint", checkpoint, "--seed", seed, "--split", split, "--out", out)
    run(monkeypatch, "predict", *given)
    return read_answers(out, "moments").to_pylist()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A results folder with a trained checkpoint: (settings file, folder of the seed)."""
    settings = make_results(tmp_path_factory.mktemp("results") / "made", status_of={("sounds", "v24"): "failed"})
    with pytest.MonkeyPatch.context() as patch, read_by("zarr"):
        patch.setenv("OMP_NUM_THREADS", "1")
        train(patch, settings, settings.parent / "seed0")
    return settings, settings.parent / "seed0"


def test_a_training_leaves_checkpoint_and_history(trained):
    _, out = trained
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in history] == list(range(1, N_EPOCHS + 1))
    notes = read_checkpoint(out / "checkpoint.safetensors").notes
    assert notes["dataset"] == "made"
    assert notes["stream_dims"] == {"visual": [6], "audio": [4], "text": [5]}


def test_a_finished_training_is_taken_as_it_is_when_its_outputs_are_gone(trained, monkeypatch):
    settings, out = trained
    before = (out / "checkpoint.safetensors").read_bytes()
    for name in ("checkpoint.safetensors", "history.jsonl"):
        (out / name).unlink()
    monkeypatch.setattr("workflow_scripts.lib.training.loop.Training.run", lambda self: pytest.fail("trained again"))
    train(monkeypatch, settings, out)
    assert (out / "checkpoint.safetensors").read_bytes() == before


def test_data_loader_workers_may_follow_reading(trained, tmp_path, monkeypatch):
    """Workers are forked after the stores were read."""
    settings = make_results(
        tmp_path / "made",
        status_of={("sounds", "v24"): "failed"},
        runtime__num_workers=1,
        runtime__checkpoint_minutes=9.0,
    )
    found = read_checkpoint(train(monkeypatch, settings, tmp_path / "out"))
    wanted = read_checkpoint(trained[1] / "checkpoint.safetensors")
    assert all(torch.equal(found.state[key], value) for key, value in wanted.state.items())


def test_settings_that_changed_since_the_plan_stop_the_training(trained, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="changed since this job was planned; start the workflow again"):
        train(monkeypatch, trained[0], tmp_path, key="other")


def test_a_gpu_that_is_not_there_is_said_before_anything_is_read(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    settings = make_results(tmp_path / "made", device="cuda")
    with pytest.raises(UserError, match="no GPU is visible"):
        train(monkeypatch, settings, tmp_path / "out")


def test_a_training_split_without_a_usable_query_says_why(tmp_path, monkeypatch):
    def change(table, row):
        return row | {"status": "missing"} if table == "manifest" else row

    settings = make_results(tmp_path / "made", change=change)
    with pytest.raises(UserError, match=r"no usable query in split 'train'; left out: \{'video missing': 18\}"):
        train(monkeypatch, settings, tmp_path / "out")


def test_a_checkpoint_can_be_chosen_on_videos_kept_out_of_training(tmp_path, monkeypatch, caplog):
    settings = make_results(tmp_path / "made", config__splits={"select": "held_out", "held_out": 0.4})
    with caplog.at_level("INFO"):
        checkpoint = train(monkeypatch, settings, tmp_path / "out")
    counts = [int(n) for n in re.findall(r"(?:training|selection): (\d+) queries", caplog.text)]
    assert sum(counts) == SPLIT_ENDS["train"]
    assert min(counts) > 0
    assert read_checkpoint(checkpoint).notes["score"] is not None


def test_a_published_vocabulary_knows_the_words_of_the_reported_queries(tmp_path, monkeypatch):
    (tmp_path / "vectors.txt").write_text("a 1 2 3\nbell 4 5 6\nwhistle 7 8 9\n")

    def change(table, row):
        is_test = table == "queries" and row["split"] == "test"
        return row | {"text": "a whistle"} if is_test else row

    query = {"kind": "glove", "word_vectors": str(tmp_path / "vectors.txt"), "word_dim": 3, "char_dim": 4}
    for vocabulary, words in (("train_and_test", ["a", "bell", "whistle"]), ("train", ["a", "bell"])):
        changes = {"config__settings__network__query": query | {"vocabulary": vocabulary}}
        changes |= {"config__settings__train__epochs": 1}
        settings = make_results(tmp_path / vocabulary, change=change, **changes)
        trained = read_checkpoint(train(monkeypatch, settings, tmp_path / vocabulary / "out"))
        assert trained.notes["fitted"]["words"] == words


def test_every_usable_query_gets_a_span_with_and_without_the_ablated_stream(trained, tmp_path, monkeypatch):
    settings, out = trained
    rows = predict(monkeypatch, settings, out / "checkpoint.safetensors", tmp_path)
    asked = [f"q{number}" for number in range(SPLIT_ENDS["val"], SPLIT_ENDS["test"]) if number != 24]
    assert [row["query_id"] for row in rows] == asked
    assert {(row["run_id"], row["system"], row["dataset"], row["split"]) for row in rows} == {tuple(NAMES.values())}
    zeroed = read_answers(tmp_path, "moments", "zero:audio").to_pylist()
    assert [row["query_id"] for row in zeroed] == asked
    assert [row["score"] for row in zeroed] != [row["score"] for row in rows]
    summary = json.loads((tmp_path / "predict.json").read_text())
    assert summary["tasks"] == {"moments": {"asked": 5, "skipped": {"sounds failed": 1}}}
    floor = read_answers(tmp_path, "moments", "floor").to_pylist()
    assert [row["query_id"] for row in floor] == asked
    others = ("highlights", "steps", "captions", "videos")
    assert all(read_answers(tmp_path, task, None).num_rows == 0 for task in others)
    assert summary["checkpoint"]["dataset"] == "made"


def test_a_variation_is_answered_under_its_own_settings(trained, tmp_path, monkeypatch):
    settings, out = trained
    content = json.loads(settings.read_text())
    content["config"]["evaluation"] |= {"variations": {"by_ear": {"decoding": {"branch": "a"}}}, "zero_streams": []}
    varied = settings.with_name("varied.json")
    varied.write_text(json.dumps(content))
    own = predict(monkeypatch, varied, out / "checkpoint.safetensors", tmp_path)
    varied, by_ear = (
        [(row["query_id"], row["start_s"], row["end_s"], row["score"]) for row in rows]
        for rows in (
            read_answers(tmp_path, "moments", variant).to_pylist() for variant in ("variation:by_ear", "predictor:a")
        )
    )
    assert varied == by_ear
    assert [row[3] for row in varied] != [row["score"] for row in own]


def test_a_prediction_that_is_killed_goes_on_with_what_it_had(trained, tmp_path, monkeypatch):
    settings, out = trained
    checkpoint = out / "checkpoint.safetensors"
    whole = predict(monkeypatch, settings, checkpoint, tmp_path / "whole")
    asked = []

    def counted(dies_after):
        known = img_system.System.predict

        def answer(self, *args):
            if len(asked) == dies_after:
                raise KeyboardInterrupt
            asked.append(1)
            return known(self, *args)

        return answer

    with monkeypatch.context() as patch:
        patch.setattr(AnswerJournal.__init__, "__defaults__", (0.0,))
        patch.setattr(img_system.System, "predict", counted(dies_after=1))
        with pytest.raises(KeyboardInterrupt):
            predict(patch, settings, checkpoint, tmp_path / "killed")
    assert (tmp_path / "killed/answers_so_far.jsonl").is_file()
    asked.clear()
    with monkeypatch.context() as patch:
        patch.setattr(img_system.System, "predict", counted(dies_after=None))
        assert predict(patch, settings, checkpoint, tmp_path / "killed") == whole
        n_after_kill = len(asked)
        asked.clear()
        predict(patch, settings, checkpoint, tmp_path / "again")
    assert n_after_kill == len(asked) - 1
    assert not (tmp_path / "killed/answers_so_far.jsonl").exists()


@pytest.mark.parametrize("n_trials", [2, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(3600)])])
def test_predictions_that_are_killed_at_any_moment_are_finished_by_the_next_call(n_trials):
    command = [sys.executable, "-m", "tests.benchmarks.kill_trials", "--predictions", "--trials", str(n_trials)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_predictions_are_the_same_every_time(trained, tmp_path, monkeypatch):
    settings, out = trained
    once, again = (predict(monkeypatch, settings, out / "checkpoint.safetensors", tmp_path / n) for n in "ab")
    assert once == again


def written(out):
    """Return the bytes of the tables that a prediction wrote."""
    return {path.name: path.read_bytes() for path in sorted(out.rglob("*.parquet"))}


def test_two_processes_write_the_bytes_of_one(trained, tmp_path, monkeypatch):
    settings, checkpoint = trained[0], trained[1] / "checkpoint.safetensors"
    one = changed(settings, "by_1.json", lambda content: content["config"]["evaluation"].update(batch_size=2))
    two = changed(one, "by_2.json", lambda content: content["runtime"].update(processes=2))
    predict(monkeypatch, one, checkpoint, tmp_path / "one")
    given = ("--settings", two, "--checkpoint", checkpoint, "--seed", 0, "--split", "test", "--out", tmp_path / "two")
    command = [sys.executable, "-m", "workflow_scripts.predict", *map(str, given)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(written(tmp_path / "one")) == 6
    assert written(tmp_path / "two") == written(tmp_path / "one")
    assert sorted(path.name for path in (tmp_path / "two").iterdir()) == [
        "answers",
        "predict.json",
        "query_scores.parquet",
    ]


def test_a_prediction_starts_as_many_processes_as_its_training_had(trained, tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr("workflow_scripts.lib.training.processes.os.execvp", lambda _, command: started.extend(command))
    settings = changed(trained[0], "two.json", lambda content: content["runtime"].update(processes=2))
    predict(monkeypatch, settings, trained[1] / "checkpoint.safetensors", tmp_path)
    assert started[started.index("--nproc-per-node") + 1] == "2"
    assert started[started.index("--module") + 1] == "workflow_scripts.predict"


def test_a_checkpoint_of_another_version_of_the_code_says_which_and_what_to_do(trained, tmp_path, monkeypatch):
    found = read_checkpoint(trained[1] / "checkpoint.safetensors")
    name = next(iter(found.state))
    lacking = {key: value for key, value in found.state.items() if key != name}
    notes = found.notes | {"code_revision": "0123abc"}
    write_checkpoint(tmp_path / "old.safetensors", Trained(lacking, found.standardiser, notes))
    message = rf"old\.safetensors: .* do not fit .*\({code_revision()[:7]}.* written by 0123abc\. .*train again.*{name}"
    with pytest.raises(UserError, match=f"(?s){message}"):
        predict(monkeypatch, trained[0], tmp_path / "old.safetensors", tmp_path / "out")


def changed(settings, name, change):
    """Write the settings under another name, changed."""
    content = json.loads(settings.read_text())
    change(content)
    other = settings.with_name(name)
    other.write_text(json.dumps(content))
    return other


@pytest.mark.parametrize("in_memory", [True, False])
def test_predictions_do_not_depend_on_workers(trained, tmp_path, monkeypatch, in_memory):
    def change(content):
        content["runtime"]["num_workers"] = 2
        for stream in content["config"]["streams"].values():
            stream["in_memory"] = in_memory

    settings, checkpoint = trained[0], trained[1] / "checkpoint.safetensors"
    other = changed(settings, f"workers_{in_memory}.json", change)
    for each in (settings, other):
        # Which codec reads is a setting of the process, and every prediction has a process of its own.
        with read_by("zarr"):
            predict(monkeypatch, each, checkpoint, tmp_path / each.name)
    for name in ("query_scores.parquet", "answers/moments.parquet"):
        assert read_table(tmp_path / settings.name / name).equals(read_table(tmp_path / other.name / name))


def test_predictions_may_have_a_batch_size_of_their_own(trained, tmp_path, monkeypatch):
    known, sizes = img_system.System.predict, []

    def counted(self, network, batch, *args):
        sizes.append(len(batch["query_ids"]))
        return known(self, network, batch, *args)

    monkeypatch.setattr(img_system.System, "predict", counted)
    settings, checkpoint = trained[0], trained[1] / "checkpoint.safetensors"
    other = changed(settings, "small.json", lambda content: content["config"]["evaluation"].update(batch_size=2))
    predict(monkeypatch, settings, checkpoint, tmp_path / "as_trained")
    predict(monkeypatch, other, checkpoint, tmp_path / "own")
    assert sizes == [4, 1, 4, 1, 2, 2, 1, 2, 2, 1]


def test_a_checkpoint_of_other_features_is_refused(trained, tmp_path, monkeypatch):
    settings, out = trained
    content = json.loads(settings.read_text())
    content["whole_recipes"]["sounds"] = "other"
    other = settings.with_name("other.json")
    other.write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"was not trained on the features sounds as they are now; .* or train again"):
        predict(monkeypatch, other, out / "checkpoint.safetensors", tmp_path)


def test_metrics_count_what_was_lost_and_the_report_shows_it(trained, tmp_path, monkeypatch):
    settings, out = trained
    for split in ("test", "val"):
        predict(monkeypatch, settings, out / "checkpoint.safetensors", out / split, split)
        run(
            monkeypatch, "evaluate", "--settings", settings, "--run", out / split, "--out", out / split / "metrics.json"
        )
    joined = settings.parent / "metrics.json"
    run(monkeypatch, "collect_metrics", out / "test" / "metrics.json", out / "val" / "metrics.json", "--out", joined)
    found = json.loads(joined.read_text())
    counts = {"queries": N_SELECT, "evaluated": N_SELECT - 1, "skipped": {"sounds failed": 1}}
    assert found["counts"] == counts | {"unreadable": 0, "tasks": {"moments": counts}}
    assert found["baselines"]["floor"]["metrics"].keys() == found["metrics"].keys()
    assert found["split"] == "test"
    assert [other["split"] for other in found["other_splits"]] == ["val"]
    assert found["groups"].keys() == {"picture", "sound"}
    assert found["ablations"].keys() == {"audio"}
    assert found["predictors"].keys() == {"av", "v", "a"}
    assert found["predictors"]["av"]["metrics"] == found["metrics"]
    importance = found["query_scores"]["audio_importance"]
    assert importance["groups"].keys() == {"picture", "sound"}
    assert min(importance["groups"].values()) <= importance["mean"] <= max(importance["groups"].values())
    history = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    best = max(row["R1@0.5"] for row in history)
    assert found["other_splits"][0]["metrics"]["R1@0.5"] == best == found["provenance"]["checkpoint"]["score"]
    provenance, inputs = found["provenance"], ("frames", "sounds", "words")
    assert provenance["code_revision"] == provenance["checkpoint"]["code_revision"] == code_revision()
    assert provenance["feature_revisions"] == {name: [code_revision()] for name in inputs}
    report = tmp_path / "report.html"
    run(monkeypatch, "report", "--metrics", joined, "--run", settings.parent, "--out", report)
    text = report.read_text()
    assert "5 of 6 queries scored" in text
    assert "1 (sounds failed)" in text
    assert "predictor v alone" in text
    assert f"Mean audio importance: {importance['mean']:.2f}; picture {importance['groups']['picture']:.2f}" in text
    scores = read_table(out / "test" / "query_scores.parquet").to_pylist()
    assert [row["name"] for row in scores] == ["audio_importance"] * (N_SELECT - 1)
    assert all(f"audio importance {row['value']:.2f}" in text for row in scores)


def asking(batch_size=4, seed=0, given=GIVEN, **more):
    return Asking(lambda item: item, batch_size, "cpu", seed, given, **more)


def test_items_are_predicted_in_batches_in_their_order():
    assert [list(part) for part in batches(range(7), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], 3)) == []


def test_a_network_predicts_in_evaluation_mode_without_gradients_from_the_given_seed():
    seen = []

    class Spy(System):
        def sample(self, item, rng):
            assert rng is None
            return item

        def collate(self, samples):
            return {"value": torch.ones(len(samples)), "query_ids": [item.id for item in samples]}

        def predict(self, network, batch, generator, task, in_detail=False):
            seen.append((network.training, torch.is_grad_enabled(), torch.rand(1, generator=generator).item()))
            return [Span(query, "v", 0, None, None) for query in batch["query_ids"]]

    items = [made_item(number) for number in range(3)]
    for _ in range(2):
        found = predict_items(Spy(None, {}, {}), torch.nn.Dropout().train(), items, asking(batch_size=2, seed=5))
    assert [span.query_id for span in found.answers["moments"]] == found.asked["moments"] == ["q0", "q1", "q2"]
    assert [one[:2] for one in seen] == [(False, False)] * 4
    assert seen[:2] == seen[2:]
    assert seen[0][2] != seen[1][2]


class Chained(System):
    """Answers moments, cuts the given ones in two, and says where the given steps are."""

    class Config:
        tasks = ("moments", "steps", "captions")
        captions_of = ("steps",)

    def sample(self, item, rng):
        return item

    def collate(self, samples):
        return {"items": samples}

    def predict(self, network, batch, generator, task, in_detail=False):
        for item in batch["items"]:
            if task == "moments":
                yield Span(item.id, item.video_id, 0, 1.0, 3.0)
                yield Span(item.id, item.video_id, 1, 0.0, 9.0)
                yield QueryScore(item.id, "length", 2.0)
            elif task == "steps":
                start, end = item.told.moment
                yield Step(item.id, item.video_id, 0, start, (start + end) / 2)
                yield Step(item.id, item.video_id, 1, (start + end) / 2, end)
            else:
                for index, (start, end) in enumerate(item.told.steps):
                    yield Caption(item.id, item.video_id, index, 0, f"{start} to {end}")


def chained(given):
    told = Told(moment=(2.0, 6.0), steps=((2.0, 5.0),))
    items = [replace(made_item(0), told=told), made_item(1), replace(made_item(2), id="v2", is_video=True)]
    return predict_items(Chained(Chained.Config, {}, {}), torch.nn.Identity(), items, asking(given=given))


def test_later_tasks_are_given_what_is_annotated_and_others_are_counted():
    found = chained(GIVEN)
    assert [(step.query_id, step.start_s, step.end_s) for step in found.answers["steps"]] == [
        ("q0", 2.0, 4.0),
        ("q0", 4.0, 6.0),
    ]
    assert [caption.text for caption in found.answers["captions"]] == ["2.0 to 5.0"]
    assert found.asked == {"moments": ["q0", "q1"], "steps": ["q0"], "captions": ["q0"]}
    assert found.skipped == {"moments": {}, "steps": {"no given moment": 1}, "captions": {"no given steps": 1}}
    assert [(score.query_id, score.value) for score in found.scores] == [("q0", 2.0), ("q1", 2.0)]


def test_later_tasks_are_given_the_answers_of_earlier_ones_if_that_is_wanted():
    found = chained({"moments": "predicted", "steps": "predicted"})
    assert [(step.query_id, step.start_s, step.end_s) for step in found.answers["steps"]] == [
        (query, *bounds) for query in ("q0", "q1") for bounds in ((1.0, 2.0), (2.0, 3.0))
    ]
    assert [caption.text for caption in found.answers["captions"]] == ["1.0 to 2.0", "2.0 to 3.0"] * 2
    half = chained({"moments": "predicted", "steps": "annotated"})
    assert [caption.text for caption in half.answers["captions"]] == ["2.0 to 5.0"]


def test_a_system_that_answers_a_task_it_was_not_asked_is_refused():
    class Wrong(Chained):
        def predict(self, network, batch, generator, task, in_detail=False):
            return [Step("q0", "v0", 0, 1.0, 2.0)]

    with pytest.raises(UserError, match=r"asked for moments, it gave Step; a system answers .*moments, steps"):
        predict_items(Wrong(Chained.Config, {}, {}), torch.nn.Identity(), [made_item(0)], asking())


def span(query, rank=0, start_s=1.0, end_s=2.0, score=None, **more):
    return Span(query, "v", rank, start_s, end_s, score, **more)


@pytest.mark.parametrize(
    ("task", "answers", "error"),
    [
        ("moments", [span("a")], errors.MissingPrediction),
        ("moments", [span(q) for q in "abc"], errors.UnknownQuery),
        ("moments", [span("a", 1), span("b")], errors.BadRank),
        ("moments", [span("a"), span("a"), span("b")], errors.BadRank),
        ("moments", [span("a", start_s=float("nan")), span("b")], errors.NonFiniteSpan),
        ("moments", [span("a", start_s=3.0), span("b")], errors.ReversedSpan),
        ("moments", [span("a", score=float("nan")), span("b")], errors.NonFiniteScore),
        ("highlights", [Saliency("a", "v", (1.0,)), Saliency("a", "v", (1.0,))], errors.BadRank),
        ("highlights", [Saliency("a", "v", (1.0,)), Saliency("b", "v", (float("inf"),))], errors.NonFiniteScore),
        ("steps", [Step("a", "v", 0, 0.0, 1.0), Step("a", "v", 0, 1.0, 2.0)], errors.BadRank),
        ("steps", [Step("a", "v", 0, 0.0, 1.0), Step("b", "v", 0, 2.0, 1.0)], errors.ReversedSpan),
        ("captions", [Caption("", "a", None, 0, "x"), Caption("", "c", None, 0, "x")], errors.UnknownQuery),
        ("captions", [Caption("a", "v", 0, 0, "x"), Caption("a", "v", 0, 0, "x")], errors.BadRank),
        ("videos", [Ranked("a", 0, "v", 1.0), Ranked("a", 2, "w", 0.5)], errors.BadRank),
        ("videos", [Ranked("a", 0, "v", 1.0)], errors.MissingPrediction),
    ],
)
def test_broken_answers_are_never_written(tmp_path, task, answers, error):
    with pytest.raises(error, match=str(tmp_path)):
        write_answers(tmp_path, {task: answers}, NAMES, {task: ["a", "b"]})
    whole = [replace(answer, variant="zero:audio") for answer in answers]
    with pytest.raises(error, match="variant zero:audio"):
        write_answers(tmp_path, {task: whole}, NAMES, {task: ["a", "b"]})
    assert list(tmp_path.iterdir()) == []


def test_spans_that_end_before_they_start_are_written_where_they_count_as_misses(tmp_path):
    answers = {"steps": [Step("a", "v", 0, 2.0, 1.0)]}
    write_answers(tmp_path, answers, NAMES, {"steps": ["a"]}, may_be_reversed=True)
    assert [row["end_s"] for row in read_answers(tmp_path, "steps").to_pylist()] == [1.0]


def test_a_span_that_ends_before_it_starts_is_empty_to_a_rule_set_that_knows_none(tmp_path):
    reversed_span = {"moments": [span("a", start_s=5.0, end_s=2.0)]}
    write_answers(tmp_path, reversed_span, NAMES, {"moments": ["a"]}, may_be_reversed=True)
    table, asked = read_answers(tmp_path, "moments"), Moments(["a"], ["v"], np.array([9.0]), list_windows(["a"], [[]]))
    assert read_spans(table, asked).windows.spans[0, 0].tolist() == [5.0, 5.0]
    assert read_spans(table, asked, may_be_reversed=True).windows.spans[0, 0].tolist() == [5.0, 2.0]


def test_a_query_without_answer_is_written_as_a_row_without_span(tmp_path):
    missed = span("a", start_s=None, end_s=None, text="no idea", is_readable=False)
    write_answers(tmp_path, {"moments": [missed]}, NAMES, {"moments": ["a"]})
    [row] = read_answers(tmp_path, "moments").to_pylist()
    assert (row["start_s"], row["end_s"], row["text"], row["is_readable"]) == (None, None, "no idea", False)


def test_every_variant_is_kept_apart_and_every_task_has_its_table(tmp_path):
    variants = ["", "zero:audio", "zero:visual"]
    write_answers(tmp_path, {"moments": [span("a", variant=v) for v in variants]}, NAMES, {"moments": ["a"]})
    assert [read_answers(tmp_path, "moments", v).num_rows for v in (*variants, "zero:text")] == [1, 1, 1, 0]
    assert sorted(path.stem for path in (tmp_path / "answers").iterdir()) == sorted(SCHEMAS)


def test_answers_of_an_older_form_say_what_to_run_again(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "predictions.parquet").touch()
    with pytest.raises(UserError, match=r"holds predictions.parquet, the older form of answers; run"):
        read_answers(tmp_path / "old", "moments")
    write_answers(tmp_path, {"moments": [span("a")]}, NAMES, {"moments": ["a"]})
    path = tmp_path / "answers" / "moments.parquet"
    write_table(path, read_table(path).drop_columns(["variant"]))
    with pytest.raises(UserError, match=r"moments.parquet: a table of an older form .*variant.*run the rule `predict`"):
        read_answers(tmp_path, "moments")


def test_items_that_lack_rows_are_counted_by_stream_and_reason():
    def lacking(number: int, **reasons: str):
        item = made_item(number)
        lost = {stream: [replace(item.streams[stream][0], status=reason)] for stream, reason in reasons.items()}
        return replace(item, streams=item.streams | lost)

    items = [lacking(0), lacking(1, audio="no_audio"), lacking(2, audio="no_audio", visual="failed")]
    assert without_rows(items) == {"audio: no_audio": 2, "visual: failed": 1}
