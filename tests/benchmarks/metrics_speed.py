"""Times the evaluators beside plain loops over the same rules: `python -m tests.benchmarks.metrics_speed`.

Made-up predictions of the size of the benchmarks: QVHighlights val (1,550 queries, 10 windows, 75 clips) and
ActivityNet Captions val_2 (17,031 queries, 100 candidates). The published QVHighlights script needs about 21 s for
this (eight workers on two cores). The evaluators use one thread: they make no matrix products. The same ActivityNet
predictions are scored as `evaluate` reads them (a table) and as `evaluate_external` does (a file), each in a process of
its own, whose largest memory is printed. Last, the search for the best constant span under several rule sets.
"""

import json
import logging
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.unit.made_predictions import made_candidates, made_qvh, moments, qvh_answers, qvh_question
from tests.unit.plain_metrics import plain_qvh, plain_ranked
from workflow_scripts.lib.datasets.schema import TABLES
from workflow_scripts.lib.metrics.baselines import constant_span
from workflow_scripts.lib.metrics.questions import Spans
from workflow_scripts.lib.metrics.ranked_spans import MMN, TAN
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options
from workflow_scripts.lib.predictions.answer_tables import SCHEMAS, answers_path, read_answers
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.scoring.results import Result
from workflow_scripts.lib.scoring.run import score_run
from workflow_scripts.lib.scoring.submissions import Leniency, read_submission
from workflow_scripts.lib.store.tables import write_table

QVH_QUERIES = 1550
QVH_OFFICIAL_S = 21.0
RANKED_QUERIES, CANDIDATES = 17_031, 100
LOOP_QUERIES = 300
"""Queries of the plain loop over candidates; its time is scaled up."""


def timed(function: Callable[[], Any], n_runs: int = 3) -> float:
    """Return the shortest of some runs, in seconds of the processor."""
    times = []
    for _ in range(n_runs):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def peak_mb() -> float:
    """Return the largest memory that this process had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured() -> Iterator[Figure]:
    predictions, annotations = made_qvh(QVH_QUERIES)
    question = qvh_question(annotations)
    answers = qvh_answers(predictions, question)
    fast_s = timed(lambda: apply_rules("qvhighlights", question, answers, Options()))
    loop_s = timed(lambda: plain_qvh(predictions, annotations), 1)
    what = f"evaluation of QVHighlights, {QVH_QUERIES:,} queries x 10 windows"
    yield Figure(f"{what}: processor time", fast_s, "s")
    yield Figure(f"{what}: a plain loop over it", loop_s / fast_s, "x", "larger")
    print(f"the published script needs {QVH_OFFICIAL_S:.0f} s ({QVH_OFFICIAL_S / fast_s:.0f} x)")
    candidates, reference = made_candidates(RANKED_QUERIES, CANDIDATES)
    single = moments(reference[:, None], [240.0] * RANKED_QUERIES)
    some = candidates.rows(np.arange(LOOP_QUERIES))
    for name, rule in (("2d_tan_strict", TAN), ("mmn_float32", MMN)):
        fast_s = timed(lambda name=name: apply_rules(name, single, Spans(candidates), Options()), 1)
        loop_s = timed(lambda rule=rule: plain_ranked(some.spans, reference[:LOOP_QUERIES], rule, 0.5), 1)
        loop_s *= RANKED_QUERIES / LOOP_QUERIES
        what = f"R@1, R@5, mIoU ({rule.name}), {RANKED_QUERIES:,} queries x {CANDIDATES} candidates"
        yield Figure(f"{what}: processor time", fast_s, "s")
        yield Figure(
            f"{what}: a plain loop over it, scaled up from {LOOP_QUERIES} queries", loop_s / fast_s, "x", "larger"
        )
    yield Figure("evaluation of all of these: memory", peak_mb(), "MB")
    with tempfile.TemporaryDirectory() as folder:
        in_own_process(write_files, Path(folder))
        for name, function in (("tables of answers", score_table), ("a file of JSON lines", score_file)):
            seconds, memory = in_own_process(function, Path(folder))
            what = f"R@1, R@5, mIoU ({MMN.name}) from {name}, with reading and 95 % intervals"
            yield Figure(f"{what}: processor time", seconds, "s")
            yield Figure(f"{what}: memory", memory, "MB")
    for name, asked in (("span_index", single), ("mmn_float32", single), ("qvhighlights", question)):
        seconds = timed(lambda name=name, asked=asked: constant_span(name, asked, Options()), 1)
        what = f"the best constant span by {name}, {len(asked.ids):,} queries"
        yield Figure(f"{what}: processor time", seconds, "s")


def main() -> int:
    args = benchmark_parser(__doc__).parse_args()
    logging.disable(logging.WARNING)
    return tell(measured(), args.json)


def in_own_process(function: Callable[[Any], float], argument: Any) -> tuple[float, float]:
    """Run a function that returns seconds in a fresh process; return these and its largest memory, MB."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, argument).result(), pool.submit(peak_mb).result()


