"""What every rule set does with each kind of bad predictions: a named error with query and place, or a caution."""

import copy
import json
import math

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.submitted import imported, submit, windows_split, write_json_file, write_rows
from workflow_scripts.lib.errors import DataError
from workflow_scripts.lib.metrics import errors
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit

NAN, INFINITE = float("nan"), float("inf")
OF_MOMENTS = [name for name, rules in RULE_SETS.items() if rules.task == "moments"]
RANKED = [name for name in OF_MOMENTS if RULE_SETS[name].needs_scores]
OF_STEPS = ["hirest_steps", "hirest_steps_raw"]
SALIENCY = {"pred_saliency_scores": [1.0] * 10}
each_of_moments = pytest.mark.parametrize("rules", OF_MOMENTS)


@pytest.fixture(scope="module")
def split() -> AnnotatedSplit:
    """Two queries with one moment each, in videos of 20 s."""
    return windows_split({"q1": [[0, 10]], "q2": [[0, 10]]}, {"q1": 20.0, "q2": 20.0})


@pytest.fixture(scope="module")
def rated() -> AnnotatedSplit:
    """The same with raters' saliency."""
    rows = [
        {"qid": i, "query": "what", "vid": f"abcdefghij{i}_0.0_20.0", "duration": 20, "relevant_windows": [[0, 10]]}
        | {"relevant_clip_ids": [0, 1, 2, 3, 4], "saliency_scores": [[4, 4, 4]] * 5}
        for i in (1, 2)
    ]
    return AnnotatedSplit.read(imported("qvhighlights", {"val": write_rows(rows)}), "val")


@pytest.fixture(scope="module")
def hirest() -> AnnotatedSplit:
    """Two prompts with a video of 60 s each, whose moments have two steps."""
    steps = [{"index": i, "heading": "do it", "absolute_bounds": span} for i, span in enumerate(([10, 20], [20, 30]))]
    entry = {"relevant": True, "clip": True, "v_duration": 60.0, "bounds": [10, 30], "steps": steps}
    truth = {f"prompt {name}": {f"{name}.mp4": entry} for name in ("q1", "q2")}
    return AnnotatedSplit.read(imported("hirest", {"val": write_json_file(truth)}), "val")


def score(rules, split, windows, qid="q2", good=None, *, fields=None, **options):
    """Score a good answer to the first query and the one in question to the second."""
    rows = [{"qid": "q1", "pred_relevant_windows": [[0, 10, 0.9]]} | (good or {})]
    rows.append({"qid": qid, "pred_relevant_windows": windows} | (fields or {}))
    accepted = {name: options.pop(name) for name in ("allow_missing", "empty_as_miss") if name in options}
    return submit(rules, split, write_rows(rows), Options(**options), **accepted).scored()


BAD_WINDOWS = {
    errors.EmptyPrediction: [[]],
    errors.NonFiniteSpan: [
        [[*bounds, 0.9]]
        for bounds in ((NAN, 10), (0, NAN), (0, INFINITE), (-INFINITE, 0), (None, 10), ("x", 10), ("-Infinity", 5))
    ],
    errors.ReversedSpan: [[[10, 0, 0.9]], [[0, 5, 0.9], [7, 5, 0.5]]],
    errors.MalformedRow: [[[3]], [3], [[]], 3.5, {"a": 1}],
}


@each_of_moments
@pytest.mark.parametrize(
    ("error", "windows"), [(error, windows) for error, cases in BAD_WINDOWS.items() for windows in cases]
)
def test_bad_windows_are_errors_that_name_the_query(rules, error, windows, split):
    with pytest.raises(DataError, match=r"jsonl.*q2|q2.*jsonl:2") as caught:
        score(rules, split, windows)
    assert type(caught.value) is error


@pytest.mark.parametrize("rules", RANKED)
@pytest.mark.parametrize(
    ("error", "windows"),
    [
        (errors.NonFiniteScore, [[0, 10, NAN]]),
        (errors.NonFiniteScore, [[0, 10, INFINITE]]),
        (errors.NonFiniteScore, [[0, 10, None]]),
        (errors.MissingScore, [[0, 10]]),
        (errors.MissingScore, [[0, 10, 0.5], [3, 5]]),
    ],
)
def test_bad_scores_are_errors_that_name_the_query_where_windows_are_ranked_by_them(rules, error, windows, split):
    with pytest.raises(error, match="q2"):
        score(rules, split, windows)


