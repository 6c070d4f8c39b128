"""The rule sets: which published evaluator a number follows, by name.

A rule set takes questions and answers (`questions`) and gives one value per query and metric, whose mean is the number
that is reported. The numbers themselves come from the module of the evaluator.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from workflow_scripts.lib.metrics import calce, captions, hirest, qvhighlights, ranked_spans, span_index
from workflow_scripts.lib.metrics.errors import Caution, MissingScore
from workflow_scripts.lib.metrics.questions import Captions, Moments, Rankings, Spans, Steps
from workflow_scripts.lib.metrics.step_boundaries import prepare_steps
from workflow_scripts.lib.metrics.windows import window_cautions

LENGTHS = {"short": (0.0, 10.0), "middle": (10.0, 30.0), "long": (30.0, np.inf)}
"""Lengths of annotated moments in seconds, (above, up to)."""
NAMED_BY_THRESHOLD = (0.5, 0.75)


@dataclass(frozen=True)
class Options:
    """What a benchmark chooses within a rule set.

    Attributes
    ----------
    thresholds : IoUs of R1 and R5
    nms_threshold : IoU above which the span with the lower score is dropped
    clip : cut predicted windows to the video first
    """

    thresholds: Sequence[float] = (0.3, 0.5, 0.7)
    nms_threshold: float = 0.5
    clip: bool = False


@dataclass(frozen=True)
class Scored:
    """What a rule set says.

    Attributes
    ----------
    per_query : metric -> float64 (N,), shares; NaN where a query does not belong to the metric. The mean times 100 is
        the number.
    corpus : metric -> number in percent that is no mean over queries (BLEU, METEOR)
    lengths : range of lengths of moments -> metric -> float64 (N,) as in `per_query`
    official : the numbers as the published evaluator writes them; empty if it writes `metrics`
    cautions : what looked odd
    """

    per_query: Mapping[str, np.ndarray]
    corpus: Mapping[str, float] = field(default_factory=dict)
    lengths: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)
    official: Mapping[str, Any] = field(default_factory=dict)
    cautions: tuple[Caution, ...] = ()

    @property
    def metrics(self) -> dict[str, float]:
        """Every number, in percent."""
        return {name: self.corpus.get(name, percent(values)) for name, values in self.per_query.items()}


@dataclass(frozen=True)
class RuleSet:
    """A published way to score.

    Attributes
    ----------
    task : what it scores
    view : of the annotated moments (`datasets.schema.VIEWS`)
    source : repository and file
    score : (question, answers, Options) -> Scored
    needs_scores : whether predicted windows are ranked by a score
    also : further tasks that it scores beside the first
    about_steps : whether captions are those of steps, not of videos
    keeps_unreadable : whether an answer that could not be read counts as a window that hits nothing
    """

    task: str
    view: str
    source: str
    score: Callable[[Any, Any, Options], Scored]
    needs_scores: bool = False
    also: tuple[str, ...] = ()
    about_steps: bool = False
    keeps_unreadable: bool = False
    headline: str = "R1@0.5"

    def direction_of(self, metric: str) -> str:
        return "max"


def percent(values: np.ndarray) -> float:
    """Return the mean of the values that are there, times 100."""
    return float(values[~np.isnan(values)].mean() * 100)


def _by_length(question: Moments, per_query: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return the values again for each range of lengths of the (first) annotated moment."""
    length = question.targets.spans[:, 0, 1] - question.targets.spans[:, 0, 0]
    lengths = {}
    for name, (above, up_to) in LENGTHS.items():
        is_member = (length > above) & (length <= up_to)
        if is_member.any():
            lengths[name] = {metric: np.where(is_member, values, np.nan) for metric, values in per_query.items()}
    return lengths


def _hits(iou: np.ndarray, thresholds: Sequence[float]) -> dict[str, np.ndarray]:
    return {f"R1@{t}": (iou >= t).astype(np.float64) for t in thresholds} | {"mIoU": iou}


def _span_index(question: Moments, answers: Spans, options: Options) -> Scored:
    predicted = answers.windows.clipped(question.durations_s) if options.clip else answers.windows
    cautions = window_cautions(question.ids, predicted, question.durations_s)
    iou = span_index.hull_iou(predicted.spans[:, 0], question.targets.spans[:, 0])
    per_query = _hits(np.where(predicted.counts > 0, iou, 0.0), options.thresholds)
    return Scored(per_query, lengths=_by_length(question, per_query), cautions=cautions)


