"""What the training loop asks of the settings of every system."""

from pathlib import Path

import pytest

from models.systems import interface
from models.systems.interface import TrainConfig
from workflow_scripts.lib.training.checkpoint import system_config

SYSTEMS = sorted(path.parent.name for path in Path(interface.__file__).parent.glob("*/config.py"))


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_section_train_has_all_that_the_loop_reads_described_and_checked(name):
    settings = {"tasks": ("moments",)} if name == "baseline" else {}
    train = interface.train_config(system_config(name, settings))
    assert (train is None) == (name in ("baseline", "zero_shot"))
    for field, kind in TrainConfig.__annotations__.items() if train else ():
        described = type(train).model_fields[field]
        assert described.annotation is kind
        assert described.description
        with pytest.raises(ValueError, match=field):
            type(train).model_validate({field: 0})
