"""What every evaluator does with each kind of bad input: a named error with the query in its message, or a caution."""

import copy

import numpy as np
import pytest

from workflow_scripts.lib.metrics import calce, errors, hirest, qvhighlights, ranked_spans, span_index
from workflow_scripts.lib.metrics.score_maps import VideoMaps
from workflow_scripts.lib.metrics.score_maps import evaluate as evaluate_maps

NAN, INFINITE = float("nan"), float("inf")


def qvh(windows=((0, 10, 0.9),), qid="q2", saliency=None, truth=("q1", "q2"), **options):
    """Scores of a good query `q1` and the one in question."""
    rows = [{"qid": "q1", "pred_relevant_windows": [[0, 10, 0.9]]}, {"qid": qid, "pred_relevant_windows": windows}]
    labels = {"duration": 20, "relevant_windows": [[0, 10]], "relevant_clip_ids": [0], "saliency_scores": [[4, 4, 4]]}
    if saliency is not None:
        for row, values in zip(rows, ([1.0] * 10, saliency), strict=True):
            row["pred_saliency_scores"] = values
    return qvhighlights.evaluate(rows, [{"qid": name, **labels} for name in truth], **options)


def calce_scores(windows=((0, 10),), qid="q2", **options):
    rows = [
        {"qid": name, "pred_relevant_windows": found, "relevant_windows": [[0, 10]]}
        for name, found in (("q1", [[0, 10]]), (qid, windows))
    ]
    return calce.evaluate(rows, **options)


def ranked(rule):
    def scores(candidates=((0, 10, 0.9),), **options):
        row = {"vid": "v", "duration": 20.0, "gt": [0, 10]}
        rows = [
            {**row, "sentence_index": 1, "candidates": [[0, 10, 0.9]]},
            {**row, "sentence_index": 2, "candidates": candidates},
        ]
        return ranked_spans.evaluate_rows(rows, rule, 0.5, **options)

    return scores


def moments(bounds=(0, 10), **options):
    truth = {"clip": True, "bounds": [0, 10], "v_duration": 20.0}
    answers = {"p": {"q1": {"bounds": [0, 10]}, "q2": {"bounds": bounds}}}
    return hirest.moment_retrieval(answers, {"p": {"q1": truth, "q2": truth}}, **options)


def videos(names=("a", "b"), scores=(0.5, 0.2), **options):
    return hirest.video_retrieval({"q2": {"videos": names, "scores": scores}}, {"q2": {"a": {}}}, **options)


def steps(bounds=((0, 10),)):
    return hirest.segmentation(
        {"q1": {"bounds": [[0, 10]]}, "q2": {"bounds": bounds}}, {name: {"bounds": [[0, 10]]} for name in ("q1", "q2")}
    )


def spans(predicted=(0, 10), names=("q1", "q2")):
    return span_index.evaluate(names, np.array([[0, 10], predicted], float), np.array([[0, 10]] * 2, float))


TAN, MMN = ranked(ranked_spans.TAN), ranked(ranked_spans.MMN)
BAD = {
    "no window": [
        (errors.EmptyPrediction, qvh, [[]]),
        (errors.EmptyPrediction, calce_scores, [[]]),
        (errors.EmptyPrediction, TAN, [[]]),
        (errors.EmptyPrediction, MMN, [[]]),
        (errors.EmptyPrediction, moments, [[]]),
        (errors.EmptyPrediction, videos, [[], []]),
    ],
    "NaN or infinite start or end": [
        (errors.NonFiniteSpan, evaluate, [[[*bounds, *score]]])
        for bounds in ((NAN, 10), (0, NAN), (0, INFINITE), (-INFINITE, 0), (None, 10), ("x", 10))
        for evaluate, score in ((qvh, [0.9]), (calce_scores, []), (TAN, [0.9]), (MMN, [0.9]))
    ]
    + [
        (errors.NonFiniteSpan, moments, [[NAN, 10]]),
        (errors.NonFiniteSpan, steps, [[[0, INFINITE]]]),
        (errors.NonFiniteSpan, spans, [[NAN, 10]]),
    ],
    "NaN or infinite score": [
        (errors.NonFiniteScore, evaluate, [[[0, 10, score]]])
        for evaluate in (qvh, TAN, MMN)
        for score in (NAN, INFINITE)
    ]
    + [(errors.NonFiniteScore, videos, [("a", "b"), (0.5, NAN)])],
    "start after end": [
        (errors.ReversedSpan, qvh, [[[10, 0, 0.9]]]),
        (errors.ReversedSpan, calce_scores, [[[10, 0]]]),
        (errors.ReversedSpan, TAN, [[[10, 0, 0.9]]]),
        (errors.ReversedSpan, MMN, [[[10, 0, 0.9]]]),
        (errors.ReversedSpan, moments, [[10, 0]]),
        (errors.ReversedSpan, steps, [[[10, 0]]]),
        (errors.ReversedSpan, spans, [[10, 0]]),
    ],
    "window without score": [
        (errors.MissingScore, qvh, [[[0, 10]]]),
        (errors.MissingScore, TAN, [[[0, 10]]]),
        (errors.MissingScore, MMN, [[[0, 10]]]),
        (errors.MissingScore, videos, [("a", "b"), (0.5,)]),
    ],
    "NaN or empty saliency": [
        (errors.NonFiniteScore, lambda values: qvh(saliency=values), [[1.0] * 9 + [NAN]]),
        (errors.EmptyPrediction, lambda values: qvh(saliency=values), [[]]),
    ],
    "a video twice in a ranking": [(errors.DuplicateVideo, videos, [("a", "a")])],
}


