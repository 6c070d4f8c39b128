"""Whether this machine has a GPU, and which trainings cannot begin without one."""

from collections.abc import Iterable

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.extraction.gpus import has_gpu_driver


def has_gpu(device: str) -> bool:
    """Return whether this machine seems to have a GPU that the setting `device` allows."""
    return device != "cpu" and has_gpu_driver()


def lacking_gpu(configuration: Configuration, trained: Iterable[tuple[str, str]], runs_here: bool) -> list[str]:
    """Return a text about the trainings in fp16 that would find no GPU, if there are any.

    Parameters
    ----------
    trained : (dataset, system) of what is to be trained
    runs_here : whether jobs run on this machine; what another one has is not known
    """
    device = configuration.root.device
    if has_gpu(device) or not (runs_here or device == "cpu"):
        return []
    lacking = [each for each in trained if configuration.system(*each).precision == "fp16"]
    if not lacking:
        return []
    names = ", ".join(f"{name} of {dataset}" for dataset, name in lacking)
    settings = ", ".join(f"{name}: {{precision: bf16}}" for name in sorted({name for _, name in lacking}))
    why = "`device: cpu` allows none" if device == "cpu" else "this machine has none"
    return [
        f"{names}: trained in fp16, whose scaled loss needs a GPU, and {why}\n"
        f"     `--config 'systems={{{settings}}}'` needs none"
    ]
