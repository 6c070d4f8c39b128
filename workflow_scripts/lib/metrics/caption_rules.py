"""The rule sets for captions: the corpus scores of pycocoevalcap, and further metrics on request."""

import numpy as np

from workflow_scripts.lib.metrics import captions
from workflow_scripts.lib.metrics.errors import BadReference, caution, name_some
from workflow_scripts.lib.metrics.optional_captions import make_scorers
from workflow_scripts.lib.metrics.questions import Captions
from workflow_scripts.lib.metrics.scored import Options, Scored

NO_MEANS = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "METEOR")
"""Metrics whose number is computed from sums over all captions."""


def score(is_hirest: bool, question: Captions, answers: Captions, options: Options) -> Scored:
    """Score one caption of every thing against its references.

    Parameters
    ----------
    is_hirest : whether everything is lower-cased first, and CLIPScore is that of HiREST
    options : `also`, `models` and `device` are heeded

    Raises
    ------
    UserError
        Java or a model that a metric needs is not there; nothing was computed.
    BadReference
        A thing has no reference; or CLIPScore is asked for and nothing has a picture.
    """
    without = [name for name, texts in zip(question.ids, question.texts, strict=True) if not texts]
    if without:
        raise BadReference(f"captions without a reference: query {name_some(without)}")
    captions.check_java()
    scorers = make_scorers(options, "hirest" if is_hirest else "clipscore")
    own, references = [texts[0] for texts in answers.texts], question.texts
    if is_hirest:
        own, references = [text.lower() for text in own], [[text.lower() for text in texts] for texts in references]
    texts = captions.tokenized(own, references, question.pictures)
    corpus, per_query = captions.score_tokens(texts.own_tokens, texts.reference_tokens)
    per_query |= {metric: np.asarray(scorer(texts), dtype=np.float64) for metric, scorer in scorers.items()}
    empty = [name for name, text in zip(question.ids, own, strict=True) if not text.strip()]
    return Scored(
        per_query,
        corpus={name: 100 * corpus[name] for name in NO_MEANS},
        cautions=caution("EmptyCaption", len(empty), empty),
    )


def metric_names(options: Options) -> tuple[str, ...]:
    """Return the names of all metrics."""
    return (*captions.METRICS, *options.also)
