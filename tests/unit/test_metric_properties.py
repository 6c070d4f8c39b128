"""What holds for every evaluator: order, copies, perfect and empty answers, and junk in place of any value."""

import copy
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.unit.made_predictions import made_qvh
from workflow_scripts.lib.metrics import calce, hirest, qvhighlights, ranked_spans, span_index
from workflow_scripts.lib.metrics.errors import PredictionError

DURATION_S = 150.0
spans = st.builds(
    lambda start, length: [2.0 * start, min(2.0 * (start + length), DURATION_S)], st.integers(0, 74), st.integers(1, 75)
)
scores = st.floats(0, 1)


@st.composite
def answers(draw):
    """Rows for all evaluators: (spans with scores, annotated spans) of one to six queries."""
    n_queries = draw(st.integers(1, 6))
    windows = st.lists(st.tuples(spans, scores), min_size=1, max_size=12)
    predicted = [[[*span, score] for span, score in draw(windows)] for _ in range(n_queries)]
    return predicted, [draw(st.lists(spans, min_size=1, max_size=3)) for _ in range(n_queries)]


def qvh(predicted, annotated, **options):
    rows = [{"qid": i, "pred_relevant_windows": windows} for i, windows in enumerate(predicted)]
    truth = [{"qid": i, "duration": DURATION_S, "relevant_windows": windows} for i, windows in enumerate(annotated)]
    return flat(qvhighlights.evaluate(rows, truth, **options).exact)


def calce_numbers(predicted, annotated, **options):
    rows = [
        {"qid": i, "pred_relevant_windows": [window[:2] for window in windows], "relevant_windows": wanted}
        for i, (windows, wanted) in enumerate(zip(predicted, annotated, strict=True))
    ]
    return flat({key: value for key, value in calce.evaluate(rows, **options).exact.items() if key != "invalid"})


def ranked(rule):
    def numbers(predicted, annotated, **options):
        rows = [
            {"vid": "v", "sentence_index": i, "duration": DURATION_S, "gt": wanted[0], "candidates": windows}
            for i, (windows, wanted) in enumerate(zip(predicted, annotated, strict=True))
        ]
        return ranked_spans.evaluate_rows(rows, rule, 0.5, **options).metrics

    return numbers


def hirest_moments(predicted, annotated, **options):
    answer = {"p": {f"{i}.mp4": {"bounds": (windows or [[]])[0][:2]} for i, windows in enumerate(predicted)}}
    truth = {
        "p": {
            f"{i}.mp4": {"clip": True, "bounds": wanted[0], "v_duration": DURATION_S}
            for i, wanted in enumerate(annotated)
        }
    }
    found = hirest.moment_retrieval(answer, truth, **options).official["all"]
    return {key: value for key, value in found.items() if key.startswith("R@")}


def flat(numbers, prefix=""):
    """Nested numbers by joined names."""
    found = {}
    for key, value in numbers.items():
        found |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return found


EVALUATORS = {
    "qvh": qvh,
    "calce": calce_numbers,
    "tan": ranked(ranked_spans.TAN),
    "mmn": ranked(ranked_spans.MMN),
    "hirest": hirest_moments,
}
each = pytest.mark.parametrize("evaluate", EVALUATORS.values(), ids=EVALUATORS)


@each
@given(made=answers(), order=st.randoms(use_true_random=False))
@hypothesis_settings(max_examples=30)
def test_the_order_of_queries_changes_no_number(evaluate, made, order):
    pairs = list(zip(*made, strict=True))
    order.shuffle(pairs)
    shuffled = [[pair[side] for pair in pairs] for side in (0, 1)]
    assert evaluate(*shuffled) == pytest.approx(evaluate(*made))


@each
@given(made=answers())
@hypothesis_settings(max_examples=30)
def test_asking_everything_twice_changes_no_number(evaluate, made):
    assert evaluate(made[0] * 2, made[1] * 2) == pytest.approx(evaluate(*made))


@each
@given(made=answers())
@hypothesis_settings(max_examples=30)
def test_all_numbers_are_percentages(evaluate, made):
    assert all(0 <= value <= 100 for value in evaluate(*made).values())


@each
@given(wanted=st.lists(spans, min_size=1, max_size=6))
@hypothesis_settings(max_examples=30)
def test_the_annotated_span_as_the_answer_scores_100(evaluate, wanted):
    numbers = evaluate([[[*span, 0.5]] for span in wanted], [[span] for span in wanted])
    assert numbers
    assert all(value == pytest.approx(100.0) for value in numbers.values())


@each
@given(made=answers())
@hypothesis_settings(max_examples=20)
def test_empty_answers_score_0_when_they_count_as_misses_and_are_refused_otherwise(evaluate, made):
    nothing = [[] for _ in made[0]]
    assert set(evaluate(nothing, made[1], empty_as_miss=True).values()) == {0.0}
    with pytest.raises(PredictionError) as caught:
        evaluate(nothing, made[1])
    assert type(caught.value).__name__ == "EmptyPrediction"


