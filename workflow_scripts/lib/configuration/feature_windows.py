"""Features of whole videos, as a dataset whose captions are of windows has them."""

from fractions import Fraction

from workflow_scripts.lib.configuration.schema import AudioFeature, FeatureBase, VisualFeature, Window

WHOLE_VIDEO = "linspace_clip"
"""Sampling rule that shows a network the whole video at once."""


def windowed(feature: FeatureBase, window_s: str | None) -> FeatureBase:
    """Return a feature that sees every window of a video as if it were a video; others, and without windows: as it is.

    Parameters
    ----------
    window_s : seconds, exact; None: no windows
    """
    if window_s is None:
        return feature
    if isinstance(feature, AudioFeature) and feature.window is None:
        length = float(Fraction(window_s))
        window = Window(window_s=length, hop_s=length, align="start", tail="short")
        return feature.model_copy(update={"window": window})
    if isinstance(feature, VisualFeature) and feature.sampling.rule == WHOLE_VIDEO:
        sampling = feature.sampling.model_copy(update={"window_s": window_s})
        return feature.model_copy(update={"sampling": sampling})
    return feature
