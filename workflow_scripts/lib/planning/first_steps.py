"""The commands that a person with a new folder of videos is likely to want first, each with a rough cost."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.recipe import published_weights
from workflow_scripts.lib.extraction.settings import weight_path
from workflow_scripts.lib.planning.devices import has_gpu
from workflow_scripts.lib.planning.feature_costs import bytes_needed, hours_needed, hours_text
from workflow_scripts.lib.planning.planned_files import RESULTS
from workflow_scripts.lib.planning.sizes import readable_size, stated_bytes

SPEECH, PICTURES, ANSWERS, CAPTIONS = "whisper_tiny_en", "clip_b32", "img", "uniq4cap"
DEMO_MINUTES = 4
"""docs/benchmarks.md"""


@dataclass(frozen=True)
class Step:
    """A command and what it gives.

    Attributes
    ----------
    gives, costs : str
        For people.
    lines : sequence of str
        The command, and what belongs to it.
    """

    gives: str
    costs: str
    lines: Sequence[str]


class FirstSteps:
    """Steps for one new dataset.

    Parameters
    ----------
    snakemake : how Snakemake is called
    hours, n_videos : of all its videos
    hours_of_sound : of those with sound
    """

    def __init__(
        self,
        configuration: Configuration,
        name: str,
        snakemake: str,
        hours: float,
        hours_of_sound: float,
        n_videos: int,
    ) -> None:
        self._configuration, self._name, self._snakemake = configuration, name, snakemake
        self._hours, self._hours_of_sound, self._n_videos = hours, hours_of_sound, n_videos

    @property
    def machine(self) -> str:
        """Return what the costs are meant for."""
        return f"{os.cpu_count()} cores, {'a' if has_gpu(self._configuration.root.device) else 'no'} GPU"

    def transcripts(self) -> Step:
        """Return how all that is said gets written down."""
        return self._step("what is said (English), as .srt", [SPEECH], f"transcripts/{SPEECH}/index.parquet")

    def features(self) -> Step:
        """Return how the pictures become features."""
        return self._step("CLIP features, a row per second", [PICTURES], f"features/{PICTURES}/index.parquet")

    def captions(self) -> Step:
        """Return how every video gets a sentence."""
        gives = "a sentence per video, as a table and .srt, from a checkpoint that you have"
        asked = f"'datasets={{{self._name}: {{systems: {{{CAPTIONS}: {{checkpoint_file: FILE}}}}}}}}'"
        command = f"{self._snakemake} --config {asked} -- {RESULTS}/{self._name}/{CAPTIONS}/captions.csv"
        return Step(gives, self._costs(self._features_of(CAPTIONS)), [command])

    def answers(self, trains: bool) -> Step:
        """Return how the queries of the dataset get answers.

        Parameters
        ----------
        trains : whether the system is trained on them; otherwise the demo's is asked
        """
        target = f"{ANSWERS}/report.html"
        if not trains:
            gives = "answers of the demo's network: they are worth nothing, but show the way"
            costs = f"minutes, and about {DEMO_MINUTES} min to make the demo"
            return Step(gives, costs, [f"{self._snakemake} {RESULTS}/{self._name}/{target}"])
        gives = "IMG, trained on your queries and scored (training comes on top)"
        return self._step(gives, self._features_of(ANSWERS), target)

    def _features_of(self, system: str) -> list[str]:
        streams = self._configuration.system(self._name, system).streams.values()
        return [feature for stream in streams for feature in stream.names]

    def _step(self, gives: str, features: Iterable[str], target: str) -> Step:
        return Step(gives, self._costs(features), [f"{self._snakemake} {RESULTS}/{self._name}/{target}"])

    def _costs(self, names: Iterable[str]) -> str:
        configuration, hours, rows = self._configuration, 0.0, 0.0
        missing = {}
        for name in names:
            feature = configuration.feature(self._name, name)
            of_video = self._hours_of_sound if feature.kind in ("speech", "audio") else self._hours
            on_gpu = bool(feature.runtime.gpu) and has_gpu(configuration.root.device)
            hours += hours_needed(feature, of_video, on_gpu)
            rows += bytes_needed(feature, of_video, self._n_videos)
            for weights in published_weights(configuration, feature):
                entry = configuration.weight(weights)
                if not weight_path(entry, configuration.root.paths.weights).is_file():
                    missing[weights] = entry.size or stated_bytes(entry.about)
        parts = [f"about {hours_text(hours)}" if hours >= 1 / 30 else "minutes"]
        if rows:
            parts.append(f"{readable_size(rows)} on disk")
        if known := sum(missing.values()):
            parts.append(f"{'' if all(missing.values()) else 'at least '}{readable_size(known)} to download")
        elif missing:
            parts.append("weights to download, of a size that nobody states")
        return ", ".join(parts)


def step_lines(steps: Iterable[Step]) -> list[str]:
    """Return steps as numbered lines."""
    lines = []
    for number, step in enumerate(steps, 1):
        lines += [f"{number}. {step.gives}: {step.costs}", *(f"     {line}" for line in step.lines)]
    return lines
