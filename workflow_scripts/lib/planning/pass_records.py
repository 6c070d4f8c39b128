"""Which passes there are, as the record of every dataset has them (`store.pass_file`)."""

from collections.abc import Callable

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.planning.planned_files import RESULTS, PlannedFiles
from workflow_scripts.lib.store.atomic import json_text
from workflow_scripts.lib.store.pass_file import RECORD, Pass, passes_content, read_passes


class PassRecords:
    """The records of all datasets.

    Attributes
    ----------
    decide : asked once per dataset, with the passes that it has; returns those that it has from now on, or None as long
        as that cannot be told. None: they are as the record says
    writes : whether a change is recorded: not by a call that only shows what it would do, perhaps with other settings
    """

    def __init__(self, files: PlannedFiles) -> None:
        self._files = files
        self._passes: dict[str, list[Pass]] = {}
        self.decide: Callable[[str, list[Pass]], list[Pass] | None] | None = None
        self.writes = True

    def of_dataset(self, dataset: str) -> list[Pass]:
        """Return the passes of a dataset; a change is recorded."""
        if dataset not in self._passes:
            recorded = read_passes(RESULTS / dataset / RECORD)
            decided = recorded if self.decide is None else self.decide(dataset, recorded)
            if decided is None:
                return recorded
            self._passes[dataset] = decided
            if decided != recorded and self.writes:
                self._files.bring_up_to_date(RESULTS / dataset / RECORD, json_text(passes_content(decided)))
        return self._passes[dataset]

    def of_feature(self, dataset: str, feature: str) -> Pass | None:
        """Return the pass that makes a feature, None if jobs of its own do."""
        return next((each for each in self.of_dataset(dataset) if feature in each.members), None)

    def has_left(self, dataset: str, feature: str) -> bool:
        """Return whether a feature was made in a pass and is not any more, also if the record was deleted."""
        folders = (RESULTS / dataset / "passes").glob("*")
        return any(feature in each.left for each in self.of_dataset(dataset)) or any(
            feature in folder.name.split("+") for folder in folders
        )

    def named(self, dataset: str, name: str) -> Pass:
        """Return the pass of a folder's name.

        Raises
        ------
        UserError
            there is none
        """
        for each in self.of_dataset(dataset):
            if each.name == name:
                return each
        raise UserError(f"results/{dataset}/passes/{name}: there is no such pass; ask for the index of a feature")
