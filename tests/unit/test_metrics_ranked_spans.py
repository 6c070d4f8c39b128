"""Ranked candidates: both published rules against plain loops."""

import numpy as np
import pytest

from tests.unit.made_predictions import made_candidates, moments, spans
from tests.unit.plain_metrics import plain_ranked
from workflow_scripts.lib.metrics import errors
from workflow_scripts.lib.metrics.questions import Moments, Spans
from workflow_scripts.lib.metrics.ranked_spans import MMN, TAN, kept_iou
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.metrics.windows import Windows

RULES = {"2d_tan_strict": TAN, "mmn_float32": MMN}


def question_of(reference: np.ndarray) -> Moments:
    return moments(reference[:, None], [1e4] * len(reference))


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("threshold", [0.4, 0.5])
def test_the_fast_path_equals_the_plain_loop(rules, threshold):
    candidates, reference = made_candidates(700, 40, seed=1)
    question, rule = question_of(reference), RULES[rules]
    iou, n_kept = kept_iou(question, candidates, rule, threshold)
    plain = plain_ranked(candidates.spans, reference, rule, threshold)
    for found, n, wanted in zip(iou, n_kept, plain, strict=True):
        assert found[: len(wanted)].tolist() == wanted
        assert (found[len(wanted) :] == -1).all()
        assert min(n, 5) == len(wanted)
    metrics = apply_rules(rules, question, Spans(candidates), Options(nms_threshold=threshold)).metrics
    for t in (0.3, 0.5, 0.7):
        bound = rule.dtype(t)
        for rank in (1, 5):
            hits = [any(iou > bound if rule.is_strict else iou >= bound for iou in ious[:rank]) for ious in plain]
            assert metrics[f"R{rank}@{t}"] == pytest.approx(100 * np.mean(hits), rel=1e-12)
    assert metrics["mIoU"] == pytest.approx(100 * np.mean([ious[0] for ious in plain]), rel=1e-9)


def test_candidates_are_ranked_by_score_whatever_their_order():
    answers = spans([[[12, 13, 0.1], [0, 10, 0.9], [15, 20, 0.5]]])
    assert apply_rules("mmn_float32", moments([[[0, 10]]]), answers, Options()).metrics["R1@0.7"] == 100.0


def test_fewer_than_five_candidates_are_used_with_a_caution():
    answers = spans([[[0, 10, 0.9], [0, 9, 0.8], [15, 20, 0.7]]])
    found = apply_rules("mmn_float32", moments([[[0, 10]]]), answers, Options())
    assert kept_iou(moments([[[0, 10]]]), answers.windows, MMN, 0.5)[1].tolist() == [2]
    assert found.metrics["R5@0.7"] == 100.0
    assert [caution.name for caution in found.cautions] == ["FewCandidates"]


@pytest.mark.parametrize("rules", RULES)
def test_an_answer_of_nothing_is_a_miss(rules):
    empty = Windows(np.zeros((1, 0, 2)), np.zeros((1, 0)), np.zeros(1, dtype=int))
    for answers, value in ((spans([[[0, 10, 1]], []]), 50.0), (Spans(empty), 0.0)):
        question = moments([[[0, 10]]] * len(answers.windows.counts))
        found = apply_rules(rules, question, answers, Options()).metrics
        assert found == dict.fromkeys(found, value)


def test_spans_past_the_largest_float32_are_refused_where_that_is_the_arithmetic():
    answers = spans([[[0, 1e39, 1.0]]])
    with pytest.raises(errors.NonFiniteSpan, match="q0"):
        apply_rules("mmn_float32", moments([[[0, 10]]]), answers, Options())
    assert apply_rules("2d_tan_strict", moments([[[0, 10]]]), answers, Options()).metrics["R1@0.5"] == 0.0


def test_annotated_moments_that_are_no_spans_are_refused():
    reversed_moment = Moments(["q0"], ["v"], np.ones(1), Windows(np.array([[[5.0, 2.0]]]), None, np.ones(1, int)))
    with pytest.raises(errors.BadReference, match="q0"):
        apply_rules("mmn_float32", reversed_moment, spans([[[0, 10, 1.0]]]), Options())
