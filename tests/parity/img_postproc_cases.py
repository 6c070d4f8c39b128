"""Cases of what surrounds the IMG network: resampling, targets, warm-up, metrics, vocabulary, real annotations.

A folder holds `postproc.json`, one section per subject, and `postproc.safetensors`.
"""

import json
import random
import re
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from safetensors.numpy import load_file

from models.layers.resampling import limit_rows, rescale_rows
from models.layers.word_vectors import read_word_vectors, tokenise
from models.systems.img.losses import quarter_cosine
from models.systems.img.targets import draw_saliency_pairs, span_to_steps, steps_to_seconds
from models.systems.img.vocabulary import build_vocabulary
from tests.parity.harness import Check, find_data, find_folder, has_files, in_group
from tests.parity.metric_cases import read_json, read_text
from tests.unit.made_predictions import moments
from tests.unit.made_predictions import spans as made_spans
from workflow_scripts.lib.metrics.rule_sets import apply_rules
from workflow_scripts.lib.metrics.scored import Options, Scored
from workflow_scripts.lib.metrics.span_index import hull_iou

QUERIES = re.compile(r".+_qid\.txt(\.gz)?")
"""Annotation files of Charades with numbered queries, in any folder of `--data`."""
DURATIONS = "annotations/charades_sta/charades.json"
"""Of all videos of Charades."""


def claims(folder: Path) -> bool:
    """Return whether the folder has post-processing files of IMG."""
    if in_group(folder, "img"):
        return has_files(folder, "postproc.json") or has_files(folder, "postproc.safetensors")
    if not has_files(folder, "postproc.json"):
        return False
    try:
        return bool(SECTIONS.keys() & json.loads((folder / "postproc.json").read_text()).keys())
    except (ValueError, AttributeError):
        return False


def checks(folder: Path) -> list[Check]:
    """Return one check per section of the file."""
    content = json.loads((folder / "postproc.json").read_text())
    return [
        Check(section, partial(function, folder, content))
        for section, function in SECTIONS.items()
        if section in content
    ]


def _tensors(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "postproc.safetensors")


def check_sampling(folder: Path, content: dict, data_path: Path | None) -> None:
    tensors = _tensors(folder)
    for case in content["sampling"]:
        name = f"{case['op']}{case['i']}"
        rows, expected = tensors[f"{name}.in"], tensors[f"{name}.out"]
        ours = limit_rows(rows, case["max"]) if case["op"] == "sample" else rescale_rows(rows, case["tgt"])
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6, err_msg=name)


def check_time_index(folder: Path, content: dict, data_path: Path | None) -> None:
    for case in content["time_index"]:
        steps = span_to_steps(case["start"], case["end"], case["n"], case["duration"])
        assert steps == (case["s_ind"], case["e_ind"]), case
        assert steps_to_seconds(*steps, case["n"], case["duration"]) == (case["back_start"], case["back_end"]), case


def check_saliency(folder: Path, content: dict, data_path: Path | None) -> None:
    for case in content["saliency"]:
        pairs = draw_saliency_pairs(case["s"], case["e"], case["length"], random.Random(case["py_seed"]))
        assert pairs == (case["pos"], case["neg"]), case


def check_schedules(folder: Path, content: dict, data_path: Path | None) -> None:
    for name, factors in content["schedules"].items():
        n_epochs = int(name.rsplit("_", 1)[1])
        ours = [quarter_cosine(epoch, n_epochs) for epoch in range(len(factors))]
        np.testing.assert_allclose(ours, factors, rtol=0, atol=1e-12, err_msg=name)


def check_metrics(folder: Path, content: dict, data_path: Path | None) -> None:
    records = content["metric_records"]
    spans = [steps_to_seconds(r["pred_s_ind"], r["pred_e_ind"], r["v_len"], r["duration"]) for r in records]
    assert spans == [(r["v_pre_s"], r["v_pre_e"]) for r in records]
    annotated, durations_s = [(r["s_time"], r["e_time"]) for r in records], [r["duration"] for r in records]
    scored = require_metrics(content["metrics"], spans, annotated, durations_s)
    np.testing.assert_allclose(scored.per_query["mIoU"], [r["iou"] for r in records], rtol=0, atol=1e-9)


def require_metrics(
    stored: dict[str, float],
    spans: list[tuple[float, float]],
    annotated: list[tuple[float, float]],
    durations_s: list[float],
) -> Scored:
    """Assert that spans have the stored metrics (`miou`, and `r1i3` for R1@0.3, ...), and return all scores."""
    expected = {"mIoU" if name == "miou" else f"R1@0.{name.removeprefix('r1i')}": stored[name] for name in stored}
    thresholds = [float(name.removeprefix("R1@")) for name in expected if name != "mIoU"]
    question, answers = moments([[span] for span in annotated], durations_s), made_spans([[span] for span in spans])
    scored = apply_rules("span_index", question, answers, Options(thresholds=thresholds))
    assert scored.metrics == pytest.approx(expected, rel=0, abs=1e-9)
    return scored