def _ranked(rule: ranked_spans.Rule, question: Moments, answers: Spans, options: Options) -> Scored:
    predicted = answers.windows.clipped(question.durations_s) if options.clip else answers.windows
    # Candidates are float32 products of a grid: the last one may end a rounding error after the video.
    cautions = window_cautions(question.ids, predicted, question.durations_s * (1 + 1e-6))
    scores = ranked_spans.evaluate(
        question.ids, predicted, question.targets.spans[:, 0], rule, options.nms_threshold, options.thresholds
    )
    per_query = {
        f"R{rank}@{t}": ranked_spans.recall(scores.iou, rank, t, rule).astype(np.float64)
        for rank in ranked_spans.RANKS
        for t in options.thresholds
    }
    per_query["mIoU"] = scores.per_query["IoU"]
    return Scored(per_query, lengths=_by_length(question, per_query), cautions=cautions + scores.cautions)


def _moment_columns(columns: Mapping[str, np.ndarray], thresholds: Sequence[float]) -> dict[str, np.ndarray]:
    iou = columns["IoU"]
    hits = {f"R1@{t}": np.where(np.isnan(iou), np.nan, iou >= t) for t in thresholds}
    precision = {f"mAP@{t}": columns[f"AP@{t}"] for t in NAMED_BY_THRESHOLD}
    return hits | {"mIoU": iou} | precision | {"mAP": columns["AP"]}


def _qvhighlights(
    length_ranges: Mapping[str, tuple[float, float] | None], question: Moments, answers: Spans, options: Options
) -> Scored:
    moments = None if answers.windows is None else (answers.windows, question.targets)
    saliency = None if answers.clips is None or question.ratings is None else (answers.clips, question.ratings)
    found = qvhighlights.score(
        question.ids, question.durations_s, moments, saliency, clip=options.clip, length_ranges=length_ranges
    )
    lengths = {name: _moment_columns(columns, (0.5, 0.7)) for name, columns in found.per_range.items()}
    per_query = lengths.pop("full", {})
    if saliency is not None:
        per_query |= {
            "HL-mAP": found.per_query["HL-AP-VeryGood"],
            "HL-HIT@1": found.per_query["HL-Hit1-VeryGood"],
        }
    return Scored(per_query, lengths=lengths, official=found.official, cautions=found.cautions)


def _calce(question: Moments, answers: Spans, options: Options) -> Scored:
    found = calce.score(question.ids, answers.windows, question.targets, question.durations_s, clip=options.clip)
    per_query = _moment_columns(found.per_query, (0.5, 0.7))
    iou = found.per_query["IoU"]
    per_query["R1-avg"] = np.mean([iou >= t for t in calce.THRESHOLDS], axis=0)
    per_query["invalid"] = found.per_query["is_invalid"].astype(np.float64)
    return Scored(per_query, official=found.official, cautions=found.cautions)


def _hirest_moments(question: Moments, answers: Spans, options: Options) -> Scored:
    predicted = answers.windows.clipped(question.durations_s) if options.clip else answers.windows
    cautions = window_cautions(question.ids, predicted, question.durations_s)
    overlap = hirest.iou(predicted.spans[:, 0], question.targets.spans[:, 0])
    overlap = np.where(predicted.counts > 0, overlap, 0.0)
    per_query = {f"R@{t}": (overlap >= t).astype(np.float64) for t in hirest.THRESHOLDS}
    return Scored(per_query, lengths=_by_length(question, per_query), cautions=cautions)


def _hirest_steps(is_prepared: bool, question: Steps, answers: Steps, options: Options) -> Scored:
    predicted = dict(zip(answers.ids, answers.bounds, strict=True))
    annotated = dict(zip(question.ids, question.bounds, strict=True))
    if is_prepared:
        predicted = {name: prepare_steps(steps, annotated[name], name) for name, steps in predicted.items()}
    found = hirest.segmentation(
        {name: {"bounds": steps} for name, steps in predicted.items()},
        {name: {"bounds": steps} for name, steps in annotated.items()},
    )
    per_query = {name: values for name, values in found.per_query.items() if name != "query_id"}
    return Scored(per_query, cautions=found.cautions)


