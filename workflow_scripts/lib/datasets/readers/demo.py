"""The embedded demo with all its annotations: queries, saliency, prompts with steps, and captions of the same videos.

`<split>` names a file in the layout of QVHighlights, `<split>_hirest` and `<split>_captions` name those of the same
videos in the layouts of HiREST and UniQ4Cap. Prompts of the former are of the kind `steps`.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from workflow_scripts.lib.datasets.annotation_tables import Annotations
from workflow_scripts.lib.datasets.readers import hirest, qvhighlights, uniq4cap

PARTS = {"_hirest": hirest, "_captions": uniq4cap}


def splits_of(names: Iterable[str]) -> list[str]:
    """Return the names that are no further layouts."""
    return [name for name in names if not name.endswith(tuple(PARTS))]


def read(files: dict[str, Path], dataset: str) -> Annotations:
    """Read the demo's files.

    Parameters
    ----------
    files : dict of str to Path
        File of every split, and of its further layouts.
    dataset : str
        Key of the dataset.

    Returns
    -------
    Annotations
        Videos, queries of both layouts, moments, saliency, steps and captions.
    """
    further = {
        suffix: {name.removesuffix(suffix): path for name, path in files.items() if name.endswith(suffix)}
        for suffix in PARTS
    }
    own = {name: path for name, path in files.items() if not name.endswith(tuple(PARTS))}
    annotations = qvhighlights.read(own, dataset)
    for suffix, reader in PARTS.items():
        annotations.join(reader.read(further[suffix], dataset))
    for query in annotations.queries:
        said = json.loads(query.get("extra_json") or "{}")
        if "kind" not in said:
            query["extra_json"] = json.dumps(said | {"kind": "steps"})
    return annotations
