"""The rule sets: which published evaluator a number follows, by name.

A rule set takes questions and answers (`questions`) and gives one value per query and metric, whose mean is the number
that is reported. `apply_rules` is where every reported number comes from; the numbers themselves are computed by the
module of the evaluator.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from workflow_scripts.lib.metrics import calce, caption_rules, hirest, qvhighlights, ranked_spans, span_index, window_ap
from workflow_scripts.lib.metrics.errors import BadReference, MissingScore
from workflow_scripts.lib.metrics.first_span import FirstSpan
from workflow_scripts.lib.metrics.questions import Answers, Question, Spans
from workflow_scripts.lib.metrics.scored import Options, Scored

Task = Literal["moments", "steps", "captions", "videos"]
LOWER_IS_BETTER = ("invalid",)
"""The metrics of which less is better."""
_GRID = tuple(round(0.05 * i, 2) for i in range(1, 20))


def _recalls(*ranks: int) -> tuple[str, ...]:
    """Return the recalls of ranks at every threshold that a benchmark may choose."""
    return tuple(f"R{rank}@{t}" for rank in ranks for t in _GRID)


@dataclass(frozen=True)
class RuleSet:
    """A published way to score.

    Attributes
    ----------
    task : what it scores
    view : of the annotated moments (`datasets.schema.VIEWS`)
    source : repository and file
    score : (question, answers, Options) -> Scored
    names : Options -> the metrics that it can give
    headline : the metric that stands for all
    columns : metrics that a table or report draws, in their order; those that the options do not give are passed over
    group_metric : the metric that is drawn for every group of queries
    options : names of the fields of Options that it heeds
    direction : whether the headline is better when it is higher (`max`) or lower (`min`)
    also : further tasks that it scores with the first
    about_steps : whether its captions are about annotated steps, not whole videos
    needs_scores : whether predicted windows are ranked by a score
    keeps_unreadable : whether an answer that could not be read counts as a window that hits nothing
    first : Options -> how it judges the first span of a query; None where it scores no moments
    """

    task: Task
    view: str
    source: str
    score: Callable[[Any, Any, Options], Scored]
    names: Callable[[Options], tuple[str, ...]]
    headline: str
    columns: tuple[str, ...]
    group_metric: str
    options: tuple[str, ...] = ()
    direction: Literal["max", "min"] = "max"
    also: tuple[str, ...] = ()
    about_steps: bool = False
    needs_scores: bool = False
    keeps_unreadable: bool = False
    first: Callable[[Options], FirstSpan] | None = None

    def is_higher_better(self, metric: str) -> bool:
        """Return whether more of a metric of this rule set is better."""
        return self.direction == "max" if metric == self.headline else metric not in LOWER_IS_BETTER


def _ranked(rule: ranked_spans.Rule, view: str, source: str) -> RuleSet:
    return RuleSet(
        "moments",
        view,
        source,
        score=partial(ranked_spans.score, rule),
        names=ranked_spans.metric_names,
        headline="R1@0.5",
        columns=(*_recalls(1, 5), "mIoU"),
        group_metric="R1@0.5",
        options=("clip", "thresholds", "nms_threshold"),
        needs_scores=True,
        first=lambda options: rule.first,
    )


def _qvhighlights(length_ranges: qvhighlights.LengthRanges, source: str) -> RuleSet:
    return RuleSet(
        "moments",
        "raw",
        source,
        score=partial(qvhighlights.score, length_ranges),
        names=qvhighlights.metric_names,
        headline="mAP",
        columns=(*window_ap.MOMENT_METRICS, *qvhighlights.HIGHLIGHT_METRICS),
        group_metric="R1@0.5",
        options=("clip", "empty_windows", "match_number"),
        also=("highlights",),
        needs_scores=True,
        first=lambda options: window_ap.FIRST[options.empty_windows],
    )


def _hirest_steps(is_prepared: bool, source: str) -> RuleSet:
    return RuleSet(
        "steps",
        "raw",
        source,
        score=partial(hirest.score_steps, is_prepared),
        names=hirest.step_names,
        headline="recall@0.5",
        columns=hirest.step_names(Options()),
        group_metric="recall@0.5",
        options=("reversed",),
    )


def _captions(is_hirest: bool, source: str) -> RuleSet:
    return RuleSet(
        "captions",
        "raw",
        source,
        score=partial(caption_rules.score, is_hirest),
        names=caption_rules.metric_names,
        headline="CIDEr",
        columns=("Bleu_4", "METEOR", "ROUGE_L", "CIDEr", "SPICE", "BERTScore", "CLIPScore"),
        group_metric="CIDEr",
        options=("also",),
        about_steps=is_hirest,
    )


_HIREST = "j-min/HiREST evaluate.py"
_CAPTIONS = "pycocoevalcap 1.2"
RULE_SETS: dict[str, RuleSet] = {
    "span_index": RuleSet(
        "moments",
        "clip",
        "HuiGuanLab/IMG, hlchen23/ADPN-MM, 26hzhang/VSLNet",
        score=span_index.score,
        names=span_index.metric_names,
        headline="R1@0.5",
        columns=(*_recalls(1), "mIoU"),
        group_metric="R1@0.5",
        options=("clip", "thresholds"),
        first=lambda options: span_index.FIRST,
    ),
    "2d_tan_strict": _ranked(ranked_spans.TAN, "clip_drop", "microsoft/2D-TAN lib/core/eval.py"),
    "mmn_float32": _ranked(ranked_spans.MMN, "clip", "MCG-NJU/MMN and xian-sh/MRNet evaluation.py"),
    "qvhighlights": _qvhighlights(qvhighlights.LENGTH_RANGES, "jayleicn/moment_detr standalone_eval/eval.py"),
    "lighthouse": _qvhighlights(
        qvhighlights.LIGHTHOUSE_RANGES, "line/lighthouse (as QVHighlights, one range of lengths)"
    ),
    "calce": RuleSet(
        "moments",
        "raw",
        "tjhd1475/CALCE lavis/tasks/mr_eval.py",
        score=calce.score,
        names=calce.metric_names,
        headline="R1-avg",
        columns=("R1@0.5", "R1@0.7", "R1-avg", "mIoU", "mAP@0.5", "mAP@0.75", "mAP", "invalid"),
        group_metric="R1@0.5",
        keeps_unreadable=True,
        options=("clip", "empty_windows"),
        first=lambda options: window_ap.FIRST[options.empty_windows],
    ),
    "hirest_moments": RuleSet(
        "moments",
        "raw",
        _HIREST,
        score=hirest.score_moments,
        names=hirest.moment_names,
        headline="R@0.5",
        columns=hirest.moment_names(Options()),
        group_metric="R@0.5",
        options=("clip", "reversed"),
        first=lambda options: hirest.FIRST,
    ),
    "hirest_steps": _hirest_steps(True, f"{_HIREST}, with its boundary preprocessing"),
    "hirest_steps_raw": _hirest_steps(False, f"{_HIREST}, without boundary preprocessing"),
    "hirest_captions": _captions(True, f"{_HIREST}; {_CAPTIONS}"),
    "hirest_videos": RuleSet(
        "videos",
        "raw",
        _HIREST,
        score=hirest.score_videos,
        names=hirest.video_names,
        headline="R@1",
        columns=hirest.video_names(Options()),
        group_metric="R@1",
    ),
    "captions": _captions(False, _CAPTIONS),
}
"""Name -> rule set."""


def metric_names(name: str, options: Options) -> tuple[str, ...]:
    """Return every metric that a rule set can give under these options, of all its tasks.

    Parameters
    ----------
    name : of the rule set
    options : Options
    """
    return RULE_SETS[name].names(options)


def apply_rules(name: str, question: Question, answers: Answers, options: Options) -> Scored:
    """Score answers to the same queries in the same order.

    Parameters
    ----------
    name : of the rule set
    question : of the rule set's task
    answers : Spans for Moments, else of the question's type
    options : Options

    Raises
    ------
    DataError
        Its subclasses, see `errors`; e.g. MissingScore if the rule set ranks by scores and there are none.
    BadReference
        If there is no query, or the answers are not as many as the queries.
    """
    rules = RULE_SETS[name]
    _require_one_answer_each(question, answers)
    windows = answers.windows if isinstance(answers, Spans) else None
    if rules.needs_scores and windows is not None and not windows.is_ranked:
        raise MissingScore(f"the rule set {name} ranks windows by their scores and there are none")
    return rules.score(question, answers, options)


def _require_one_answer_each(question: Question, answers: Answers) -> None:
    counts = {len(question.ids)}
    if isinstance(answers, Spans):
        counts |= {len(windows.counts) for windows in (answers.windows,) if windows is not None}
        counts |= {len(clips.best_clip) for clips in (answers.clips,) if clips is not None}
    else:
        counts.add(len(answers.ids))
    if len(counts) > 1 or 0 in counts:
        raise BadReference(f"one answer is needed for each of one or more queries; there are {sorted(counts)} of both")