@each
@given(made=answers())
@hypothesis_settings(max_examples=20)
def test_an_empty_answer_beside_others_lowers_recall_by_its_share_only(evaluate, made):
    before = {key: value for key, value in evaluate(*made).items() if "mAP" not in key and is_of_all_lengths(key)}
    after = evaluate([*made[0], []], [*made[1], [[0.0, 20.0]]], empty_as_miss=True)
    n_queries = len(made[0])
    assert {key: after[key] for key in before} == pytest.approx(
        {key: value * n_queries / (n_queries + 1) for key, value in before.items()}
    )


def is_of_all_lengths(key):
    return not key.startswith(("short", "middle", "long"))


@given(made=answers())
@hypothesis_settings(max_examples=20)
def test_span_index_numbers_do_not_depend_on_the_order_and_perfect_ones_are_100(made):
    predicted = np.array([windows[0][:2] for windows in made[0]])
    wanted = np.array([windows[0] for windows in made[1]])
    names = [str(i) for i in range(len(wanted))]
    found = span_index.evaluate(names, predicted, wanted).metrics
    assert span_index.evaluate(names[::-1], predicted[::-1], wanted[::-1]).metrics == pytest.approx(found)
    assert set(span_index.evaluate(names, wanted, wanted).metrics.values()) == {100.0}


@given(made=answers())
@hypothesis_settings(max_examples=20)
def test_steps_in_any_order_cover_the_same_and_perfect_ones_all(made):
    bounds = {f"{i}.mp4": {"bounds": windows} for i, windows in enumerate(made[1])}
    steps = {f"{i}.mp4": {"bounds": [window[:2] for window in windows]} for i, windows in enumerate(made[0])}
    turned = {name: {"bounds": entry["bounds"][::-1]} for name, entry in reversed(steps.items())}
    assert flat(hirest.segmentation(turned, bounds).official) == pytest.approx(
        flat(hirest.segmentation(steps, bounds).official)
    )
    perfect = flat(hirest.segmentation(bounds, bounds).official["all"])
    assert {value for key, value in perfect.items() if key != "total"} == {100.0}


# Junk

junk = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=4,
)


def places(value, path=()):
    """Where something can be replaced in nested lists and mappings."""
    yield path
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from places(inner, (*path, i))


def replaced(value, path, new):
    if not path:
        return new
    found = copy.copy(value)
    found[path[0]] = replaced(value[path[0]], path[1:], new)
    return found


def numbers_are_finite(numbers):
    return all(math.isfinite(value) for value in flat(numbers).values() if isinstance(value, int | float))


QVH_ROWS, QVH_TRUTH = made_qvh(3)
for row in QVH_ROWS:
    row["pred_relevant_windows"] = [list(map(float, window)) for window in row["pred_relevant_windows"][:3]]
    row["pred_saliency_scores"] = list(map(float, row["pred_saliency_scores"]))[:75]
CALCE_ROWS = [
    {"qid": "a", "pred_relevant_windows": [[0.0, 4.0]], "relevant_windows": [[0, 5]]},
    {"qid": "b", "pred_relevant_windows": [[2.0, 4.0], [5.0, 9.0]], "relevant_windows": [[2, 5]]},
]
RANKED_ROWS = [
    {"vid": "v", "sentence_index": i, "gt": [0.0, 5.0], "candidates": [[0.0, 4.0, 0.9], [3.0, 9.0, 0.5]]}
    for i in range(2)
]
RETRIEVED = {"p": {"videos": ["a.mp4", "b.mp4"], "scores": [0.5, 0.25]}}
MOMENTS = {"p": {"a.mp4": {"bounds": [0.0, 5.0]}, "b.mp4": {"bounds": [2.0, 6.0]}}}
MOMENT_TRUTH = {
    "p": {name: {"clip": True, "bounds": [1, 5], "v_duration": 30.0} for name in ("a.mp4", "b.mp4")},
}
STEPS = {"a.mp4": {"bounds": [[0.0, 5.0], [5.0, 9.0]]}}
JUNK = {
    "qvh": (QVH_ROWS, lambda rows: qvhighlights.evaluate(rows, QVH_TRUTH).exact),
    "calce": (CALCE_ROWS, lambda rows: calce.evaluate(rows).exact),
    "tan": (RANKED_ROWS, lambda rows: ranked_spans.evaluate_rows(rows, ranked_spans.TAN, 0.5).metrics),
    "mmn": (RANKED_ROWS, lambda rows: ranked_spans.evaluate_rows(rows, ranked_spans.MMN, 0.5).metrics),
    "hirest videos": (RETRIEVED, lambda found: hirest.video_retrieval(found, {"p": {"a.mp4": {}}}).official),
    "hirest moments": (MOMENTS, lambda found: hirest.moment_retrieval(found, MOMENT_TRUTH).official),
    "hirest steps": (STEPS, lambda found: hirest.segmentation(found, STEPS).official),
}


@pytest.mark.parametrize("name", JUNK)
@given(data=st.data())
@hypothesis_settings(max_examples=150)
def test_junk_in_place_of_any_value_gives_finite_numbers_or_a_named_error(name, data):
    predictions, evaluate = JUNK[name]
    inside = [path for path in places(predictions) if path]
    path, new = data.draw(st.sampled_from(inside)), data.draw(junk)
    try:
        numbers = evaluate(replaced(predictions, path, new))
    except PredictionError:
        return
    assert numbers_are_finite(numbers)
