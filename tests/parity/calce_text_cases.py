"""Cases of CALCE's texts: `text_cases.json[.gz]` with lists of cases by kind, or a folder of its tokenizers' files."""

import ast
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.layers.word_pieces import BERT_VOCABULARY
from models.systems.calce import prompt
from models.systems.calce.annotations import merge_stage1
from models.systems.calce.captions import Caption, Speech, read_srt, select
from models.systems.calce.events import is_about_talking
from models.systems.calce.parsing import windows
from models.systems.calce.schedule import Schedule, learning_rate
from models.systems.calce.tokens import FOLDER, SECOND_SENTINEL, t5
from tests.parity.harness import Check, has_files
from tests.parity.metric_cases import case_file, read_json, read_text
from workflow_scripts.lib.media.sparse_sampling import lavis_edges, lavis_head
from workflow_scripts.lib.metrics.calce import parse_windows

NAME, ENDING = "text_cases", ".json"
TOKENIZERS = {path.name: path for path in (FOLDER / "t5_tokenizer.json.gz", BERT_VOCABULARY)}
SINGLE = 1e-6
"""Relative tolerance of times, which the cases hold as float32 with seven decimals."""
DOUBLE = 1e-12
"""Relative tolerance of learning rates: the order of operations is free."""


def claims(folder: Path) -> bool:
    """Return whether the folder has the file, with a kind that is known, or tokenizers."""
    if has_files(folder, *TOKENIZERS):
        return True
    path = case_file(folder, NAME, ENDING)
    return path is not None and bool(KINDS.keys() & read_json(path).keys())


def checks(folder: Path) -> list[Check]:
    """Return one check per kind; a kind that is not known fails."""
    found = [Check(name, _bind(check_same_file, folder / name)) for name in TOKENIZERS if (folder / name).is_file()]
    path = case_file(folder, NAME, ENDING)
    cases = {} if path is None else read_json(path)
    return found + [
        Check(f"text-{kind}", _bind(KINDS.get(kind, partial(check_unknown, kind)), cases[kind])) for kind in cases
    ]


def _bind(check: Callable[[Any], None], cases: Any) -> Callable[[Path | None], None]:
    return lambda data_path: check(cases)


def check_same_file(path: Path) -> None:
    """Our tokenizer file holds the same; the compressed one need not have the same bytes."""
    assert read_text(path) == read_text(TOKENIZERS[path.name])


def check_unknown(kind: str, cases: Any) -> None:
    raise AssertionError(f"{kind}: nobody knows how to check this kind of case")


def check_parser(cases: list[dict]) -> None:
    for case in cases:
        read = partial(windows, case["pred"], case["duration"])
        if isinstance(case["windows"], str):
            with pytest.raises(ValueError) as caught:
                read(strict_reference=True)
            assert type(caught.value).__name__ == case["windows"].removeprefix("EXC:"), case
        else:
            assert read(strict_reference=True) == case["windows"], case
        whole_video = [[-1, -1]] if case["duration"] is None else [[0, case["duration"]]]
        is_read = isinstance(case["windows"], list) and case["windows"]
        assert read() == (case["windows"] if is_read else whole_video), case


def check_moment_strings(cases: list[dict]) -> None:
    for case in cases:
        assert parse_windows(case["s"]) == case["out"], case


def check_merge(case: dict) -> None:
    if isinstance(case["merged"], str):
        with pytest.raises(KeyError):
            merge_stage1(case["original"], case["result"])
    else:
        assert merge_stage1(case["original"], case["result"]) == case["merged"]


def check_srt(cases: dict[str, dict]) -> None:
    for name, case in cases.items():
        assert_speech(read_srt(case["srt"]), case["subtitles"], case["durations"], name)


def assert_speech(speech: Speech, captions: list[dict], spans: list, name: str) -> None:
    assert speech.captions == [_caption(row) for row in captions], name
    assert [list(span) for span in speech.spans] == spans, name


def _caption(row: dict) -> Caption:
    return Caption(row["start"], row["end"], row["text"])