def write_files(folder: Path) -> float:
    """Write canonical tables, a table of predictions and a file of predictions."""
    candidates, reference = made_candidates(RANKED_QUERIES, CANDIDATES)
    numbers = np.arange(RANKED_QUERIES)
    ids = [f"anet/val_2/v{i}#0" for i in numbers]
    videos = [f"v{i}" for i in numbers]
    own = {"query_id": ids, "video_id": videos, "dataset": ["anet"] * len(ids), "split": ["val_2"] * len(ids)}
    tables = {
        "queries": own | {"ordinal": numbers * 0, "modality": ["text"] * len(ids), "text": ids},
        "moments": own
        | {name: reference[:, i % 2] for i, name in enumerate(("start_raw", "end_raw", "start_s", "end_s"))}
        | {"window_index": numbers * 0, "raw_unit": ["second"] * len(ids), "flags": [[]] * len(ids)},
        "videos": {"video_id": videos, "dataset": own["dataset"], "source_video_id": videos}
        | {"split": [["val_2"]] * len(ids), "duration_s": np.full(len(ids), 240.0)},
        "saliency": {},
    }
    for name, columns in tables.items():
        arrays = [
            pa.array(columns[field.name], field.type) if field.name in columns else pa.nulls(n_rows, field.type)
            for n_rows in [len(ids) if columns else 0]
            for field in TABLES[name]
        ]
        write_table(folder / "annotations" / f"{name}.parquet", pa.Table.from_arrays(arrays, schema=TABLES[name]))
    spans, scores = candidates.spans.reshape(-1, 2), candidates.scores.ravel()
    predicted = {
        "query_id": np.repeat(ids, CANDIDATES),
        "video_id": np.repeat(videos, CANDIDATES),
        "rank": np.tile(np.arange(CANDIDATES, dtype=np.int32), len(ids)),
        "start_s": spans[:, 0],
        "end_s": spans[:, 1],
        "score": scores,
        "text": pa.nulls(len(scores), pa.string()),
        "is_readable": np.full(len(scores), True),
        **{name: pa.array([""] * len(scores)) for name in ("run_id", "system", "dataset", "split", "variant")},
    }
    for task, schema in SCHEMAS.items():
        columns = (
            [pa.array(predicted[name]).cast(schema.field(name).type) for name in schema.names]
            if task == "moments"
            else []
        )
        table = pa.Table.from_arrays(columns, schema=schema) if columns else schema.empty_table()
        write_table(answers_path(folder, task), table)
    with (folder / "predictions.jsonl").open("w") as file:
        for i, query in enumerate(ids):
            windows = np.column_stack([candidates.spans[i], candidates.scores[i]]).tolist()
            file.write(json.dumps({"query_id": query, "candidates": windows}) + "\n")
    return 0.0


def score_table(folder: Path) -> float:
    """Return the processor time from a table of predictions to numbers with intervals."""
    logging.disable(logging.WARNING)
    start = time.process_time()
    answers = {task: read_answers(folder, task) for task in SCHEMAS}
    split = AnnotatedSplit.read(folder / "annotations", "val_2")
    evaluation = {"thresholds": [0.3, 0.5, 0.7], "nms_thresholds": {}}
    [result], _ = score_run(split, answers, evaluation, ["mmn_float32"], ["moments"])
    result.section()
    return time.process_time() - start


def score_file(folder: Path) -> float:
    """Return the processor time from a file of predictions to numbers with intervals."""
    logging.disable(logging.WARNING)
    start = time.process_time()
    split = AnnotatedSplit.read(folder / "annotations", "val_2")
    question = split.moments("clip")
    path = folder / "predictions.jsonl"
    question, answers = read_submission(path, split, "mmn_float32", question, Leniency())
    Result("mmn_float32", question, Options(), apply_rules("mmn_float32", question, answers, Options())).section()
    return time.process_time() - start


if __name__ == "__main__":
    sys.exit(main())
