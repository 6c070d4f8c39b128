"""Trained checkpoints: what is written is read back, and what cannot be used says why."""

import numpy as np
import pytest
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.training.checkpoint import Trained, build_system, read_checkpoint, write_checkpoint
from workflow_scripts.lib.training.standardiser import Standardiser

STATE = {"layer.weight": torch.arange(6.0).reshape(2, 3).T, "layer.steps": torch.tensor(3)}
MOMENTS = {"visual": [(np.array([i, 2.0], np.float32), np.array([0.5, i], np.float32)) for i in range(2)]}
NOTES = {"system": "img", "seed": 3, "fitted": {"words": ["ä"]}, "stream_dims": {"visual": [2, 2], "audio": [4]}}


@pytest.fixture
def path(tmp_path):
    write_checkpoint(tmp_path / "a.safetensors", Trained(STATE, Standardiser(MOMENTS), NOTES))
    return tmp_path / "a.safetensors"


def test_a_checkpoint_is_read_back_as_it_was(path):
    found = read_checkpoint(path)
    assert found.notes == NOTES
    assert found.state.keys() == STATE.keys()
    assert all(torch.equal(found.state[key], value) for key, value in STATE.items())
    assert found.standardiser.moments.keys() == {"visual"}
    for one, other in zip(found.standardiser.moments["visual"], MOMENTS["visual"], strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_missing_checkpoint_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="no such checkpoint; train it first, or correct checkpoint_from"):
        read_checkpoint(tmp_path / "none")


@pytest.mark.parametrize("n_bytes", [0, 5, 100, -1])
def test_a_damaged_checkpoint_is_refused(path, n_bytes):
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(UserError, match=r"damaged checkpoint .*; delete it and train again"):
        read_checkpoint(path)


def test_a_flipped_bit_anywhere_is_noticed(path):
    whole = path.read_bytes()
    for place in range(8, len(whole), 41):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        with pytest.raises(UserError):
            read_checkpoint(path)


def test_a_checkpoint_of_the_first_releases_is_read_without_a_digest(path):
    with safe_open(path, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, path, {name: metadata[name] for name in ("format_version", "notes")})
    assert read_checkpoint(path).notes == NOTES
    save_file(tensors, path, {"format_version": metadata["format_version"]})
    with pytest.raises(UserError, match="not a momentflow checkpoint"):
        read_checkpoint(path)


def test_a_full_disk_while_a_checkpoint_is_written_keeps_the_one_before(path, monkeypatch):
    def fills_up(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    before = path.read_bytes()
    monkeypatch.setattr("workflow_scripts.lib.training.checkpoint.save_file", fills_up)
    with pytest.raises(OSError, match="No space left on device"):
        write_checkpoint(path, read_checkpoint(path))
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_format_says_which_and_what_to_do(path, monkeypatch):
    monkeypatch.setattr("workflow_scripts.lib.training.checkpoint.FORMAT_VERSION", 2)
    with pytest.raises(UserError, match=r"format version 1, this code reads 2; .* delete it and train again"):
        read_checkpoint(path)


def test_a_file_of_other_weights_is_refused(tmp_path):
    save_file(STATE | {"layer.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="not a momentflow checkpoint of format version 1"):
        read_checkpoint(tmp_path / "other.safetensors")


def test_a_system_is_built_from_its_name_and_settings():
    settings = {"network": {"dim": 16, "heads": 2, "query": {"kind": "tokens"}}}
    system = build_system("img", settings, {}, {"visual": [6], "audio": [4], "text": [5]})
    assert system.network().state_dict()["video_affine.linear.conv1d.weight"].shape == (16, 6, 1)
