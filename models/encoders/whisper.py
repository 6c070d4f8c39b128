"""Whisper speech recognition (Radford et al. 2022, arXiv 2212.04356) by openai-whisper or faster-whisper.

A file is first cut into pieces: the stretches in which Silero VAD hears a voice, or the whole file. The engine gets the
pieces; times are put back on the clock of the file.
"""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.encoders.interface import Recogniser, Weights

KIND = "speech"
RECIPE_VERSION = 2


class Config(BaseModel):
    """Parameters of a transcript."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    engine: Literal["openai", "faster"] = Field(
        "faster",
        description="`openai`: openai-whisper, whose files and numbers are the published ones; `faster`: "
        "faster-whisper (CTranslate2), several times as fast, not equal token by token",
    )
    preset: Literal["hirest", "deterministic"] = Field(
        "deterministic",
        description="`hirest`: j-min/HiREST's options: its first temperature is above 0, so it samples 5 candidates "
        "(seeded here) and never searches a beam; `deterministic`: temperature 0, beam of 5, no text carried over",
    )
    seed: int = Field(0, description="of the sampling of `hirest`, set anew for every piece")
    language: str | None = Field(None, description="code such as `en`; null: English for `.en` models, else detected")
    voice_activity: bool = Field(
        True, description="recognise only where Silero VAD hears a voice; without speech nothing runs"
    )
    join_gap_s: float = Field(
        1.0, ge=0, description="pauses up to this are left inside a piece (with `voice_activity`; pieces end at 30 s)"
    )
    word_times: bool = Field(False, description="also time every word; moves the ends of segments a little")
    no_speech_threshold: float = Field(
        0.6,
        gt=0,
        le=1,
        description="pieces that the network itself takes for silence with a higher probability are dropped, unless "
        "their words are likely (`min_logprob`) and a voice was heard there",
    )
    min_logprob: float = Field(
        -1.0, lt=0, description="words with a higher mean log-probability are likely; `hirest` has -1, as published"
    )
    max_compression_ratio: float = Field(
        2.4,
        gt=1,
        description="text that gzip shrinks more is a loop: sampled again by `hirest`, else dropped, "
        "unless it is likely, a voice was heard, and there was time to say it",
    )
    alignment_heads: str | None = Field(
        None,
        description="`openai`: model whose heads time the words, such as `small.en`; null: upper half of the layers",
    )
    precision: Literal["default", "float32", "int8"] = Field(
        "default", description="`default`: fp16 on a GPU, float32 on a CPU; `int8` only with `faster`"
    )
    sizes: dict[str, int] | None = Field(
        None, description="`openai`: dimensions of a reduced network with random weights, for tests"
    )

    @model_validator(mode="after")
    def _check_engine(self) -> "Config":
        if self.engine == "openai" and self.precision == "int8":
            raise ValueError("precision int8 needs engine `faster`")
        if self.engine == "faster" and (self.sizes or self.alignment_heads):
            raise ValueError("sizes and alignment_heads belong to engine `openai`; a CTranslate2 folder has its own")
        return self


def load(config: Config, weights: Weights, device: str) -> Recogniser:
    """Load the engine: an openai-whisper checkpoint or a seed for `openai`, a CTranslate2 folder for `faster`.

    Raises
    ------
    ValueError
        the weights are not of the engine's form
    RuntimeError
        a key of the checkpoint is missing, unexpected or has another shape
    """
    from models.encoders.with_torch.whisper import FasterEngine, OpenAIEngine, PieceRecogniser

    engines: dict[str, Any] = {"openai": OpenAIEngine, "faster": FasterEngine}
    return PieceRecogniser(config, engines[config.engine](config, weights, device))
