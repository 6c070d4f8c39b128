"""What the rules ask while the job graph is built, one part per subject.

Nothing is computed here. Two kinds of small files are kept up to date, because the job graph depends on their content
before any job runs: the list of each shard's videos, and the resolved settings beside the results they lead to.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.planning.dataset_plan import Datasets
from workflow_scripts.lib.planning.downloads import Downloads
from workflow_scripts.lib.planning.external import External
from workflow_scripts.lib.planning.feature_plan import Features
from workflow_scripts.lib.planning.images import ImageFolders
from workflow_scripts.lib.planning.job_settings import JobSettings
from workflow_scripts.lib.planning.pass_records import PassRecords
from workflow_scripts.lib.planning.passes import Passes
from workflow_scripts.lib.planning.planned_files import PlannedFiles
from workflow_scripts.lib.planning.preflight import Preflight
from workflow_scripts.lib.planning.system_plan import Systems
from workflow_scripts.lib.planning.targets import Targets


class Plan:
    """The configuration and the listed videos, as the rules need them.

    Parameters
    ----------
    config : content of `config/config.yaml` with `--config` laid over it
    folder : the `config` folder
    fetch_first : called with a file that has to be fetched before more can be planned; it does not return
    trusts_lists : look at no folder of videos whose shards are listed (`Datasets`)
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        folder: Path,
        fetch_first: Callable[[str], None] | None = None,
        trusts_lists: bool = False,
    ) -> None:
        self.configuration, files = Configuration(config, folder), PlannedFiles()
        self.downloads = Downloads(self.configuration, fetch_first)
        self.datasets = Datasets(self.configuration, files, self.downloads, trusts_lists)
        records = PassRecords(files)
        self.features = Features(self.configuration, files, self.downloads, self.datasets, records)
        self.passes = Passes(self.configuration, self.datasets, self.features, records)
        self.images = ImageFolders(self.configuration, self.downloads, self.datasets)
        self.jobs = JobSettings(files, self.datasets, self.features, self.images, self.downloads)
        self.systems = Systems(self.configuration, files, self.features)
        self.external = External(self.configuration, files)
        self.preflight = Preflight(self.configuration, files, self.downloads, self.datasets, self.features)
        self.targets = Targets(self.configuration)