def check_iou_edges(folder: Path, content: dict, data_path: Path | None) -> None:
    for case in content["iou_edges"]:
        assert hull_iou(case["pred"], case["gt"]) == pytest.approx(case["iou"], rel=0, abs=1e-9), case


def check_vocab(folder: Path, content: dict, data_path: Path | None) -> None:
    case = content["vocab"]
    records = [*case["train"], *case["test"]]
    # Queries are numbered over all sentences, and those that lack features later are counted as well.
    token_lists = [tokenise(sentence) for sentence in (*case["train_sentences"], *case["test_sentences"])]
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "vectors.txt"
        dim = int(re.search(r"(\d+) dims", case["glove_rule"])[1])
        path.write_text(_word_vector_file(case["glove_words"], dim), encoding="utf-8")
        vectors = read_word_vectors(path, dim, {token for tokens in token_lists for token in tokens})
    vocabulary = build_vocabulary(token_lists, vectors.keys())
    assert {word: i for i, word in enumerate(("<PAD>", "<UNK>", *vocabulary.words))} == case["word_dict"]
    assert {char: i for i, char in enumerate(("<PAD>", "<UNK>", *vocabulary.chars))} == case["char_dict"]
    assert len(vocabulary.words) == case["vector_rows"]
    np.testing.assert_array_equal([vectors[word][-1] for word in vocabulary.words], case["vector_row_last_col"])
    for record in records:
        tokens = token_lists[int(record["qid"].split("_")[1])]
        assert tokens == record["words"]
        assert vocabulary.word_ids(tokens) == record["w_ids"]
        assert vocabulary.char_ids(tokens) == record["c_ids"]
        assert record["v_len"] == case["feature_lengths"][record["vid"]]
        steps = span_to_steps(record["s_time"], record["e_time"], record["v_len"], record["duration"])
        assert steps == (record["s_ind"], record["e_ind"]), record


def _word_vector_file(words: list[str], dim: int) -> str:
    """Return the recipe's file: one line per word (values count from 1), and two lines that are not of that form."""
    lines = []
    for i, word in enumerate(words, start=1):
        values = (str(round(i * 0.001 * (j % 7), 3)) for j in range(1, dim + 1))
        lines.append(" ".join([word, *values]))
    return "\n".join(["person 0.1 0.2", *lines, "two words " + " ".join(["0.5"] * dim)]) + "\n"


def _annotated_rows(
    source: Path, durations_s: dict[str, dict[str, float]]
) -> list[tuple[int, float, float, float, str]]:
    """Read a file of Charades: query number, clipped start and end, duration (seconds), sentence."""
    rows = []
    for line in filter(None, map(str.strip, read_text(source).splitlines())):
        head, query, sentence = line.split("##")
        video, start, end = head.split(" ")
        duration_s = durations_s[video]["duration"]
        number = int(query.removeprefix("qid_"))
        rows.append((number, max(0.0, float(start)), min(float(end), duration_s), duration_s, sentence))
    return rows


def _numbers(source: Path) -> list[int]:
    """Return the numbers of the queries of a file."""
    return [int(number) for number in re.findall(r"##qid_(\d+)##", read_text(source))]


def check_real_annotations(folder: Path, content: dict, data_path: Path | None) -> None:
    """Query number, step count, targets and token count of every row, and the metrics of the quantised truth.

    The case does not name its file: it is the one with these queries in this order.
    """
    expected = _tensors(folder)["real_annotations"]
    durations_s = read_json(find_data(data_path, DURATIONS))
    sources = [path for path in find_folder(data_path, "annotations").rglob("*") if QUERIES.fullmatch(path.name)]
    fitting = [source for source in sorted(sources) if _numbers(source) == expected[:, 0].tolist()]
    assert fitting, f"no file of {data_path} has these queries"
    annotated, limit = _annotated_rows(fitting[0], durations_s), int(expected[:, 1].max())
    rows, spans = [], []
    for number, start_s, end_s, duration_s, sentence in annotated:
        n_steps = min(limit, int(np.ceil(duration_s)))
        steps = span_to_steps(start_s, end_s, n_steps, duration_s)
        rows.append((number, n_steps, *steps, len(tokenise(sentence))))
        spans.append(steps_to_seconds(*steps, n_steps, duration_s))
    np.testing.assert_array_equal(np.array(rows), expected)
    truth = [row[1:3] for row in annotated]
    require_metrics(content["oracle_on_real_annotations"], spans, truth, [row[3] for row in annotated])


SECTIONS = {
    "sampling": check_sampling,
    "time_index": check_time_index,
    "saliency": check_saliency,
    "schedules": check_schedules,
    "metric_records": check_metrics,
    "iou_edges": check_iou_edges,
    "vocab": check_vocab,
    "oracle_on_real_annotations": check_real_annotations,
}
