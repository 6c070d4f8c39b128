"""A system that comes after another: what it is told, what it starts from, and features that stay in the store."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.systems.interface import Span
from tests.unit.made_results import make_results
from tests.unit.made_training import made_item, made_settings, made_training
from tests.unit.test_training import reset
from workflow_scripts.lib.datasets.transcript_files import write_shard, write_transcript_index
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.predictions.answer_tables import write_answers
from workflow_scripts.lib.training.checkpoint import Trained, write_checkpoint
from workflow_scripts.lib.training.prior import PriorResults
from workflow_scripts.lib.training.reader import Reader
from workflow_scripts.lib.training.standardiser import Standardiser

NAMES = {"run_id": "r", "system": "first", "dataset": "made", "split": "val"}
PREDICTED = {"system": "first", "weights": True, "answers": "predicted"}
ANNOTATED = PREDICTED | {"answers": "annotated"}


def reader(folder: Path, answers: Path | None = None, change=lambda table, row: row, **config) -> Reader:
    settings = json.loads(
        make_results(folder, change, **{f"config__{key}": v for key, v in config.items()}).read_text()
    )
    return Reader(folder, settings["config"], settings["recipes"], prior=answers)


def answer(path: Path, spans: dict[str, list[tuple[float, float] | None]]) -> None:
    predictions = [
        Span(query, made_item(int(query[1:])).video_id, rank, *(span or (None, None)))
        for query, found in spans.items()
        for rank, span in enumerate(found)
    ]
    write_answers(path / "val", {"moments": predictions}, NAMES, {"moments": list(spans)})


def test_the_answers_of_the_prior_come_with_the_queries_best_first(tmp_path):
    answer(tmp_path / "first", {"q18": [(3.0, 5.0), (1.0, 2.0)], "q19": [None]})
    split = reader(tmp_path / "made", tmp_path / "first", prior=PREDICTED).read("val")
    assert [item.told.prior_spans for item in split.items] == [((3.0, 5.0), (1.0, 2.0)), ()]
    assert split.skipped == {"no answer of first": 4}


def test_answers_may_come_with_the_annotations(tmp_path):
    def change(table, row):
        if table == "queries" and row["query_id"] == "q18":
            return row | {"extra_json": json.dumps({"stage1_result": [[10, 24]]})}
        return row

    split = reader(tmp_path / "made", change=change, prior=ANNOTATED).read("val")
    assert [(item.id, item.told.prior_spans) for item in split.items] == [("q18", ((10, 24),))]
    assert split.skipped == {"no answer of first": 5}


def test_other_answers_are_other_data(tmp_path):
    digests = []
    for number, span in enumerate([(3.0, 5.0), (3.0, 5.0), (3.0, 6.0)]):
        answer(tmp_path / str(number), {"q18": [span]})
        found = reader(tmp_path / f"made{number}", tmp_path / str(number), prior=PREDICTED).read("val")
        digests.append(found.digest)
    assert digests[0] == digests[1] != digests[2]


def test_what_is_said_in_the_video_comes_with_the_query(tmp_path):
    folder = tmp_path / "made" / "transcripts" / "speech"
    segments = [{"start_s": 0.5, "end_s": 2.0, "text": "a bell", "words": None}]
    state = {"key": "k", "status": "ok", "reason": "", "language": "en", "language_probability": 1.0}
    silent, failed = state | {"status": "no_speech"}, state | {"status": "failed", "reason": "broken"}
    found = {
        "v18": {**state, "segments": segments},
        "v19": {**silent, "segments": []},
        "v20": {**failed, "segments": []},
    }
    write_shard(folder / "0000.parquet", "made", "tiny", found, {})
    write_transcript_index([folder / "0000.parquet"], folder / "index.parquet")
    split = reader(tmp_path / "made", transcript="speech").read("val")
    assert [item.told.transcript for item in split.items] == [[(0.5, 2.0, "a bell")], []]
    assert split.skipped == {"speech failed": 4}


def test_noun_phrases_of_the_annotations_come_with_the_query(tmp_path):
    def change(table, row):
        return row | {"items": ["bell", "her mother"]} if table == "queries" and row["query_id"] == "q18" else row

    items = reader(tmp_path / "made", change=change).read("val").items
    assert items[0].told.noun_phrases == ("bell", "her mother")
    assert items[1].told.noun_phrases is None


def test_rows_left_in_the_store_are_those_in_memory(tmp_path):
    kept = reader(tmp_path / "kept").read("train")
    streams = {"visual": {"names": ["frames"], "standardise": False, "in_memory": False}}
    left = reader(tmp_path / "left", streams=streams, change=lambda table, row: row).read("train")
    assert kept.digest == left.digest
    for one, two in zip(kept.items, left.items, strict=True):
        assert one.streams["visual"][0].status == two.streams["visual"][0].status
        assert np.array_equal(one.streams["visual"][0].values, two.streams["visual"][0].values)
        assert np.array_equal(one.streams["visual"][0].times, two.streams["visual"][0].times)
    zeroed = Standardiser({}).apply(left.items[0], zeroed="visual").streams["visual"][0]
    assert zeroed.values.shape == kept.items[0].streams["visual"][0].values.shape
    assert not zeroed.values.any()


def test_training_starts_from_the_weights_of_the_prior(tmp_path):
    reset()
    first = made_training(tmp_path / "first", made_settings(), seed=1)
    state = {key: value.clone() for key, value in first.network.state_dict().items()}
    write_checkpoint(tmp_path / "first.safetensors", Trained(state, Standardiser({}), first.notes))
    settings = made_settings(prior={"checkpoint": str(tmp_path / "first.safetensors"), "answers": None})
    prior = PriorResults(settings, seed=5)
    reset()
    second = made_training(tmp_path / "second", settings, seed=5, initial=prior.weights())
    assert all(torch.equal(second.network.state_dict()[key], value) for key, value in state.items())
    assert len(prior.checkpoint_digest) == 1
    reset()
    with pytest.raises(UserError, match=r"first.safetensors: holds weights of img, this is mrnet; name a prior of the"):
        PriorResults(made_settings(prior=settings["prior"], config__system="mrnet"), seed=5).weights()


def test_without_a_prior_nothing_is_taken_over():
    prior = PriorResults(made_settings(), seed=0)
    assert (prior.answers, prior.checkpoint, prior.checkpoint_digest, prior.weights()) == (None, None, [], None)


def test_the_places_of_the_prior_are_those_of_the_same_seed():
    places = {
        "checkpoint": "results/made/first/seed{seed}/checkpoint.safetensors",
        "answers": "results/made/first/seed{seed}",
    }
    prior = PriorResults(made_settings(prior=places), seed=7)
    assert prior.answers == Path("results/made/first/seed7")
    assert prior.checkpoint == Path("results/made/first/seed7/checkpoint.safetensors")
