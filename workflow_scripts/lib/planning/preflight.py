"""What is said before the first job: everything that targets need and that is not here, in one message."""

import re
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.costs import Costs
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.devices import lacking_gpu
from workflow_scripts.lib.planning.downloads import Downloads
from workflow_scripts.lib.planning.feature_plan import Features
from workflow_scripts.lib.planning.needs import Need, Needs
from workflow_scripts.lib.planning.planned_files import RESULTS, PlannedFiles
from workflow_scripts.lib.planning.reading import Reading
from workflow_scripts.lib.planning.sizes import readable_size, stated_bytes
from workflow_scripts.lib.planning.training_costs import training_lines


class Preflight:
    """What targets need, as lists and as one message."""

    def __init__(
        self,
        configuration: Configuration,
        files: PlannedFiles,
        downloads: Downloads,
        datasets: Datasets,
        features: Features,
    ) -> None:
        self._configuration, self._files, self._downloads = configuration, files, downloads
        self._datasets, self._features = datasets, features

    def listing(self, kind: str) -> str:
        """Return a file that lists published `weights` or `data`: all, or what the target `needed_by` needs.

        Raises
        ------
        UserError
            `needed_by` is no target of a dataset
        """
        target = self._configuration.root.needed_by
        # A file per target: another call may be printing the list of its own.
        name = kind if target is None else f"{kind}-{re.sub(r'[^A-Za-z0-9_]+', '-', target)}"
        return self._files.json(RESULTS / "needed" / f"{name}.json", lambda: self._rows(kind, target))

    def _rows(self, kind: str, target: str | None) -> list[dict[str, object]]:
        reading = None
        if target is not None:
            reading = self._reading()
            if not reading.add(target):
                example = "results/qvh/img/metrics.json or results/qvh/features/clip_b32/index.parquet"
                raise UserError(f"needed_by: {target!r} is no target of a dataset; expected something like {example}")
        return [asdict(need) | {"is_here": need.is_here} for need in getattr(self.needs(reading), kind)()]

    def _reading(self, skips_finished: bool = False) -> Reading:
        return Reading(self._configuration, self._datasets, self._features, skips_finished)

    def needs(self, reading: Reading | None) -> Needs:
        """Return what is needed by what was read; with None, everything that is published."""
        return Needs(self._configuration, self._downloads, self._datasets, reading)

    def refuses(self) -> bool:
        """Return whether what cannot succeed is not begun."""
        return self._configuration.root.preflight == "refuse"

    def message(self, targets: Iterable[str], runs_here: bool = True) -> tuple[list[str], list[str]]:
        """Return what blocks targets, and what else is to be known before they are begun; one text each.

        Parameters
        ----------
        runs_here : whether jobs run on this machine, not on those of a cluster

        Raises
        ------
        UserError
            the settings of something that they name are wrong
        """
        reading = self._reading(skips_finished=True)
        for target in targets:
            reading.add(target)
        needs = self.needs(reading)
        every = [*needs.data(), *needs.weights()]
        fetched = [need for need in every if need.is_fetched and not need.is_here and not need.wrong]
        partly = [need for need in every if not (need.is_here or need.blocks or need.is_fetched)]
        costs = Costs(self._configuration, self._datasets, list(reading.computed))
        lines = [_partly_text(need) for need in partly]
        lines += _fetched_lines(fetched)
        lines += costs.disk_lines(sum(map(_bytes_of, fetched)), shutil.disk_usage(Path()).free)
        lines += costs.time_lines()
        lines += training_lines(self._configuration, self._datasets, reading.systems)
        lines += self._unread_splits(reading)
        blocking = [need for need in every if need.blocks]
        videos = {self._configuration.dataset(dataset).videos for dataset in reading.media}
        if any(need.place in videos for need in blocking):
            lines += self._without_videos(reading)
        without_gpu = lacking_gpu(self._configuration, reading.trained, runs_here)
        return [*map(_blocking_text, blocking), *without_gpu], lines

    def _unread_splits(self, reading: Reading) -> list[str]:
        """Return a line for every dataset whose videos are extracted although no system reads some of its splits."""
        lines = []
        for dataset in sorted(reading.media.keys() & reading.splits.keys()):
            read, known = reading.splits[dataset], self._datasets.splits(dataset)
            unread = [split for split in known if split not in read]
            if unread and not self._configuration.dataset(dataset).generate:
                setting = f"datasets={{{dataset}: {{annotations: {{only_splits: [{', '.join(sorted(read))}]}}}}}}"
                lines.append(
                    f"nothing reads {', '.join(unread)} of {dataset}: `--config '{setting}'` leaves the videos out"
                )
        return lines

    def _without_videos(self, reading: Reading) -> list[str]:
        """Return a line about the systems that do the same with published features, if there are any."""
        configuration = self._configuration
        found = [
            f"{RESULTS}/{dataset}/{other}/metrics.json"
            for dataset, name in reading.systems
            for other in configuration.known("systems")
            if other != name and configuration.base("systems", other) == configuration.base("systems", name)
            if self._is_free_of_videos(dataset, other)
        ]
        return [f"without any video, from published features: {', '.join(dict.fromkeys(found))}"] if found else []

    def _is_free_of_videos(self, dataset: str, name: str) -> bool:
        """Return whether a system runs on a dataset with features that are offered for it; not if it cannot at all."""
        configuration = self._configuration
        try:
            system = configuration.system(dataset, name)
            names = [feature for content in system.streams.values() for feature in content.names]
            names += [system.transcript] if system.transcript else []
            for feature in system.streams["text"].names if "text" in system.streams else ():
                self._features.require_numbering(system.annotations_on(dataset), feature)
            imported = [each for each in names if configuration.is_imported(each)]
            is_offered = all(
                self._downloads.archives_for(dataset, configuration.feature(dataset, each).path) for each in imported
            )
        except UserError:
            return False
        reads_media = any(self._features.reads_media(dataset, each) for each in names)
        return bool(imported) and is_offered and not reads_media