def check_frame_sampling(cases: list[dict]) -> None:
    for case in cases:
        first, last = case["clip"] or (0, case["n_total"])
        assert lavis_head(lavis_edges(first, last, case["n_frms"])).tolist() == case["indices"], case
        for stage, decimals in ((1, None), (2, 2)):
            times_s = prompt.frame_times(case["indices"], case["fps"], decimals=decimals)
            np.testing.assert_allclose(times_s, case[f"stage{stage}_timestamps"], rtol=SINGLE)
            assert [round(float(time_s)) for time_s in times_s] == case[f"rounded_seconds_stage{stage}"]


def check_learning_rates(cases: list[dict]) -> None:
    for case in cases:
        cfg = case["cfg"]
        schedule = Schedule(
            cfg["init_lr"], cfg["min_lr"], cfg["max_epoch"], cfg["warmup_steps"], cfg["warmup_start_lr"]
        )
        for epoch, step, expected in case["probes"]:
            found = learning_rate(schedule, epoch, step, case["iters_per_epoch"])
            assert found == pytest.approx(expected, rel=DOUBLE, abs=0), (case["name"], epoch, step)


def check_prompts(cases: list[dict]) -> None:
    for case in cases:
        check_prompt(case)


def check_prompt(case: dict) -> None:
    annotation, name = case["annotation"], case["name"]
    if case["srt"] is not None:
        assert_speech(read_srt(case["srt"]), case["subtitles_after_filter"], case["subtitle_durations"], name)
    captions = [_caption(row) for row in case["subtitles_selected"] if row["start"] >= 0]
    assert len(captions) == len(_selected(case)), name
    stage1 = annotation["stage1_result"] if case["stage"] == 2 else None
    text = prompt.text(annotation["query"], annotation["items"], stage1)
    assert text == case["text_prompt"], name
    times_s = prompt.frame_times(_sampled(case), case["fps"], decimals={1: None, 2: 2}[case["stage"]])
    n_vectors = [32 if frame in case["key_frames"] else 8 for frame in case["kept_frames"]]
    found = prompt.layout(times_s[case["kept_frames"]], n_vectors, annotation["duration"], captions, text)
    assert found.ids.tolist() == _unrolled(case["sequence_rle"]), name
    assert list(found.lengths) == case["segment_lengths"], name
    assert str(annotation["relevant_windows"]) == case["target_raw"], name
    written = prompt.target(annotation["relevant_windows"])
    assert (written, t5().ids(written)) == (case["target_string"], case["target_ids"]), name
    assert found.ids[sum(found.lengths[:2]) - 1] == SECOND_SENTINEL


def _selected(case: dict) -> list[Caption]:
    """The captions that are left by the case's limits if all similarities are 1."""
    captions = [_caption(row) for row in case["subtitles_after_filter"]]
    limits = {"top": case["subtitle_topk"], "threshold": case["subtitle_threshold"]}
    return select(captions, torch.ones(len(captions)), **limits)


def _sampled(case: dict) -> list[int]:
    return lavis_head(lavis_edges(0, case["n_total_frames"], case["n_frms"])).tolist()


def _unrolled(sequence: list) -> list[int]:
    parts = [[prompt.VISUAL] * part[1] if isinstance(part, list) else [part] for part in sequence]
    return [number for part in parts for number in part]


def check_targets(cases: list[dict]) -> None:
    for case in cases:
        assert prompt.target(ast.literal_eval(case["raw"])) == case["replaced"]
        assert t5().ids(case["replaced"]) == case["ids"]
        assert t5().decode(case["ids"]) == case["decoded"]


def check_replacements(numbers: dict[str, int]) -> None:
    assert list(t5().replacements.items()) == sorted((int(number), new) for number, new in numbers.items())


def check_talk_words(cases: list[dict]) -> None:
    for case in cases:
        assert is_about_talking(case["q"]) == case["talk"], case


def check_numbers(numbers: dict[str, list[int]]) -> None:
    for number, ids in numbers.items():
        assert t5().number(int(number)) == ids, number


KINDS: dict[str, Callable[[Any], None]] = {
    "parser": check_parser,
    "moment_str_to_list": check_moment_strings,
    "merge": check_merge,
    "srt": check_srt,
    "frame_sampling": check_frame_sampling,
    "lr": check_learning_rates,
    "prompts": check_prompts,
    "annoying_numbers": check_replacements,
    "targets": check_targets,
    "talk_keywords": check_talk_words,
    "number_token_ids": check_numbers,
}
