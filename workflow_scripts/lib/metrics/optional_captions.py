"""The optional metrics of captions by name: which model each needs, and the scorer made of it."""

from collections.abc import Sequence
from pathlib import Path

from workflow_scripts.lib.metrics.captions import Scorer
from workflow_scripts.lib.metrics.errors import BadReference

WEIGHTS_OF = {
    "SPICE": ("corenlp_3_6_0",),
    "BERTScore": ("roberta_large", "roberta_large_config", "roberta_large_merges", "roberta_large_vocab"),
    "CLIPScore": ("clip_vit_b32",),
}
"""Optional metric -> entries of config/weights.yaml; the files of an entry with several lie in one folder."""


def make_scorer(metric: str, path: Path, images: Sequence[Sequence[Path]], device: str, clip_rule: str) -> Scorer:
    """Return an optional metric with its model loaded; SPICE starts Java, the others import torch.

    Parameters
    ----------
    metric : a key of `WEIGHTS_OF`
    path : file of the first entry
    images : pictures of every caption, for CLIPScore
    device : `cpu` or `cuda`
    clip_rule : one of `clip_score.RULES`

    Raises
    ------
    BadReference
        CLIPScore is asked for and there is no picture.
    JavaUnavailable, SpiceUnavailable
        SPICE cannot run.
    """
    if metric == "SPICE":
        from workflow_scripts.lib.metrics.spice import Spice

        return Spice(path)
    if metric == "BERTScore":
        from workflow_scripts.lib.metrics.bert_score import BertScore, RobertaEmbedder

        return BertScore(RobertaEmbedder(path.parent, device=device))
    from workflow_scripts.lib.metrics.clip_score import ClipScore, OpenClip

    if not any(images):
        raise BadReference("CLIPScore needs `images` of the captions; none has any")
    network = OpenClip.load(path, device)
    return ClipScore([network.images(paths) for paths in images], network.texts, clip_rule)
