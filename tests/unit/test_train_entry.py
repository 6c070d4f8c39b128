"""The entry point of training: what it hands on, and what it does not hold while the training runs."""

import contextlib
import json
import sys
import weakref
from types import SimpleNamespace

import pytest

from workflow_scripts import train
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.training import checkpoint, data, loop, prior, state


class Weights(dict):
    """A published file's tensors, which can be watched."""


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Return a call of the entry point with a made training, for a precision."""
    nothing = contextlib.nullcontext()
    process = SimpleNamespace(main_process_first=lambda: nothing, is_main_process=False, destroy_process_group=list)
    monkeypatch.setattr(checkpoint, "learns_by_steps", lambda settings: True)
    monkeypatch.setattr(data, "read_training_data", lambda *_: SimpleNamespace(identity=[]))
    monkeypatch.setattr(
        prior, "PriorResults", lambda *_: SimpleNamespace(answers=None, checkpoint_digest=[], weights=lambda: None)
    )
    monkeypatch.setattr(train, "join", lambda device: process)
    monkeypatch.setattr(state, "StateFolder", lambda *_: SimpleNamespace(is_finished=False))

    def run(precision: str = "no") -> None:
        settings = {"train_key": "k", "device": "cpu", "config": {"precision": precision}}
        settings |= {"runtime": {"processes": 1}, "base_weights": [{"name": "tower"}]}
        path = tmp_path / "settings.json"
        path.write_text(json.dumps(settings))
        arguments = ["--settings", path, "--key", "k", "--seed", "0", "--out", tmp_path / "seed0"]
        monkeypatch.setattr(sys, "argv", ["train", *map(str, arguments)])
        train.main()

    return run


def test_published_weights_are_let_go_before_the_training_runs(call, monkeypatch):
    watched, ran = [], []

    def read(entry):
        weights = Weights(one=1)
        watched.append(weakref.ref(weights))
        return weights

    class Training:
        def __init__(self, settings, data, out, state, seed, initial, base):
            assert base["tower"] == {"one": 1}

        def run(self):
            ran.append(watched[0]() is None)

    monkeypatch.setattr(train, "read_weights", read)
    monkeypatch.setattr(loop, "Training", Training)
    call()
    assert ran == [True]


def test_fp16_without_a_gpu_is_refused_before_anything_is_read(call):
    with pytest.raises(UserError, match=r"precision: fp16 .* needs a GPU"):
        call("fp16")