def refusal(blocking: Sequence[str], lines: Sequence[str]) -> str:
    """Return the one message about targets that cannot be made."""
    text = blocking[0]
    if len(blocking) > 1:
        numbered = "".join(f"\n  {number}. {each}" for number, each in enumerate(blocking, 1))
        text = f"{len(blocking)} things are missing that no job can make:{numbered}"
    also = "".join(f"\n  {line}" for line in lines)
    return f"{text}{also}\nNo job was started; `--config preflight=warn` starts them all the same."


def _blocking_text(need: Need) -> str:
    """Return what is wrong with a thing, and below it the ways to get it, one per line."""
    first, *others = [need.wrong] if need.wrong else need.ways
    size = f" ({_size(need)})" if others and _bytes_of(need) else ""
    used_by = f"; read by {need.used_by}" if need.used_by else ""
    return f"{first}{used_by}" + "".join(f"\n     {way}{size}" for way in others)


def _partly_text(need: Need) -> str:
    many = f"{need.n_here:,} of {need.n_all:,}" if need.n_all else f"{need.n_here:,}"
    return f"{need.name}: {many} here" + "".join(f"\n     {way}" for way in need.ways)


def _fetched_lines(fetched: Sequence[Need]) -> list[str]:
    """Return what is fetched before jobs begin, files of one name in one line."""
    if not fetched:
        return []
    lines = [f"fetched by itself, {_size_of_all(fetched)} in {len(fetched)} files:"]
    for name in dict.fromkeys(need.name for need in fetched):
        files = [need for need in fetched if need.name == name]
        sizes = _size(files[0]) if len(files) == 1 else f"{len(files)} files, {_size_of_all(files)}"
        lines.append(f"     {name}: {sizes}")
    return ["\n".join(lines)]


def _size_of_all(needs: Sequence[Need]) -> str:
    sizes = [_bytes_of(need) for need in needs]
    if not any(sizes):
        return "size not known"
    return f"{'' if all(sizes) else 'at least '}{readable_size(sum(sizes))}"


def _bytes_of(need: Need) -> int:
    return need.size or stated_bytes(need.about)


def _size(need: Need) -> str:
    return readable_size(need.size) if need.size else f"about {need.about}" if need.about else "size not known"
