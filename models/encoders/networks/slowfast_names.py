"""Names of SlowFast checkpoints: Caffe2 (model zoo `.pkl`) and pytorchvideo (hub) to PySlowFast."""

import re
from typing import Any

import numpy as np

_CAFFE2_SKIPPED = re.compile(r".*_momentum|lr|model_iter")
_CAFFE2_BATCH_NORM = {"s": "weight", "b": "bias", "rm": "running_mean", "riv": "running_var"}
_CAFFE2_BLOCK = re.compile(r"res(\d)_(\d+)_(branch1|branch2([abc]))")
_CAFFE2_FUSION = re.compile(r"res(\d)_\d+_branch2c_bn_subsample")

_PYTORCHVIDEO = (
    (re.compile(r"blocks\.0\.multipathway_blocks\.(\d)\.conv\."), r"s1.pathway\1_stem.conv."),
    (re.compile(r"blocks\.0\.multipathway_blocks\.(\d)\.norm\."), r"s1.pathway\1_stem.bn."),
    (re.compile(r"blocks\.(\d)\.multipathway_fusion\.conv_fast_to_slow\."), r"s{\1}_fuse.conv_f2s."),
    (re.compile(r"blocks\.(\d)\.multipathway_fusion\.norm\."), r"s{\1}_fuse.bn."),
    (re.compile(r"blocks\.(\d)\.multipathway_blocks\.(\d)\.res_blocks\.(\d+)\."), r"s{\1}.pathway\2_res\3."),
    (re.compile(r"\.branch1_conv\."), ".branch1."),
    (re.compile(r"\.branch1_norm\."), ".branch1_bn."),
    (re.compile(r"\.branch2\.conv_([abc])\."), r".branch2.\1."),
    (re.compile(r"\.branch2\.norm_([abc])\."), r".branch2.\1_bn."),
    (re.compile(r"^blocks\.6\.proj\."), "head.projection."),
)


def from_caffe2(blobs: dict[str, Any]) -> dict[str, np.ndarray]:
    """Return the blobs of a Caffe2 file under PySlowFast's names; what belongs to its optimiser is left out.

    Raises
    ------
    RuntimeError
        a blob has a name that no rule knows
    """
    return {
        _caffe2_name(name): np.asarray(value)
        for name, value in blobs.items()
        if not _CAFFE2_SKIPPED.fullmatch(name) and np.asarray(value).ndim
    }


def _caffe2_name(name: str) -> str:
    pathway, rest = (1, name[2:]) if name.startswith("t_") else (0, name)
    stem, _, kind = rest.rpartition("_")
    is_norm = stem.endswith("_bn")
    if is_norm:
        stem = stem.removesuffix("_bn")
    elif kind not in ("w", "b"):
        raise RuntimeError(f"Unexpected key in the Caffe2 file: {name!r}")
    suffix = _CAFFE2_BATCH_NORM.get(kind) if is_norm else {"w": "weight", "b": "bias"}[kind]
    module = _caffe2_module(stem, is_norm, pathway)
    if module is None or suffix is None:
        raise RuntimeError(f"Unexpected key in the Caffe2 file: {name!r}")
    return f"{module}.{suffix}"


def _caffe2_module(stem: str, is_norm: bool, pathway: int) -> str | None:
    if stem == "pred":
        return "head.projection"
    if stem == ("res_conv1" if is_norm else "conv1"):
        return f"s1.pathway{pathway}_stem.{'bn' if is_norm else 'conv'}"
    if stem == "pool1_subsample":
        return f"s1_fuse.{'bn' if is_norm else 'conv_f2s'}"
    if match := _CAFFE2_FUSION.fullmatch(stem):
        return f"s{match[1]}_fuse.{'bn' if is_norm else 'conv_f2s'}"
    if match := _CAFFE2_BLOCK.fullmatch(stem):
        stage, block, branch, letter = match.groups()
        where = "branch1" if branch == "branch1" else f"branch2.{letter}"
        return f"s{stage}.pathway{pathway}_res{block}.{where}{'_bn' if is_norm else ''}"
    return None


def from_pytorchvideo(state: dict[str, Any]) -> dict[str, Any]:
    """Return a pytorchvideo state dict under PySlowFast's names."""
    renamed = {}
    for key, value in state.items():
        name = key
        for pattern, replacement in _PYTORCHVIDEO:
            name = pattern.sub(replacement, name)
        # pytorchvideo counts stages from 0.
        renamed[re.sub(r"\{(\d)\}", lambda match: str(int(match[1]) + 1), name)] = value
    return renamed


def to_pyslowfast(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state dict of any of the three layouts under PySlowFast's names, told apart by their first names."""
    if "conv1_w" in state:
        return from_caffe2(state)
    if any(key.startswith("blocks.") for key in state):
        return from_pytorchvideo(state)
    return dict(state)
