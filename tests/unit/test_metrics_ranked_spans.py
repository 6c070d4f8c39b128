"""Ranked candidates and score maps: both published rules against plain loops, and bad input."""

import numpy as np
import pytest

from tests.unit.made_predictions import made_candidates
from tests.unit.plain_metrics import plain_ranked
from workflow_scripts.lib.metrics import errors
from workflow_scripts.lib.metrics.ranked_spans import MMN, TAN, evaluate, evaluate_rows
from workflow_scripts.lib.metrics.score_maps import VideoMaps
from workflow_scripts.lib.metrics.score_maps import evaluate as evaluate_maps


@pytest.mark.parametrize("rule", [TAN, MMN], ids=lambda rule: rule.name)
@pytest.mark.parametrize("threshold", [0.4, 0.5])
def test_the_fast_path_equals_the_plain_loop(rule, threshold):
    candidates, reference = made_candidates(700, 40, seed=1)
    scores = evaluate([str(i) for i in range(700)], candidates, reference, rule, threshold)
    plain = plain_ranked(candidates.spans, reference, rule, threshold)
    for found, wanted in zip(scores.iou, plain, strict=True):
        assert found[: len(wanted)].tolist() == wanted
        assert (found[len(wanted) :] == -1).all()
    for rank in (1, 5):
        hits = [any(iou > 0.5 if rule.is_strict else iou >= 0.5 for iou in ious[:rank]) for ious in plain]
        assert scores.metrics[f"R{rank}@0.5"] == pytest.approx(100 * np.mean(hits), rel=1e-12)
    assert scores.metrics["mIoU"] == pytest.approx(100 * np.mean([ious[0] for ious in plain]), rel=1e-9)


def row(candidates, **fields):
    return {"vid": "v", "sentence_index": 0, "duration": 20.0, "gt": [0, 10], "candidates": candidates} | fields


def test_an_iou_on_the_threshold_hits_under_one_rule_only():
    rows = [row([[0, 5, 0.9], [11, 12, 0.5]])]
    assert evaluate_rows(rows, TAN, 0.5).metrics["R1@0.5"] == 0.0
    assert evaluate_rows(rows, MMN, 0.5).metrics["R1@0.5"] == 100.0


def test_fewer_than_five_candidates_are_used_with_a_caution():
    scores = evaluate_rows([row([[0, 10, 0.9], [0, 9, 0.8], [15, 20, 0.7]])], MMN, 0.5)
    assert scores.n_kept.tolist() == [2]
    assert scores.metrics["R5@0.7"] == 100.0
    assert [c.name for c in scores.cautions] == ["FewCandidates"]


@pytest.mark.parametrize(
    ("candidates", "error"),
    [
        ([], errors.EmptyPrediction),
        ([[0, 5]], errors.MissingScore),
        ([[0, 5, float("nan")]], errors.NonFiniteScore),
        ([[0, float("inf"), 1]], errors.NonFiniteSpan),
        ([[5, 0, 1]], errors.ReversedSpan),
    ],
)
def test_bad_candidates_are_named(candidates, error):
    with pytest.raises(error, match="v#1"):
        evaluate_rows([row([[0, 5, 1]]), row(candidates, sentence_index=1)], TAN, 0.5)


def test_a_query_twice_is_refused_and_an_empty_one_can_be_a_miss():
    with pytest.raises(errors.DuplicateQuery, match="v#0"):
        evaluate_rows([row([[0, 5, 1]])] * 2, TAN, 0.5)
    rows = [row([[0, 10, 1]]), row([], sentence_index=1)]
    for rule in (TAN, MMN):
        assert evaluate_rows(rows, rule, 0.5, empty_as_miss=True).metrics["mIoU"] == 50.0
        assert evaluate_rows(rows[1:], rule, 0.5, empty_as_miss=True).metrics["mIoU"] == 0.0


def made_maps(name="v", n_sentences=2):
    rng = np.random.default_rng(5)
    upper = np.triu(np.ones((8, 8), dtype=np.float32))
    iou = rng.random((n_sentences, 8, 8), dtype=np.float32) * upper
    contrastive = rng.uniform(-1, 1, iou.shape).astype(np.float32) * upper
    sentences = [f"sentence {i}" for i in range(n_sentences)]
    return VideoMaps(name, 40.0, sentences, contrastive, iou, np.array([[0.0, 20.0], [10.0, 15.0]])[:n_sentences])


def test_the_best_cell_of_a_map_is_the_prediction():
    maps = made_maps()
    maps.iou[0, 1, 3], maps.contrastive[0, 1, 3] = 5.0, 1.0
    scores = evaluate_maps([maps], 0.5, 0.5)
    assert scores.results["v"]["pred_moments"][0] == [5.0, 20.0]
    assert scores.per_query["IoU"][0] == 0.75
    assert scores.official["R@5,IoU@0.5"] == scores.metrics["R5@0.5"] / 100


def test_bad_maps_are_named():
    empty, broken, negative = made_maps(), made_maps(), made_maps()
    empty.iou[1] = 0
    broken.iou[1, 2, 3] = np.nan
    negative.contrastive[1, 2, 3] = -3
    for maps, error in (
        (empty, errors.EmptyPrediction),
        (broken, errors.NonFiniteScore),
        (negative, errors.NonFiniteScore),
    ):
        with pytest.raises(error, match="video v, sentence 1"):
            evaluate_maps([maps], 0.5, 0.5)
    scores = evaluate_maps([empty], 0.5, 0.5, empty_as_miss=True)
    assert scores.results["v"]["pred_moments"][1] is None
    assert scores.per_query["IoU"][1] == 0
    with pytest.raises(errors.DuplicateVideo, match="video v"):
        evaluate_maps([made_maps(), made_maps()], 0.5, 0.5)
    with pytest.raises(errors.MissingPrediction, match="video v"):
        evaluate_maps([VideoMaps("v", 40.0, ["one"], empty.contrastive, empty.iou, empty.moments)], 0.5, 0.5)


def test_a_video_with_empty_maps_only_counts_as_missed():
    maps = made_maps(n_sentences=1)
    maps.iou[:] = 0
    assert evaluate_maps([maps], 0.5, 0.5, empty_as_miss=True).metrics["mIoU"] == 0.0