@pytest.mark.parametrize(
    ("error", "values"),
    [
        (errors.NonFiniteScore, [1.0] * 9 + [NAN]),
        (errors.NonFiniteScore, [1.0, "NaN"]),
        (errors.EmptyPrediction, []),
        (errors.MalformedRow, 3),
        (errors.MissingField, None),
    ],
)
def test_bad_saliency_is_an_error_that_names_the_query(error, values, rated):
    fields = {} if values is None else {"pred_saliency_scores": values}
    with pytest.raises(error, match="made/val/2"):
        score("qvhighlights", rated, [[0, 10, 0.9]], 2, {"qid": 1, **SALIENCY}, fields=fields)


@each_of_moments
def test_a_query_twice_or_unknown_or_missing_or_named_oddly_is_an_error(rules, split):
    with pytest.raises(errors.DuplicateQuery, match="q1"):
        score(rules, split, [[0, 10, 0.9]], "q1")
    with pytest.raises(errors.UnknownQuery, match="q3"):
        score(rules, split, [[0, 10, 0.9]], "q3")
    with pytest.raises(errors.MalformedRow, match=r"qid.*\[1\]"):
        score(rules, split, [[0, 10, 0.9]], [1])
    for rows, error in (
        ([{"qid": "q1", "pred_relevant_windows": [[0, 10, 0.9]]}], errors.MissingPrediction),
        ([], errors.MissingPrediction),
        ([{"qid": "q1"}, {"qid": "q2"}], errors.MissingField),
        ([{"qid": "q1", "pred_relevant_windows": [[0, 10, 0.9]]}, {"qid": "q2", **SALIENCY}], errors.MissingField),
    ):
        with pytest.raises(error, match=r"q1|q2"):
            submit(rules, split, write_rows(rows))


@each_of_moments
def test_what_both_sides_have_is_scored_when_asked(rules, split):
    asked = score(rules, split, [[0, 10, 0.9]], "q3", allow_missing=True)
    assert [len(values) for values in asked.per_query.values()] == [1] * len(asked.per_query)
    with pytest.raises(errors.MissingPrediction, match="none of the 2"):
        submit(rules, split, write_rows([{"qid": "q3", "pred_relevant_windows": [[0, 1, 1]]}]), allow_missing=True)


@pytest.mark.parametrize("rules", ["qvhighlights", "lighthouse", "calce"])
def test_not_matching_the_number_of_queries_is_an_option_of_qvhighlights(rules, split):
    if rules == "calce":
        with pytest.raises(errors.UnknownQuery):
            score(rules, split, [[0, 10, 0.9]], "q3", match_number=False)
    else:
        assert len(score(rules, split, [[0, 10, 0.9]], "q3", match_number=False).per_query["mIoU"]) == 1


@each_of_moments
def test_an_answer_of_nothing_is_a_miss_when_asked(rules, split):
    found = score(rules, split, [], empty_as_miss=True)
    for name, values in found.per_query.items():
        assert values.tolist() == ([1.0, 0.0] if RULE_SETS[rules].is_higher_better(name) else [0.0, 0.0]), name
    nothing = score(rules, split, [], good={"pred_relevant_windows": []}, empty_as_miss=True)
    assert set(nothing.metrics.values()) == {0.0}


@each_of_moments
def test_a_reversed_span_is_a_miss_only_under_hirest_and_only_when_asked(rules, split):
    if rules == "hirest_moments":
        assert score(rules, split, [[10, 0, 0.9]], reversed="miss").metrics["R@0.5"] == 50.0
    else:
        with pytest.raises(errors.ReversedSpan, match="q2"):
            score(rules, split, [[10, 0, 0.9]], reversed="miss")


@each_of_moments
@pytest.mark.parametrize(
    ("windows", "name"),
    [
        ([[5, 5, 0.9]], "ZeroLengthSpan"),
        ([[0, 21, 0.9]], "SpanOutsideVideo"),
        ([[-1, 10, 0.9]], "SpanOutsideVideo"),
        ([[0, 10, 0.9]] * 11, {"calce": "ManyWindows", "qvhighlights": "UnusedWindows", "lighthouse": "UnusedWindows"}),
    ],
)
def test_odd_windows_are_scored_with_a_caution_that_names_the_query(rules, windows, name, split):
    expected = name.get(rules) if isinstance(name, dict) else name
    found = {caution.name: caution for caution in score(rules, split, windows).cautions}
    if expected:
        assert found[expected].ids == ("made/test/q2",)


