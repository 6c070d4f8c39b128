"""What holds for every rule set: names, order, perfect answers, thresholds, and what happens exactly on a threshold."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.unit.made_predictions import DURATION_S, made_qvh, moments, qvh_answers, qvh_question, spans
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics import caption_rules
from workflow_scripts.lib.metrics.clip_saliency import ClipScores
from workflow_scripts.lib.metrics.errors import BadReference, EmptyPrediction, MissingScore
from workflow_scripts.lib.metrics.questions import Captions, Moments, Rankings, Spans, Steps
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, apply_rules, metric_names
from workflow_scripts.lib.metrics.scored import Options

OF_MOMENTS = [name for name, rules in RULE_SETS.items() if rules.task == "moments"]
OF_STEPS = [name for name, rules in RULE_SETS.items() if rules.task == "steps"]
FAST = [*OF_MOMENTS, *OF_STEPS, "hirest_videos"]
"""Rule sets without Java."""


@dataclass(frozen=True)
class Pair:
    """A question with answers to it."""

    question: Any
    answers: Any

    def rows(self, chosen) -> "Pair":
        places = np.array(chosen, dtype=int)
        return Pair(self.question.rows(places), self.answers.rows(places))


def metrics(rules: str, pair: Pair, options: Options | None = None) -> dict[str, float]:
    return apply_rules(rules, pair.question, pair.answers, options or Options()).metrics


# Made questions, one kind per task, with answers of all qualities.

grid_spans = st.builds(
    lambda start, length: [2.0 * start, min(2.0 * (start + length), DURATION_S)], st.integers(0, 74), st.integers(1, 75)
)
scored_spans = st.builds(lambda span, score: [*span, score], grid_spans, st.floats(0, 1))
names = st.sampled_from([f"{letter}.mp4" for letter in "abcdefgh"])


@st.composite
def made_moments(draw) -> Pair:
    n = draw(st.integers(1, 6))
    annotated = [draw(st.lists(grid_spans, min_size=1, max_size=3)) for _ in range(n)]
    return Pair(moments(annotated), spans([draw(st.lists(scored_spans, min_size=1, max_size=12)) for _ in range(n)]))


@st.composite
def made_steps(draw) -> Pair:
    n = draw(st.integers(1, 5))
    ids = [f"q{i}" for i in range(n)]
    annotated = [sorted(draw(st.lists(grid_spans, min_size=1, max_size=4))) for _ in ids]
    predicted = [draw(st.lists(grid_spans, max_size=5)) for _ in ids]
    return Pair(Steps(ids, ids, annotated), Steps(ids, ids, predicted))


@st.composite
def made_videos(draw) -> Pair:
    n = draw(st.integers(1, 4))
    ids = [f"prompt {i}" for i in range(n)]
    ranked = [draw(st.lists(names, min_size=1, max_size=8, unique=True)) for _ in ids]
    scores = [[draw(st.sampled_from([0.0, 0.5, 1.0])) for _ in videos] for videos in ranked]
    wanted = [draw(st.lists(names, min_size=1, max_size=3, unique=True)) for _ in ids]
    return Pair(Rankings(ids, wanted), Rankings(ids, ranked, scores))


MADE = {"moments": made_moments(), "steps": made_steps(), "videos": made_videos()}


def perfect(rules: str, pair: Pair) -> Pair:
    """Return the question with what is annotated as the answer, and one annotated moment per query."""
    question = pair.question
    if isinstance(question, Moments):
        question = replace(question, targets=question.targets.head(1))
        found = question.targets
        return Pair(question, Spans(replace(found, scores=np.ones(found.spans.shape[:2]))))
    if isinstance(question, Steps):
        if rules == "hirest_steps_raw":
            return Pair(question, Steps(question.ids, question.ids, question.bounds))
        # The published preparation drops steps at the ends of the moment, and fills it with one if none is left.
        question = replace(question, bounds=[steps[:1] for steps in question.bounds])
        return Pair(question, Steps(question.ids, question.ids, [[] for _ in question.ids]))
    return Pair(question, Rankings(question.ids, question.videos, [[1.0] * len(v) for v in question.videos]))


@pytest.mark.parametrize("rules", FAST)
@given(data=st.data())
@hypothesis_settings(max_examples=25)
def test_the_order_of_the_queries_changes_no_number(rules, data):
    pair = data.draw(MADE[RULE_SETS[rules].task])
    order = data.draw(st.permutations(range(len(pair.question.ids))))
    assert metrics(rules, pair.rows(order)) == pytest.approx(metrics(rules, pair))


@pytest.mark.parametrize("rules", FAST)
@given(data=st.data())
@hypothesis_settings(max_examples=15)
def test_asking_everything_twice_changes_no_number_and_all_numbers_are_percentages(rules, data):
    pair = data.draw(MADE[RULE_SETS[rules].task])
    found = metrics(rules, pair)
    assert metrics(rules, pair.rows([*range(len(pair.question.ids))] * 2)) == pytest.approx(found)
    assert found
    assert all(0 <= value <= 100 for value in found.values())


@pytest.mark.parametrize("rules", FAST)
@given(data=st.data())
@hypothesis_settings(max_examples=25)
def test_a_perfect_answer_gives_100_and_nothing_beats_it(rules, data):
    pair = data.draw(MADE[RULE_SETS[rules].task])
    best = perfect(rules, pair)
    rule_set, found = RULE_SETS[rules], metrics(rules, perfect(rules, pair))
    for name, value in found.items():
        assert value == pytest.approx(100.0 if rule_set.is_higher_better(name) else 0.0), name
    for name, value in metrics(rules, Pair(best.question, pair.answers)).items():
        assert value <= found[name] + 1e-9 if rule_set.is_higher_better(name) else value >= found[name], name


@pytest.mark.parametrize("rules", FAST)
@given(data=st.data())
@hypothesis_settings(max_examples=25)
def test_a_higher_threshold_lowers_no_metric_and_a_higher_rank_raises_none(rules, data):
    pair = data.draw(MADE[RULE_SETS[rules].task])
    found = metrics(rules, pair, Options(thresholds=(0.1, 0.3, 0.5, 0.7, 0.9)))
    families: dict[str, list[tuple[float, float]]] = {}
    for name, value in found.items():
        family, at, level = name.partition("@")
        if at:
            families.setdefault(family, []).append((float(level), value))
    is_rank = RULE_SETS[rules].task == "videos"
    for levels in families.values():
        values = [value for _, value in sorted(levels)]
        assert values == sorted(values, reverse=not is_rank)
    for name, value in found.items():
        if name.startswith("R5@"):
            assert value >= found[name.replace("R5", "R1")]


# Exactly on a threshold: answers and moments on the 2 s and 1 s grids of real annotations.

ON_THRESHOLD = {
    0.5: ([[0, 10]], [[0, 20]]),
    0.7: ([[0, 7]], [[0, 10]]),
}
HITS_ON_THRESHOLD = {
    "span_index": {"R1@0.5": True, "R1@0.7": True},
    "2d_tan_strict": {"R1@0.5": False, "R1@0.7": False, "R5@0.5": False, "R5@0.7": False},
    "mmn_float32": {"R1@0.5": True, "R1@0.7": True, "R5@0.5": True, "R5@0.7": True},
    "qvhighlights": {"R1@0.5": True, "R1@0.7": True, "mAP@0.5": True},
    "lighthouse": {"R1@0.5": True, "R1@0.7": True, "mAP@0.5": True},
    "calce": {"R1@0.5": True, "R1@0.7": True, "mAP@0.5": True},
    "hirest_moments": {"R@0.5": False, "R@0.7": False},
    "hirest_steps": {},
    "hirest_steps_raw": {f"{side}@{t}": False for side in ("recall", "precision") for t in (0.5, 0.7)},
}


@pytest.mark.parametrize("rules", [*OF_MOMENTS, *OF_STEPS])
def test_an_overlap_on_the_threshold_hits_or_misses_as_in_the_published_code(rules):
    for name, is_hit in HITS_ON_THRESHOLD[rules].items():
        predicted, annotated = ON_THRESHOLD[float(name.partition("@")[2])]
        pair = Pair(moments([annotated]), spans([[[*span, 1.0] for span in predicted]]))
        if RULE_SETS[rules].task == "steps":
            pair = Pair(Steps(["q0"], ["v0"], [annotated]), Steps(["q0"], ["v0"], [predicted]))
        assert metrics(rules, pair)[name] == (100.0 if is_hit else 0.0), name


def test_hirest_hits_where_the_quotient_is_the_threshold():
    # 1e-8 in the denominator keeps a half from being 0.5, but is lost beside a union of 1e9 s.
    long_s = 1e9
    pair = Pair(moments([[[0.0, long_s]]], [long_s]), spans([[[0.0, long_s / 2]]]))
    assert metrics("hirest_moments", pair) == {"R@0.5": 100.0, "R@0.7": 0.0}


def test_steps_on_the_threshold_are_not_covered():
    # Steps are covered above the threshold only, which a union of 1e9 s reaches exactly, see above.
    long_s = 1e9
    pair = Pair(Steps(["q0"], ["v0"], [[[0.0, long_s]]]), Steps(["q0"], ["v0"], [[[0.0, long_s / 2]]]))
    assert set(metrics("hirest_steps_raw", pair).values()) == {0.0}


@pytest.mark.parametrize("rules", ["qvhighlights", "calce"])
def test_official_recalls_count_an_overlap_on_the_threshold(rules):
    predicted, annotated = ON_THRESHOLD[0.5]
    official = apply_rules(
        rules, moments([annotated]), spans([[[*span, 1.0] for span in predicted]]), Options()
    ).official
    recall = official["R1"] if rules == "calce" else official["full"]["MR-R1"]
    assert (recall["0.5"], recall["0.55"]) == (100.0, 0.0)
    if rules == "calce":
        assert official["R1_avg"] == 10.0


def test_the_average_recall_of_calce_counts_overlaps_on_all_ten_thresholds():
    annotated = [[[0, 20]]] * 10
    predicted = [[[0, length]] for length in range(10, 20)]
    assert metrics("calce", Pair(moments(annotated), spans(predicted)))["R1-avg"] == pytest.approx(55.0)


# Names


def of_every_kind(rules: str) -> Pair:
    """Return a question with everything that a rule set can score."""
    if "highlights" in RULE_SETS[rules].also:
        predictions, annotations = made_qvh(30)
        question = qvh_question(annotations)
        return Pair(question, qvh_answers(predictions, question))
    task = RULE_SETS[rules].task
    if task == "captions":
        ids = ["a", "b"]
        question = Captions(ids, ids, [["a man sings"], ["a dog runs", "the dog"]])
        return Pair(question, Captions(ids, ids, [["a man is singing"], ["a dog"]]))
    if task == "steps":
        return Pair(*(Steps(["a"], ["a"], [[[0.0, 9.0], [9.0, 20.0]]]) for _ in range(2)))
    if task == "videos":
        return Pair(Rankings(["p"], [["a"]]), Rankings(["p"], [["b", "a"]], [[0.5, 0.1]]))
    return Pair(moments([[[0, 10]]]), spans([[[0, 8, 1.0]]]))


@pytest.mark.parametrize("rules", RULE_SETS)
@pytest.mark.parametrize("thresholds", [(0.3, 0.5, 0.7), (0.1, 0.5, 0.65)])
def test_the_metrics_known_beforehand_are_those_that_are_computed(rules, thresholds, monkeypatch):
    options = Options(thresholds=thresholds)
    if RULE_SETS[rules].task == "captions":
        options = replace(options, also=("SPICE", "BERTScore"))
        made = {metric: lambda texts: np.full(len(texts.captions), 0.5) for metric in options.also}
        monkeypatch.setattr(caption_rules, "make_scorers", lambda *_: made)
    pair = of_every_kind(rules)
    assert metric_names(rules, options) == tuple(metrics(rules, pair, options))


@pytest.mark.parametrize("rules", RULE_SETS)
def test_what_a_rule_set_says_of_itself_is_among_its_metrics(rules):
    rule_set = RULE_SETS[rules]
    known = metric_names(rules, Options(thresholds=(0.1, 0.3, 0.5, 0.7, 0.9), also=("SPICE", "BERTScore", "CLIPScore")))
    assert {rule_set.headline, rule_set.group_metric} <= set(known)
    assert set(known) & set(rule_set.columns)
    assert rule_set.headline in rule_set.columns
    assert set(rule_set.options) <= set(Options.__dataclass_fields__)
    assert (rule_set.first is not None) == (rule_set.task == "moments")
    assert rule_set.is_higher_better(rule_set.headline) == (rule_set.direction == "max")


def test_only_the_share_of_unreadable_answers_is_better_when_it_is_lower():
    lower = {
        (name, metric)
        for name, rule_set in RULE_SETS.items()
        for metric in metric_names(name, Options())
        if not rule_set.is_higher_better(metric)
    }
    assert lower == {("calce", "invalid")}


# What is refused


@pytest.mark.parametrize("rules", FAST)
def test_no_query_and_another_number_of_answers_are_refused(rules):
    pair = of_every_kind(rules)
    for question, answers in ((pair.rows([]), pair.rows([])), (pair.rows([0]), pair.rows([0, 0]))):
        with pytest.raises(BadReference, match="one or more"):
            apply_rules(rules, question.question, answers.answers, Options())


@pytest.mark.parametrize("rules", OF_MOMENTS)
def test_windows_without_scores_are_refused_where_they_are_ranked_by_them(rules):
    pair = Pair(moments([[[0, 10]]]), spans([[[0, 10]]]))
    if RULE_SETS[rules].needs_scores:
        with pytest.raises(MissingScore, match=rules):
            metrics(rules, pair)
    else:
        assert metrics(rules, pair)[RULE_SETS[rules].headline] == 100.0
    nothing = metrics(rules, Pair(pair.question, spans([[]])))
    assert set(nothing.values()) == {0.0}


@pytest.mark.parametrize("rules", [name for name in OF_MOMENTS if name not in ("qvhighlights", "lighthouse")])
def test_saliency_without_windows_is_refused_where_only_moments_are_scored(rules):
    clips = ClipScores(np.ones((1, 2)), np.zeros(1, np.int64), np.ones(1, bool), np.zeros(1, bool))
    with pytest.raises(EmptyPrediction, match="only saliency"):
        apply_rules(rules, moments([[[0, 5]]]), Spans(None, clips), Options())


def test_scorers_are_made_before_anything_is_computed(monkeypatch):
    pair = of_every_kind("captions")
    monkeypatch.setattr("workflow_scripts.lib.metrics.captions.tokenized", None)
    for models in ({}, {"SPICE": (Path("nowhere.zip"),)}):
        with pytest.raises(UserError, match=r"SPICE: .*its model"):
            metrics("captions", pair, Options(also=("SPICE",), models=models))
