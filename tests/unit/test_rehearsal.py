"""The rehearsal of a system: what it sees, what it refuses, what it needs to be installed."""

import subprocess
import sys

import pytest

from tests.markdown_pages import ROOT
from tests.rehearsal import systems
from tests.rehearsal.machine import Machine
from workflow_scripts.lib.configuration.compose import Configuration

NOT_NEEDED = {
    "av",
    "pyarrow",
    "zarr",
    "accelerate",
    "peft",
    "timm",
    "open_clip",
    "snakemake",
    "torchdata",
    "tensorboard",
}


def test_a_system_is_trained_asked_saved_and_gone_on_with():
    found = systems.rehearse(Configuration({}, ROOT / "config"), "demo", "img", Machine(), 20)
    assert found["cut down"] == "nothing"
    assert int(found["answers"]) > 0
    first, second = (float(loss) for loss in found["loss"].split(", then "))
    assert first != second


def test_what_goes_on_from_a_checkpoint_must_not_depend_on_what_came_before(monkeypatch):
    losses = iter([1.0, 1.0, 2.0, 3.0])
    monkeypatch.setattr(systems, "_step", lambda *_: next(losses))
    with pytest.raises(RuntimeError, match="must be equal"):
        systems.rehearse(Configuration({}, ROOT / "config"), "demo", "img", Machine(), 20)


def test_a_bare_machine_is_enough_but_for_calce():
    names = [f"models.systems.{name}.system" for name in ("img", "mrnet", "quag", "uniq4cap")]
    code = f"import sys, importlib, tests.rehearsal.__main__; [importlib.import_module(name) for name in {names}]; "
    code += (
        f"found = {NOT_NEEDED} & {{name.split('.')[0] for name in sys.modules}}; print(found); sys.exit(bool(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
