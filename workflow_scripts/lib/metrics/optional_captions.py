"""The optional metrics of captions by name: which model each needs, and the scorer made of it."""

from workflow_scripts.lib.errors import UserError
from workflow_scripts.lib.metrics.captions import Scorer
from workflow_scripts.lib.metrics.scored import OptionalMetric, Options

WEIGHTS_OF: dict[OptionalMetric, tuple[str, ...]] = {
    "SPICE": ("corenlp_3_6_0",),
    "BERTScore": ("roberta_large", "roberta_large_config", "roberta_large_merges", "roberta_large_vocab"),
    "CLIPScore": ("clip_vit_b32",),
}
"""Optional metric -> entries of config/weights.yaml; the files of an entry with several lie in one folder."""


def make_scorers(options: Options, clip_rule: str) -> dict[str, Scorer]:
    """Return the metrics of `options.also` with their models loaded; SPICE starts Java, the others import torch.

    Parameters
    ----------
    options : `also`, `models` and `device` are heeded
    clip_rule : one of `clip_score.RULES`

    Raises
    ------
    UserError
        A model is not there, or SPICE cannot run.
    """
    for metric in options.also:
        _require_model(metric, options)
    return {metric: _make_scorer(metric, options, clip_rule) for metric in options.also}


def _require_model(metric: OptionalMetric, options: Options) -> None:
    paths = options.models.get(metric, ())
    if not paths:
        raise UserError(f"{metric}: nobody says where its model is; options.models names the files")
    for path in paths:
        if not path.is_file():
            raise UserError(
                f"{metric}: its model is not at {path}. `snakemake --cores 1 {path}` fetches it; or take {metric} out "
                "of `also`"
            )


def _make_scorer(metric: OptionalMetric, options: Options, clip_rule: str) -> Scorer:
    path = options.models[metric][0]
    if metric == "SPICE":
        from workflow_scripts.lib.metrics.spice import Spice

        return Spice(path)
    if metric == "BERTScore":
        from workflow_scripts.lib.metrics.bert_score import BertScore, RobertaEmbedder

        return BertScore(RobertaEmbedder(path.parent, device=options.device))
    from workflow_scripts.lib.metrics.clip_score import ClipScore, OpenClip

    return ClipScore(OpenClip.load(path, options.device), clip_rule)
