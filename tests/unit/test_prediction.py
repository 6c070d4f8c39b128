"""From a results folder to metrics: the entry points train, predict, evaluate, collect_metrics and report."""

import importlib
import json
import re
import sys

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState

from models.systems.interface import Prediction
from tests.unit.made_features import read_by
from tests.unit.made_results import SPLIT_ENDS, make_results
from tests.unit.made_training import N_EPOCHS, N_SELECT, made_item
from workflow_scripts.lib.datasets import errors
from workflow_scripts.lib.datasets.predictions import write_ablations, write_predictions
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.store.tables import read_table
from workflow_scripts.lib.training.checkpoint import read_checkpoint
from workflow_scripts.lib.training.prediction import batches, predict_items, top_spans

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
    return read_table(out / "predictions.parquet").to_pylist()


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


def test_data_loader_workers_may_follow_reading_by_another_codec(trained, tmp_path, monkeypatch):
    """Workers are forked after the stores were read, and never read one."""
    pytest.importorskip("zarrs")
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
    zeroed = read_table(tmp_path / "ablations.parquet").to_pylist()
    assert [(row["zeroed"], row["query_id"]) for row in zeroed] == [("audio", query) for query in asked]
    assert [row["score"] for row in zeroed] != [row["score"] for row in rows]
    summary = json.loads((tmp_path / "predict.json").read_text())
    assert summary["skipped"] == {"sounds failed": 1}
    assert summary["checkpoint"]["dataset"] == "made"


def test_predictions_are_the_same_every_time(trained, tmp_path, monkeypatch):
    settings, out = trained
    once, again = (predict(monkeypatch, settings, out / "checkpoint.safetensors", tmp_path / n) for n in "ab")
    assert once == again


def test_a_checkpoint_of_other_features_is_refused(trained, tmp_path, monkeypatch):
    settings, out = trained
    content = json.loads(settings.read_text())
    content["recipes"]["sounds"] = "other"
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
    counts = {"queries": N_SELECT, "evaluated": N_SELECT - 1, "skipped": {"sounds failed": 1}, "unreadable": 0}
    assert found["counts"] == counts
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


def test_items_are_predicted_in_batches_in_their_order():
    assert [list(part) for part in batches(range(7), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(batches([], 3)) == []


def test_a_network_predicts_in_evaluation_mode_without_gradients_from_the_given_seed():
    seen = []

    class Spy:
        joins_queries = False

        def sample(self, item, rng):
            assert rng is None
            return item

        def collate(self, samples):
            return {"value": torch.ones(len(samples)), "query_ids": [item.query_id for item in samples]}

        def predict(self, network, batch, generator):
            seen.append((network.training, torch.is_grad_enabled(), torch.rand(1, generator=generator).item()))
            return [Prediction(query, "v", 0, None, None) for query in batch["query_ids"]]

    items = [made_item(number) for number in range(3)]
    for _ in range(2):
        found = predict_items(Spy(), torch.nn.Dropout().train(), items, lambda item: item, 2, "cpu", seed=5)
    assert [prediction.query_id for prediction in found] == ["q0", "q1", "q2"]
    assert [one[:2] for one in seen] == [(False, False)] * 4
    assert seen[:2] == seen[2:]
    assert seen[0][2] != seen[1][2]


def test_the_top_span_is_that_of_rank_zero():
    found = [Prediction("a", "v", 1, 5.0, 6.0), Prediction("a", "v", 0, 1.0, 2.0), Prediction("b", "v", 0, None, None)]
    assert top_spans(found) == {"a": (1.0, 2.0), "b": None}


@pytest.mark.parametrize(
    ("predictions", "error"),
    [
        ([Prediction("a", "v", 0, 1.0, 2.0)], errors.MissingPrediction),
        ([Prediction(q, "v", 0, 1.0, 2.0) for q in "abc"], errors.UnknownQuery),
        ([Prediction("a", "v", 1, 1.0, 2.0), Prediction("b", "v", 0, 1.0, 2.0)], errors.BadRank),
        ([Prediction("a", "v", 0, float("nan"), 2.0), Prediction("b", "v", 0, 1.0, 2.0)], errors.NonFiniteSpan),
        ([Prediction("a", "v", 0, 3.0, 2.0), Prediction("b", "v", 0, 1.0, 2.0)], errors.ReversedSpan),
        ([Prediction("a", "v", 0, 1.0, 2.0, float("nan")), Prediction("b", "v", 0, 1.0, 2.0)], errors.NonFiniteScore),
    ],
)
def test_broken_predictions_are_never_written(tmp_path, predictions, error):
    with pytest.raises(error, match=str(tmp_path)):
        write_predictions(tmp_path / "p.parquet", predictions, NAMES, ["a", "b"])
    with pytest.raises(error, match="audio set to zero"):
        write_ablations(tmp_path / "p.parquet", {"audio": predictions}, NAMES, ["a", "b"])
    assert list(tmp_path.iterdir()) == []


def test_a_query_without_answer_is_written_as_a_row_without_span(tmp_path):
    missed = Prediction("a", "v", 0, None, None, text="no idea")
    write_predictions(tmp_path / "p.parquet", [missed], NAMES, ["a"])
    [row] = read_table(tmp_path / "p.parquet").to_pylist()
    assert (row["start_s"], row["end_s"], row["text"]) == (None, None, "no idea")


def test_every_ablation_is_checked_and_written_by_itself(tmp_path):
    span = Prediction("a", "v", 0, 1.0, 2.0, 0.5)
    write_ablations(tmp_path / "p.parquet", {"audio": [span], "visual": [span]}, NAMES, ["a"])
    assert [row["zeroed"] for row in read_table(tmp_path / "p.parquet").to_pylist()] == ["audio", "visual"]
    write_ablations(tmp_path / "none.parquet", {}, NAMES, ["a"])
    assert read_table(tmp_path / "none.parquet").num_rows == 0