def test_saliency_of_another_length_is_scored_with_a_caution(rated):
    fields = {"pred_saliency_scores": [1.0] * 9}
    found = score("qvhighlights", rated, [[0, 10, 0.9]], 2, {"qid": 1, **SALIENCY}, fields=fields)
    assert [(c.name, c.ids) for c in found.cautions] == [("SaliencyLength", ("made/val/2",))]


# HiREST's own forms


def by_prompt(second):
    return write_json_file({"prompt q1": {"q1.mp4": {"bounds": [10, 30]}}, "prompt q2": second})


@pytest.mark.parametrize(
    ("second", "error"),
    [
        ({"q2.mp4": {"bounds": []}}, errors.EmptyPrediction),
        ({"q2.mp4": {"bounds": [NAN, 10]}}, errors.NonFiniteSpan),
        ({"q2.mp4": {"bounds": [3, "NaN"]}}, errors.NonFiniteSpan),
        ({"q2.mp4": {"bounds": [30, 10]}}, errors.ReversedSpan),
        ({"q2.mp4": {"bounds": [3]}}, errors.MalformedRow),
        ({"q2.mp4": {}}, errors.MissingField),
        ({"q2.mp4": 3}, errors.MalformedRow),
        ({"q3.mp4": {"bounds": [10, 30]}}, errors.UnknownQuery),
        ({}, errors.MissingPrediction),
        (3, errors.MalformedRow),
    ],
)
def test_bad_moments_of_hirest_are_named(second, error, hirest):
    with pytest.raises(DataError, match="prompt q2") as caught:
        submit("hirest_moments", hirest, by_prompt(second))
    assert type(caught.value) is error


def test_moments_of_hirest_may_be_incomplete_or_empty_when_asked(hirest):
    found = submit("hirest_moments", hirest, by_prompt({"q3.mp4": {"bounds": [1, 2]}}), allow_missing=True)
    assert found.scored().metrics["R@0.7"] == 100.0
    found = submit("hirest_moments", hirest, by_prompt({"q2.mp4": {"bounds": []}}), empty_as_miss=True)
    assert found.scored().metrics["R@0.7"] == 50.0
    found = submit("hirest_moments", hirest, by_prompt({"q2.mp4": {"bounds": [30, 10]}}), Options(reversed="miss"))
    assert found.scored().metrics["R@0.7"] == 50.0


@pytest.mark.parametrize("rules", OF_STEPS)
@pytest.mark.parametrize(
    ("second", "error"),
    [
        ({"bounds": [[0, INFINITE]]}, errors.NonFiniteSpan),
        ({"bounds": [[10, 0]]}, errors.ReversedSpan),
        ({"bounds": [3]}, errors.MalformedRow),
        ({"bounds": 3}, errors.MalformedRow),
        ({}, errors.MissingField),
        (3, errors.MalformedRow),
    ],
)
def test_bad_steps_are_named(rules, second, error, hirest):
    with pytest.raises(DataError, match=r"q2\.mp4") as caught:
        submit(rules, hirest, write_json_file({"q1.mp4": {"bounds": [[10, 20]]}, "q2.mp4": second}))
    assert type(caught.value) is error


@pytest.mark.parametrize("rules", OF_STEPS)
def test_steps_of_videos_that_one_side_lacks_are_errors_and_reversed_ones_misses_when_asked(rules, hirest):
    one = {"q1.mp4": {"bounds": [[10, 20], [20, 30]]}}
    with pytest.raises(errors.MissingPrediction, match="q2"):
        submit(rules, hirest, write_json_file(one))
    with pytest.raises(errors.UnknownQuery, match="q3"):
        submit(rules, hirest, write_json_file({**one, "q2.mp4": {"bounds": []}, "q3.mp4": {"bounds": []}}))
    path = write_json_file({**one, "q2.mp4": {"bounds": [[25, 15]]}})
    found = submit(rules, hirest, path, Options(reversed="miss")).scored()
    assert 0 <= found.per_query["recall@0.5"][1] <= 1


