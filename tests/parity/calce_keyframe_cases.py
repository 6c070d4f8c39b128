"""Cases of CALCE's choice of frames: `keyframe_cases.json` with `keyframe_cases.safetensors`. All masks are exact."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.systems.calce.compression import compress
from models.systems.calce.events import SecondStage, cluster, first_stage_key_frames, second_stage_frames
from tests.parity.harness import Check, has_files
from tests.parity.metric_cases import read_json

NAME = "keyframe_cases"
SINGLE = 1e-6
"""Relative tolerance of times, which the cases hold as float32 with few decimals."""
MODES = {"cluster": "event"}
"""Published names of modes that are called otherwise here."""


def claims(folder: Path) -> bool:
    """Return whether the folder has both files."""
    return has_files(folder, f"{NAME}.json", f"{NAME}.safetensors")


def checks(folder: Path) -> list[Check]:
    """Return one check per case."""
    tensors = load_file(folder / f"{NAME}.safetensors")
    found = []
    for name, case in read_json(folder / f"{NAME}.json").items():
        own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
        kind = check_error if "error" in case else {1: check_first_stage, 2: check_second_stage}[case["stage"]]
        found.append(Check(f"frames-{name}", _bind(kind, case, own)))
    return found


def _bind(check, case: dict, tensors: dict[str, Tensor]):
    run = partial(check, case, tensors)
    return lambda data_path: run()


def check_first_stage(case: dict, tensors: dict[str, Tensor]) -> None:
    means, ids = tensors["embeds"][0].mean(1), None
    if "cluster_idx" in tensors:
        ids = cluster(means, case["num_clusters"], tensors["noise"][0])
        assert torch.equal(ids, tensors["cluster_idx"][0])
        if case["same_without_noise"]:
            assert torch.equal(cluster(means, case["num_clusters"]), ids)
    speech, mode = case["subtitle_durations"], MODES.get(case["mode"], case["mode"])
    key = first_stage_key_frames(
        ids, case["t"], case["duration"], case["query"], speech, case["bias1"], mode, frame_means=means
    )
    assert torch.equal(key, tensors["key_mask"].bool())
    assert (key.nonzero().flatten().tolist(), (~key).nonzero().flatten().tolist()) == (
        case["key_idx"],
        case["non_key_idx"],
    )


def check_second_stage(case: dict, tensors: dict[str, Tensor]) -> None:
    rows, times_s = tensors["qformer_out"], tensors["timestamps"][0]
    noises = tensors["ctm0.noise"][0], tensors["ctm1.noise"][0]
    features = torch.nn.functional.normalize(rows, dim=-1).flatten(1)
    assert torch.equal(cluster(features, case["num_clusters"], noises[0]), tensors["ctm0.idx"][0])
    kept = tensors["filter_mask"][0].bool()
    inside = cluster(features, case["num_clusters"], noises[1], kept)
    # The published tensor may be from before or after the left-out frames were set to -1.
    assert torch.equal(inside[kept], tensors["ctm1.idx"][0][kept])
    before = _choose(case, rows, times_s, noises=noises)
    assert torch.equal(before[0], tensors["key_before"].bool())
    assert torch.equal(before[1], tensors["nonkey_before"].bool())
    assert torch.equal(before[0] | before[1], kept)
    key, other = compress(*before, case["target_count"], _after_noise(case["seed"], noises))
    assert torch.equal(key, tensors["key_after"].bool())
    assert torch.equal(other, tensors["nonkey_after"].bool())
    np.testing.assert_allclose(times_s[key | other], case["kept_timestamps"], rtol=SINGLE)
    full = rows.shape[1]
    assert [count == full for count in case["frame_token_counts"]] == key[key | other].tolist()


def check_error(case: dict, tensors: dict[str, Tensor]) -> None:
    """The published code fails; ours does so on request, and shows frames otherwise."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(case["t"], case.get("nq", 8), case.get("d", 8), generator=generator)
    times_s = torch.arange(case["t"]) * case["duration"] / case["t"]
    with pytest.raises(Exception) as caught:
        _choose(case, rows, times_s)
    assert type(caught.value).__name__ == case["error"].split(":")[0]
    key, other = _choose(case, rows, times_s, strict=False)
    assert key.any()
    assert not (key & other).any()


def _choose(case: dict, rows: Tensor, times_s: Tensor, *, strict: bool = True, noises=(None, None)):
    sizes = {"n_clusters": "num_clusters", "top_clusters": "topk", "reach": "bias1", "filter_reach": "bias2"}
    options = SecondStage(
        **{ours: case[theirs] for ours, theirs in sizes.items() if theirs in case}, strict_reference=strict
    )
    speech, query = case.get("subtitle_durations", []), case.get("query", "")
    return second_stage_frames(rows, times_s, case["stage1_result"], query, speech, case["duration"], options, noises)


def _after_noise(seed: int, noises: tuple[Tensor, Tensor]) -> torch.Generator:
    """Return the generator as it stands after the two draws of noise."""
    generator = torch.Generator().manual_seed(seed)
    for noise in noises:
        assert torch.equal(torch.rand(1, len(noise), generator=generator)[0], noise)
    return generator
