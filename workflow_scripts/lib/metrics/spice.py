"""SPICE of captions: the share of objects, attributes and relations that a caption and its references have in common.

Runs the program that pycocoevalcap ships (peteanderson80/SPICE 1.0), which needs the Stanford CoreNLP 3.6.0 models.
pycocoevalcap downloads these into its own package folder when first used; here they come from the weights registry.
"""

import json
import subprocess
import tempfile
import zipfile
from pathlib import Path

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.captions import CaptionTexts, check_java

JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
MEMORY = "-Xmx8G"
_MAIN = "edu.anu.spice.SpiceScorer"


class SpiceUnavailable(UserError):
    """SPICE cannot run."""


def unpack_models(archive: Path) -> list[Path]:
    """Return the two jars of a CoreNLP 3.6.0 archive, unpacked beside it unless they are there.

    Raises
    ------
    SpiceUnavailable
        If the archive is damaged or another one.
    """
    folder = archive.with_suffix("")
    jars = [folder / name for name in JARS]
    if all(jar.is_file() for jar in jars):
        return jars
    try:
        with zipfile.ZipFile(archive) as opened:
            inside = {Path(name).name: name for name in opened.namelist()}
            folder.mkdir(exist_ok=True)
            for jar in jars:
                # Read whole, put in place by a rename: a jar that is there is complete.
                with tempfile.TemporaryDirectory(dir=folder) as aside:
                    Path(opened.extract(inside[jar.name], aside)).replace(jar)
    except (zipfile.BadZipFile, KeyError) as error:
        raise SpiceUnavailable(
            f"{archive}: {error!r}; expected the archive of Stanford CoreNLP 3.6.0. Delete it and download it again."
        ) from error
    return jars


class Spice:
    """The scorer.

    Parameters
    ----------
    archive : the archive of Stanford CoreNLP 3.6.0 (`corenlp_3_6_0` in config/weights.yaml)

    Raises
    ------
    JavaUnavailable, SpiceUnavailable
        If there is no Java, or no models.
    """

    def __init__(self, archive: Path) -> None:
        from pycocoevalcap.spice import spice

        shipped = Path(spice.__file__).parent
        jars = [shipped / spice.SPICE_JAR, *unpack_models(archive), *sorted((shipped / "lib").glob("*.jar"))]
        self._command = [str(check_java()), MEMORY, "-cp", ":".join(map(str, jars)), _MAIN]

    def __call__(self, texts: CaptionTexts) -> np.ndarray:
        """Return the F-score of every caption, float64 (N,), 0 to 1, of the tokenized texts."""
        pairs = zip(texts.own_tokens, texts.reference_tokens, strict=True)
        rows = [{"image_id": i, "test": own, "refs": list(references)} for i, (own, references) in enumerate(pairs)]
        with tempfile.TemporaryDirectory() as folder:
            asked, answered = Path(folder) / "captions.json", Path(folder) / "scores.json"
            asked.write_text(json.dumps(rows), encoding="utf-8")
            command = [*self._command, str(asked), "-out", str(answered), "-subset", "-silent"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode or not answered.is_file():
                raise SpiceUnavailable(
                    f"SPICE ended with {done.returncode}: {done.stderr[-2000:]} It needs 8 GB of memory."
                )
            found = {row["image_id"]: row["scores"]["All"]["f"] for row in json.loads(answered.read_text("utf-8"))}
        return np.array([found[i] for i in range(len(rows))], dtype=np.float64)
