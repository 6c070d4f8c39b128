"""What a training learns from: the items of its splits, the annotations it is chosen by, what it takes over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.systems.interface import Item, captions_of, fits_on, learns
from workflow_scripts.lib.configuration.schema import HELD_OUT
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.scoring.annotated import AnnotatedSplit
from workflow_scripts.lib.training.checkpoint import learns_by_steps, system_config
from workflow_scripts.lib.training.prior import PriorResults
from workflow_scripts.lib.training.reader import Reader, Split


@dataclass
class TrainingData:
    """The data of one training.

    Attributes
    ----------
    train, select : items to learn from and to choose the checkpoint on (without gradient steps the same)
    annotated : annotations of the latter
    stream_dims : stream -> width of each of its features
    also_fitted : queries that the system reads besides those of training before it starts (a published vocabulary)
    """

    train: Split
    select: Split
    annotated: AnnotatedSplit
    stream_dims: Mapping[str, Sequence[int]]
    also_fitted: Sequence[Item] = field(default_factory=list)

    @property
    def identity(self) -> list[str]:
        """Return the digests of everything that decides what is learnt."""
        return [self.train.digest, self.select.digest, *(item.text for item in self.also_fitted)]


def read_training_data(settings_path: Path, settings: Mapping[str, Any], prior: PriorResults) -> TrainingData:
    """Read what a system is trained on.

    Parameters
    ----------
    settings_path : `results/<dataset>/<system>/settings.json`
    settings : its content

    Raises
    ------
    UserError
        a split is not there or has no usable item
    """
    config = settings["config"]
    reader, splits = Reader.of(settings_path, settings, prior.answers), config["splits"]
    typed = system_config(config["system"], config["settings"])
    if settings["window_s"] is not None and "videos" in captions_of(typed):
        raise UserError(
            f"config/datasets/{settings['videos']}.yaml: window_s: {settings['window_s']}: captions of whole videos do "
            "not teach captions of windows; take a checkpoint that is trained elsewhere (checkpoint_from, "
            "checkpoint_file), or leave window_s out"
        )
    if not learns(typed):
        return TrainingData(Split(), Split(), reader.annotated_split(splits["test"][0]), reader.stream_dims())
    train, chosen_on = reader.read(splits["train"], teaches=True), splits["select"]
    if not learns_by_steps(settings):
        select, chosen_on = train, splits["train"]
    elif chosen_on == HELD_OUT:
        chosen_on = splits["train"]
        train, select = train.hold_out(splits["held_out"])
    else:
        select = reader.read(chosen_on, teaches=True)
    for name, split in ((splits["train"], train), (splits["select"], select)):
        if not split.items:
            raise UserError(f"no usable query in split {name!r}; left out: {dict(split.skipped)}")
    also_fitted = reader.queries_of_roles(("test",)) if "test" in fits_on(typed) else []
    return TrainingData(train, select, reader.annotated_split(chosen_on), reader.stream_dims(), also_fitted)
