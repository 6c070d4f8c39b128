"""One batch through an encoder at full size, with random weights: what it takes, what it gives, how fast."""

import importlib
from fractions import Fraction
from typing import Any

import numpy as np
import torch

from tests.rehearsal.machine import Machine
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.configuration.schema import ExtractedFeature, FeatureBase, VisualFeature
from workflow_scripts.lib.media.sampling import FrameTimes, plan_frames

SOUND_RATE, LONGEST_WAVE_S = 16_000, 30
MADE_SECONDS, MADE_RATE, MADE_SIZE = 20, 30, (360, 640)
ON_A_CPU = 2
"""Inputs of a batch where there is no GPU."""
SIZES_OF_WHISPER = {
    "large-v3": {
        "n_mels": 128,
        "n_audio_ctx": 1500,
        "n_audio_state": 1280,
        "n_audio_head": 20,
        "n_audio_layer": 32,
        "n_vocab": 51866,
        "n_text_ctx": 448,
        "n_text_state": 1280,
        "n_text_head": 20,
        "n_text_layer": 32,
    },
}
"""Sizes of published recognisers, which random weights have to be told."""
CUT_WHISPER = {"n_audio_layer": 2, "n_text_layer": 2}
"""What is left of one where there is no GPU."""
SENTENCE = "somebody opens the red door and walks outside with two dogs"


def features_by_encoder(configuration: Configuration) -> dict[str, str]:
    """Return for every encoder a feature of its published size: the first by name that is not made for tests."""
    found: dict[str, str] = {}
    for name in configuration.known("features"):
        feature = configuration.feature("demo", name)
        if isinstance(feature, ExtractedFeature) and not name.endswith("_tiny"):
            found.setdefault(feature.encoder, name)
    return found


def rehearse_encoder(configuration: Configuration, name: str, machine: Machine) -> dict[str, str]:
    """Return what was seen, by heading; `not run` says why there was nothing to see."""
    feature = configuration.feature("demo", name)
    size = feature.runtime.batch_size if machine.is_gpu else min(ON_A_CPU, feature.runtime.batch_size)
    params, cut = settings_of(feature, machine.is_gpu)
    heading = {"feature": name, "encoder": feature.encoder, "card": machine.name, "cut down": cut or "nothing"}
    loader = configuration.weight(feature.weights).loader if feature.weights in configuration.weight_names() else ""
    if loader.endswith("folder") or loader == "word vectors":
        return heading | {"not run": f"its weights are read from a {loader}, which cannot be drawn"}
    try:
        encoder = _loaded(feature, params, machine)
    except (ValueError, OSError, ImportError, TypeError) as error:
        return heading | {"not run": " ".join(f"{type(error).__name__}: {error}".split())[:160]}
    batch = made_batch(feature, size)
    run = encoder.transcribe if hasattr(encoder, "transcribe") else encoder.encode
    with torch.inference_mode():
        _, first_s = machine.timed(lambda: run(batch))
        rows, batch_s = machine.timed(lambda: run(batch))
    seen = {"inputs of a batch": f"{len(batch)}" + ("" if machine.is_gpu else f" of {feature.runtime.batch_size}")}
    seen |= {"s of the first batch": f"{first_s:.2f}", "inputs per s": f"{len(batch) / batch_s:.1f}"}
    if not hasattr(encoder, "transcribe"):
        found = np.concatenate([np.asarray(row, np.float32).reshape(-1, encoder.dim) for row in rows])
        if not np.isfinite(found).all():
            raise RuntimeError(f"{name}: rows that are not finite")
        seen["numbers of a row"] = str(encoder.dim)
    return heading | seen | {"peak memory": machine.peak()}


def _loaded(feature: FeatureBase, params: dict[str, Any], machine: Machine) -> Any:
    machine.begin()
    module = importlib.import_module(f"models.encoders.{feature.encoder}")
    weights = 0 if getattr(module, "TAKES_WEIGHTS", True) else None
    more = dict.fromkeys(feature.more_weights, 0)
    return module.load(module.Config.model_validate(params), weights, machine.device, **more)


def settings_of(feature: FeatureBase, is_gpu: bool) -> tuple[dict[str, Any], str]:
    """Return an encoder's settings for random weights, and what was cut down."""
    params = dict(feature.params)
    sizes = SIZES_OF_WHISPER.get(params.get("alignment_heads", ""))
    if sizes is None:
        return params, ""
    if is_gpu:
        return params | {"sizes": sizes}, ""
    # Times of words come from layers that are left out.
    kept = {"engine": params["engine"], "sizes": sizes | CUT_WHISPER}
    return kept, ", ".join(f"{name} {value}" for name, value in CUT_WHISPER.items())


def made_batch(feature: FeatureBase, n_inputs: int) -> Any:
    """Return inputs as an extraction hands them to the encoder (`models.encoders.interface`)."""
    rng = np.random.default_rng(0)
    if feature.kind in ("text", "transcript"):
        return [SENTENCE] * n_inputs
    if feature.kind in ("spoken", "speech"):
        seconds = LONGEST_WAVE_S if feature.kind == "speech" else 3
        return [0.1 * rng.standard_normal(seconds * SOUND_RATE, np.float32) for _ in range(n_inputs)]
    if not isinstance(feature, VisualFeature):
        seconds = feature.window.window_s if feature.window else MADE_SECONDS
        return 0.1 * rng.standard_normal((n_inputs, round(seconds * feature.sample_rate)), np.float32)
    height, width = (feature.resize.size,) * 2 if feature.resize else MADE_SIZE
    n_frames = _frames_per_row(feature)
    shape = (n_inputs, *((n_frames,) if n_frames else ()), height, width, 3)
    return rng.integers(0, 256, shape, dtype=np.uint8)


def _frames_per_row(feature: VisualFeature) -> int:
    """Return how many frames a row sees; 0 where it is one picture."""
    n_frames = MADE_SECONDS * MADE_RATE
    pts, tick = np.arange(n_frames), Fraction(1, MADE_RATE)
    times = FrameTimes(pts, tick, 0, n_frames, float(MADE_SECONDS), average_rate=Fraction(MADE_RATE))
    rule = {"rule": feature.sampling.rule} | feature.sampling.model_dump(mode="json", exclude_defaults=True)
    per_row = plan_frames(rule, times).frames_per_row
    return 0 if per_row is None else int(np.max(per_row))
