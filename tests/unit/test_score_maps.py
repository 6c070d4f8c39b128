"""The plain reference for stored score maps, by hand-made maps."""

import numpy as np
import pytest

from tests.score_maps import VideoMaps, evaluate
from workflow_scripts.lib.metrics import errors


def made_maps(name="v", n_sentences=2):
    rng = np.random.default_rng(5)
    upper = np.triu(np.ones((8, 8), dtype=np.float32))
    iou = rng.random((n_sentences, 8, 8), dtype=np.float32) * upper
    contrastive = rng.uniform(-1, 1, iou.shape).astype(np.float32) * upper
    sentences = [f"sentence {i}" for i in range(n_sentences)]
    return VideoMaps(name, 40.0, sentences, contrastive, iou, np.array([[0.0, 20.0], [10.0, 15.0]])[:n_sentences])


def test_the_best_cell_of_a_map_is_the_prediction():
    maps = made_maps(n_sentences=1)
    maps.iou[0, 1, 3], maps.contrastive[0, 1, 3] = 5.0, 1.0
    scores = evaluate([maps], 0.5, 0.5)
    assert scores.results["v"]["pred_moments"][0] == [5.0, 20.0]
    assert scores.official["R@{1},mIoU"] == scores.results["v"]["pred_scores"] == 0.75
    assert scores.official["R@1,IoU@0.7"] == 1.0


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
            evaluate([maps], 0.5, 0.5)
    assert evaluate([empty], 0.5, 0.5, empty_as_miss=True).results["v"]["pred_moments"][1] is None
    with pytest.raises(errors.DuplicateVideo, match="video v"):
        evaluate([made_maps(), made_maps()], 0.5, 0.5)
    with pytest.raises(errors.MissingPrediction, match="video v"):
        evaluate([VideoMaps("v", 40.0, ["one"], empty.contrastive, empty.iou, empty.moments)], 0.5, 0.5)


def test_a_video_with_empty_maps_only_counts_as_missed():
    maps = made_maps(n_sentences=1)
    maps.iou[:] = 0
    assert evaluate([maps], 0.5, 0.5, empty_as_miss=True).official["R@{1},mIoU"] == 0.0