def _hirest_videos(question: Rankings, answers: Rankings, options: Options) -> Scored:
    ranked = zip(answers.ids, answers.videos, answers.scores, strict=True)
    found = hirest.video_retrieval(
        {prompt: {"videos": videos, "scores": scores} for prompt, videos, scores in ranked},
        {prompt: dict.fromkeys(videos) for prompt, videos in zip(question.ids, question.videos, strict=True)},
    )
    return Scored({name: values for name, values in found.per_query.items() if name != "query_id"})


def _captions(is_lowered: bool, question: Captions, answers: Captions, options: Options) -> Scored:
    own, references = [texts[0] for texts in answers.texts], question.texts
    if is_lowered:
        own, references = [text.lower() for text in own], [[text.lower() for text in texts] for texts in references]
    found = captions.evaluate(question.ids, own, references)
    per_query = {name: found.per_caption[name] for name in captions.METRICS}
    corpus = {name: value for name, value in found.metrics[captions.ALL].items() if name in NO_MEANS}
    return Scored(per_query, corpus=corpus, cautions=found.cautions)


NO_MEANS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR")
"""Caption metrics whose number is computed from sums over all captions."""

_QVH = "jayleicn/moment_detr standalone_eval/eval.py"
_HIREST = "j-min/HiREST evaluate.py"
RULE_SETS: dict[str, RuleSet] = {
    "span_index": RuleSet("moments", "clip", "HuiGuanLab/IMG, hlchen23/ADPN-MM, 26hzhang/VSLNet", _span_index),
    "2d_tan_strict": RuleSet(
        "moments",
        "clip_drop",
        "microsoft/2D-TAN lib/core/eval.py",
        partial(_ranked, ranked_spans.TAN),
        needs_scores=True,
    ),
    "mmn_float32": RuleSet(
        "moments",
        "clip",
        "MCG-NJU/MMN and xian-sh/MRNet evaluation.py",
        partial(_ranked, ranked_spans.MMN),
        needs_scores=True,
    ),
    "qvhighlights": RuleSet(
        "moments",
        "raw",
        _QVH,
        partial(_qvhighlights, qvhighlights.LENGTH_RANGES),
        needs_scores=True,
        also=("highlights",),
    ),
    "lighthouse": RuleSet(
        "moments",
        "raw",
        "line/lighthouse (as QVHighlights, one range of lengths)",
        partial(_qvhighlights, {"full": (0.0, 1500.0)}),
        needs_scores=True,
        also=("highlights",),
    ),
    "calce": RuleSet("moments", "raw", "tjhd1475/CALCE lavis/tasks/mr_eval.py", _calce, keeps_unreadable=True),
    "hirest_moments": RuleSet("moments", "raw", _HIREST, _hirest_moments),
    "hirest_steps": RuleSet(
        "steps", "raw", f"{_HIREST}, with its boundary preprocessing", partial(_hirest_steps, True)
    ),
    "hirest_steps_raw": RuleSet(
        "steps", "raw", f"{_HIREST}, without boundary preprocessing", partial(_hirest_steps, False)
    ),
    "hirest_captions": RuleSet(
        "captions", "raw", f"{_HIREST}; pycocoevalcap 1.2", partial(_captions, True), about_steps=True
    ),
    "hirest_videos": RuleSet("videos", "raw", _HIREST, _hirest_videos),
    "captions": RuleSet("captions", "raw", "pycocoevalcap 1.2", partial(_captions, False)),
}
"""Name -> rule set."""


def apply_rules(name: str, question: Any, answers: Any, options: Options) -> Scored:
    """Score answers to the same queries in the same order.

    Parameters
    ----------
    name : of the rule set
    question : of the rule set's task
    answers : Spans for Moments, else of the question's type
    options : Options

    Raises
    ------
    PredictionError
        Its subclasses, see `errors`; e.g. MissingScore if the rule set ranks by scores and there are none.
    """
    rules = RULE_SETS[name]
    if rules.needs_scores and answers.windows is not None and answers.windows.scores is None:
        raise MissingScore(f"the rule set {name} ranks windows by their scores and there are none")
    return rules.score(question, answers, options)
