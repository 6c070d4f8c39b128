"""What is refused in the settings of a system although every single value is a good one."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

from workflow_scripts.lib.configuration.messages import Layer, source_of
from workflow_scripts.lib.configuration.schema import HELD_OUT, System
from workflow_scripts.lib.errors import UserError


def check_clean(
    system: System, settings: Mapping[str, Any], clean: Mapping[str, tuple[Any, ...]], layers: list[Layer]
) -> None:
    """Refuse to call clean what is not.

    Parameters
    ----------
    settings : the system's own settings, complete
    clean : setting, such as `network.pos_mode`, -> values that are clean (`CLEAN` of the system)
    """
    for key, admitted in clean.items():
        value = reduce(lambda section, part: section[part], key.split("."), settings)
        if value not in admitted:
            where = source_of(layers, ("settings", *key.split(".")))
            choices = " or ".join(map(repr, admitted))
            raise UserError(
                f"{where}: settings.{key}: {value!r} is not what `protocol: clean` stands for; choose {choices}, or "
                "`protocol: published`"
            )
    if system.splits.select in system.splits.test:
        where = source_of(layers, ("splits", "select"))
        raise UserError(
            f"{where}: splits.select: {system.splits.select!r} is reported, so `protocol: clean` does not choose the "
            f"checkpoint on it; name a validation split, or `{HELD_OUT}` for a part of the training videos"
        )


def check_checkpoint(system: System, layers: list[Layer]) -> None:
    """Refuse an imported checkpoint beside standardised streams: it comes without their means and scales."""
    standardised = [stream for stream, content in system.streams.items() if content.standardise]
    if system.checkpoint_file and standardised:
        where = source_of(layers, ("streams", standardised[0], "standardise"))
        raise UserError(
            f"{where}: streams.{standardised[0]}.standardise: an imported checkpoint (checkpoint_file) reads the "
            "features as they are; set it to false"
        )
