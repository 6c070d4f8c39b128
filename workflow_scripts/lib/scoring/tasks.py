"""The tasks: what each asks of a split, and how its answers are read. Nothing else lists them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workflow_scripts.lib.metrics.questions import Captions, Moments, Question, Rankings, Spans, Steps
from workflow_scripts.lib.metrics.rule_sets import RULE_SETS, RuleSet
from workflow_scripts.lib.predictions.answer_readers import (
    read_captions,
    read_rankings,
    read_saliency,
    read_spans,
    read_steps,
)
from workflow_scripts.lib.predictions.answer_tables import SCHEMAS
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit, step_id

Tables = Mapping[str, pa.Table]


@dataclass(frozen=True)
class Task:
    """What a system may be asked.

    Attributes
    ----------
    schema : of its table of answers
    unannotated : why something that was asked is not scored
    question : (split, rule set) -> what is asked
    read : (table of every task, question, split, rule set) -> the answers
    """

    schema: pa.Schema
    unannotated: str
    question: Callable[[AnnotatedSplit, RuleSet], Question]
    read: Callable[[Tables, Any, AnnotatedSplit, RuleSet], Any]


def _moments(split: AnnotatedSplit, rules: RuleSet) -> Moments:
    return split.moments(rules.view)


def _read_moments(tables: Tables, question: Moments, split: AnnotatedSplit, rules: RuleSet) -> Spans:
    moments, clips = tables["moments"], read_saliency(tables["highlights"], question)
    if not moments.num_rows and clips is not None:
        return Spans(None, clips)
    reversible = "reversed" in rules.options
    spans = read_spans(moments, question, keeps_unreadable=rules.keeps_unreadable, may_be_reversed=reversible)
    return Spans(spans.windows, clips)


def _read_steps(tables: Tables, question: Steps, split: AnnotatedSplit, rules: RuleSet) -> Steps:
    return read_steps(tables["steps"], question)


def _captions(split: AnnotatedSplit, rules: RuleSet) -> Captions:
    return split.step_captions() if rules.about_steps else split.captions()


def _read_captions(tables: Tables, question: Captions, split: AnnotatedSplit, rules: RuleSet) -> Captions:
    if rules.about_steps:
        return read_captions(tables["captions"], question, lambda row: step_id(row["query_id"], row["step_index"]))
    return read_captions(tables["captions"], question, lambda row: row["video_id"])


def _read_rankings(tables: Tables, question: Rankings, split: AnnotatedSplit, rules: RuleSet) -> Rankings:
    return read_rankings(tables["videos"], question, split.prompts(), split.source_names())


TASKS: dict[str, Task] = {
    "moments": Task(SCHEMAS["moments"], "no annotated moment", _moments, _read_moments),
    # Clips are rated for queries with moments, and both are scored together.
    "highlights": Task(SCHEMAS["highlights"], "no rated clip", _moments, _read_moments),
    "steps": Task(SCHEMAS["steps"], "no annotated step", lambda split, rules: split.steps(), _read_steps),
    "captions": Task(SCHEMAS["captions"], "no reference caption", _captions, _read_captions),
    "videos": Task(SCHEMAS["videos"], "no annotated video", lambda split, rules: split.rankings(), _read_rankings),
}
"""Name -> task."""


def tasks_of(rules: RuleSet) -> tuple[str, ...]:
    """Return the tasks that a rule set scores, one of which has to be answered."""
    return (rules.task, *rules.also)


def rule_sets_of(task: str) -> list[str]:
    """Return the rule sets that score a task."""
    return [name for name, rules in RULE_SETS.items() if task in tasks_of(rules)]


def ask(split: AnnotatedSplit, tables: Tables, rules: RuleSet) -> tuple[Question, Any]:
    """Return what a rule set asks of a split, as far as it was put to the system, and the system's answers.

    Parameters
    ----------
    split : annotated
    tables : task -> the answers of one variant; what they do not mention was not asked (a lost video, for example)

    Raises
    ------
    NothingAnnotated
        If nothing of the kind is annotated for what was asked.
    PredictionError
        Its other subclasses, if answers are missing or broken.
    """
    task, asked = TASKS[rules.task], _asked(split, tables, rules)
    question = task.question(asked, rules)
    return question, task.read(tables, question, asked, rules)


def _asked(split: AnnotatedSplit, tables: Tables, rules: RuleSet) -> AnnotatedSplit:
    """Return the part of a split that has answers."""
    chosen = pa.concat_tables([tables[task].select(["query_id", "video_id"]) for task in tasks_of(rules)])
    if rules.task == "captions":
        # Rows with a query describe its steps, the others a whole video.
        has_query = pc.not_equal(chosen["query_id"], "")
        chosen = chosen.filter(has_query if rules.about_steps else pc.invert(has_query))
    queries = set(chosen["query_id"].unique().to_pylist())
    if rules.task == "videos":
        # The queries of one prompt are asked together, by the first of them.
        prompts = split.prompts()
        texts = {prompts[query] for query in queries & prompts.keys()}
        queries = {query for query, text in prompts.items() if text in texts}
    return split.only(queries, chosen["video_id"].unique().to_pylist())