@pytest.mark.parametrize(
    ("error", "evaluate", "arguments"), [case for cases in BAD.values() for case in cases], ids=lambda value: ""
)
def test_bad_values_are_errors_that_name_the_query(error, evaluate, arguments):
    with pytest.raises(errors.PredictionError, match=r"q2|v#2") as caught:
        evaluate(*arguments)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    "evaluate", [lambda: qvh(qid="q1"), lambda: calce_scores(qid="q1"), lambda: spans(names=("q1", "q1"))]
)
def test_a_query_answered_twice_is_an_error(evaluate):
    with pytest.raises(errors.DuplicateQuery, match="q1"):
        evaluate()


def test_missing_and_unknown_queries_are_errors_unless_they_are_allowed():
    with pytest.raises(errors.MissingPrediction, match="q3"):
        qvh(truth=("q1", "q2", "q3"))
    with pytest.raises(errors.UnknownQuery, match="q2"):
        qvh(truth=("q1",))
    assert qvh(truth=("q1", "q3"), allow_missing=True).per_query["query_id"].tolist() == ["q1"]


def test_a_field_that_some_rows_have_is_an_error():
    rows = [{"qid": "q1", "pred_relevant_windows": [[0, 1, 1]], "pred_saliency_scores": [1.0]}]
    rows.append({"qid": "q2", "pred_relevant_windows": [[0, 1, 1]]})
    with pytest.raises(errors.MissingField, match="q2"):
        qvhighlights.evaluate(rows, [{"qid": "q1"}, {"qid": "q2"}])


@pytest.mark.parametrize(("evaluate", "empty"), [(qvh, []), (calce_scores, []), (TAN, []), (MMN, []), (moments, [])])
def test_empty_answers_are_misses_on_request(evaluate, empty):
    scores = evaluate(empty, empty_as_miss=True)
    values = scores.per_query["IoU"]
    assert values[1] == 0 < values[0]


@pytest.mark.parametrize(
    ("evaluate", "answer", "name"),
    [
        (qvh, [[5, 5, 0.9]], "ZeroLengthSpan"),
        (qvh, [[0, 21, 0.9]], "SpanOutsideVideo"),
        (qvh, [[-1, 10, 0.9]], "SpanOutsideVideo"),
        (qvh, [[0, 10, 0.9]] * 11, "UnusedWindows"),
        (calce_scores, [[5, 5]], "ZeroLengthSpan"),
        (calce_scores, [[0, 10]] * 11, "ManyWindows"),
        (TAN, [[5, 5, 0.9]], "ZeroLengthSpan"),
        (MMN, [[0, 21, 0.9]], "SpanOutsideVideo"),
        (MMN, [[0, 10, 0.9]], "FewCandidates"),
        (moments, [5, 5], "ZeroLengthSpan"),
        (moments, [0, 21], "SpanOutsideVideo"),
        (steps, [[5, 5]], "ZeroLengthSpan"),
        (lambda values: qvh(saliency=values), [1.0] * 9, "SaliencyLength"),
    ],
)
def test_odd_answers_are_scored_with_a_caution_that_names_the_query(evaluate, answer, name):
    found = {caution.name: caution for caution in evaluate(answer).cautions}
    assert name in found
    assert found[name].ids[-1].endswith("2")


def test_spans_outside_are_cut_on_request_only():
    assert qvh([[0, 40, 0.9]]).per_query["IoU"][1] == 0.25
    assert qvh([[0, 40, 0.9]], clip=True).per_query["IoU"][1] == 0.5


def test_empty_steps_cover_nothing():
    assert steps([]).official["all"] == {
        "recall": {"0.5": 50.0, "0.7": 50.0},
        "precision": {"0.5": 50.0, "0.7": 50.0},
        "total": 2,
    }


def test_a_map_without_scores_is_an_error_with_video_and_sentence():
    maps = np.zeros((2, 4, 4), dtype=np.float32)
    maps[0, 0, 1] = 1
    video = VideoMaps("v", 8.0, ["one", "two"], maps, copy.copy(maps), np.array([[0.0, 4.0]] * 2))
    with pytest.raises(errors.EmptyPrediction, match="video v, sentence 1"):
        evaluate_maps([video], 0.5, 0.5)