def test_answers_of_quag_are_read_as_it_writes_them(hirest):
    """Beside the answers stands a loss; end to end they have the form of the annotations."""
    spans = {"q1": [[10, 20], [20, 30]], "q2": [[10, 15], [15, 30]]}
    by_file = {f"{name}.mp4": {"bounds": found} for name, found in spans.items()}
    plain = submit("hirest_steps", hirest, write_json_file(by_file)).scored().metrics
    assert submit("hirest_steps", hirest, write_json_file({"loss": 0.5, **by_file})).scored().metrics == plain
    annotated = {
        f"prompt {name}": {
            f"{name}.mp4": {"bounds": [10, 30], "steps": [{"absolute_bounds": span, "heading": "a"} for span in found]}
        }
        for name, found in spans.items()
    }
    assert submit("hirest_steps", hirest, write_json_file(annotated)).scored().metrics == plain
    assert set(
        submit("hirest_moments", hirest, write_json_file({"loss": 0.5, **annotated})).scored().metrics.values()
    ) == {100.0}
    annotated["prompt q2"]["q2.mp4"]["steps"] = [7]
    with pytest.raises(errors.MalformedRow, match=r"q2\.mp4:steps: expected an object"):
        submit("hirest_steps", hirest, write_json_file(annotated))


def test_empty_steps_cover_nothing(hirest):
    path = write_json_file({"q1.mp4": {"bounds": [[10, 20], [20, 30]]}, "q2.mp4": {"bounds": []}})
    assert set(submit("hirest_steps_raw", hirest, path).scored().metrics.values()) == {50.0}


@pytest.mark.parametrize(
    ("second", "error"),
    [
        ({"videos": [], "scores": []}, errors.EmptyPrediction),
        ({"videos": ["a"], "scores": []}, errors.MissingScore),
        ({"videos": ["a"]}, errors.MissingScore),
        ({"scores": [1]}, errors.MissingField),
        ({"videos": ["a"], "scores": ["NaN"]}, errors.NonFiniteScore),
        ({"videos": ["a", "a"], "scores": [1, 2]}, errors.DuplicateVideo),
        ({"videos": [["a"]], "scores": [1]}, errors.MalformedRow),
        (3, errors.MalformedRow),
    ],
)
def test_bad_rankings_are_named(second, error, hirest):
    path = write_json_file({"prompt q1": {"videos": ["q1.mp4"], "scores": [1]}, "prompt q2": second})
    with pytest.raises(DataError, match="prompt q2") as caught:
        submit("hirest_videos", hirest, path).scored()
    assert type(caught.value) is error


def test_rankings_of_nothing_are_misses_when_asked(hirest):
    path = write_json_file(
        {f"prompt {q}": {"videos": v, "scores": [1] * len(v)} for q, v in (("q1", ["q1.mp4"]), ("q2", []))}
    )
    assert submit("hirest_videos", hirest, path, empty_as_miss=True).scored().metrics["R@1"] == 50.0


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


ROWS = [{"qid": f"q{i}", "pred_relevant_windows": [[0.0, 4.0, 0.9], [3.0, 9.0, 0.5]]} for i in (1, 2)]
RATED_ROWS = [{"qid": i, "pred_relevant_windows": [[0.0, 4.0, 0.9]], **SALIENCY} for i in (1, 2)]
BOUNDS = {f"prompt {q}": {f"{q}.mp4": {"bounds": [5.0, 15.0]}} for q in ("q1", "q2")}
STEPS = {f"{q}.mp4": {"bounds": [[10.0, 15.0], [15.0, 29.0]]} for q in ("q1", "q2")}
RANKINGS = {f"prompt {q}": {"videos": ["q1.mp4", "q2.mp4"], "scores": [0.5, 0.25]} for q in ("q1", "q2")}
JUNK = dict.fromkeys(OF_MOMENTS, (ROWS, "split")) | {
    "qvhighlights": (RATED_ROWS, "rated"),
    "hirest_moments": (BOUNDS, "hirest"),
    "hirest_steps": (STEPS, "hirest"),
    "hirest_steps_raw": (STEPS, "hirest"),
    "hirest_videos": (RANKINGS, "hirest"),
}


@pytest.mark.parametrize("rules", JUNK)
def test_junk_in_place_of_any_value_gives_finite_numbers_or_a_named_error(rules, request):
    predictions, name = JUNK[rules]
    split = request.getfixturevalue(name)
    path = write_rows([])
    inside = [place for place in places(predictions) if place]

    @given(place=st.sampled_from(inside), new=junk)
    @hypothesis_settings(max_examples=100)
    def check(place, new):
        content = replaced(predictions, place, new)
        path.write_text(json.dumps(content) if isinstance(content, dict) else "\n".join(map(json.dumps, content)))
        try:
            numbers = submit(rules, split, path).scored().metrics
        except DataError:
            return
        assert all(math.isfinite(value) for value in numbers.values())

    check()
