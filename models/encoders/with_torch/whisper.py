"""The two engines behind `models/encoders/whisper.py`, and what they share: pieces, languages, and what is dropped."""

import bisect
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from models.encoders.interface import DroppedSegment, SpeechSegment, Transcript, Word
from models.encoders.networks.voice_activity import LONGEST_PIECE_S, SAMPLE_RATE, join_spans, speech_spans
from models.weights import seeded_state

ENGLISH = "en"
PIECES_PER_BATCH = {"cpu": 4, "cuda": 16}
"""Scores of attention take 60 MB a piece and more; a processor is no faster with many."""
HIREST_TEMPERATURES = (0.15, 0.35, 0.55, 0.75, 0.95)
HIREST_MIN_LOGPROB = -1.0
FASTEST_SPEECH = 30.0
"""Characters per second that nobody exceeds; a network in a loop does."""
BEAM_SIZE, BEST_OF, PATIENCE = 5, 5, 1.0
FLOAT_KEYS = ("encoder.positional_embedding",)
"""Sine waves, which are no weights."""


@dataclass(frozen=True)
class Piece:
    """A stretch of one file; `language` is known when it reaches an engine's `recognise`."""

    file: int
    start_s: float
    wave: np.ndarray
    language: str = ENGLISH


class Heard(NamedTuple):
    """A segment of a piece with the network's doubts, in seconds of the piece."""

    segment: SpeechSegment
    no_speech_probability: float
    compression_ratio: float
    mean_logprob: float


class Engine(Protocol):
    """What both engines do."""

    is_multilingual: bool

    def detect_language(self, wave: np.ndarray) -> tuple[str, float]:
        """Return the likeliest language of at most 30 s and its probability."""

    def recognise(self, pieces: Sequence[Piece]) -> Iterator[list[Heard]]:
        """Yield what is said in each piece; all pieces have the same language."""


class PieceRecogniser:
    """Cuts files into pieces, has them recognised together and puts the results back in order.

    Parameters
    ----------
    config : `models.encoders.whisper.Config`
    engine : what recognises pieces
    """

    def __init__(self, config: Any, engine: Engine) -> None:
        self.config = config
        self.engine = engine

    def transcribe(self, waves: Sequence[np.ndarray]) -> list[Transcript]:
        """Transcribe float32 (samples,) waveforms in [-1, 1] at 16 kHz."""
        pieces = [self._pieces(index, np.ascontiguousarray(wave, np.float32)) for index, wave in enumerate(waves)]
        languages = [self._language(of_file) for of_file in pieces]
        ready = [
            replace(piece, language=language)
            for of_file, (language, _) in zip(pieces, languages, strict=True)
            for piece in of_file
        ]
        segments: list[list[SpeechSegment]] = [[] for _ in waves]
        dropped: list[list[DroppedSegment]] = [[] for _ in waves]
        for _, group in groupby(sorted(ready, key=lambda piece: piece.language), lambda piece: piece.language):
            batch = list(group)
            for piece, heard in zip(batch, self.engine.recognise(batch), strict=True):
                for item in heard:
                    segment, why = shifted(piece, item.segment), self._why_dropped(item)
                    if why is None:
                        segments[piece.file].append(segment)
                    else:
                        dropped[piece.file].append(DroppedSegment(segment.start_s, segment.end_s, segment.text, why))
        return [
            Transcript(_sorted(found), *(language if found else (None, None)), _sorted(lost))
            for found, language, lost in zip(segments, languages, dropped, strict=True)
        ]

    def _pieces(self, index: int, wave: np.ndarray) -> list[Piece]:
        if not self.config.voice_activity:
            return [Piece(index, 0.0, wave)] if len(wave) else []
        spans = join_spans(speech_spans(wave), self.config.join_gap_s)
        return [Piece(index, start / SAMPLE_RATE, wave[start:end]) for start, end in spans]

    def _language(self, pieces: list[Piece]) -> tuple[str, float | None]:
        if not self.engine.is_multilingual:
            return ENGLISH, None
        if self.config.language or not pieces:
            return self.config.language or ENGLISH, None
        return self.engine.detect_language(pieces[0].wave[: int(LONGEST_PIECE_S * SAMPLE_RATE)])

    def _why_dropped(self, heard: Heard) -> str | None:
        """Return why a segment is not believed, None if it is; what `hirest` keeps was decided inside Whisper.

        Notes
        -----
        As in Whisper, words that are likely outweigh the network's doubt that anybody speaks; here only where a voice
        was heard, because words that are made up over silence and music are likely, too. A phrase that somebody says
        again and again is told from a loop of the network by the time that saying it takes.
        """
        config, text = self.config, heard.segment.text.strip()
        if not text:
            return "empty"
        if config.preset == "hirest":
            return None
        is_likely = config.voice_activity and heard.mean_logprob > config.min_logprob
        if heard.no_speech_probability > config.no_speech_threshold and not is_likely:
            return "no_speech"
        could_be_said = len(text) <= FASTEST_SPEECH * (heard.segment.end_s - heard.segment.start_s)
        if heard.compression_ratio > config.max_compression_ratio and not (is_likely and could_be_said):
            return "repeated"
        return None


def _sorted(segments: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(sorted(segments, key=lambda segment: segment.start_s))


def shifted(piece: Piece, segment: SpeechSegment) -> SpeechSegment:
    """Return a segment on the clock of its file, inside its piece; Whisper may place an end after it."""
    end_s = piece.start_s + len(piece.wave) / SAMPLE_RATE

    def placed(time_s: float) -> float:
        return round(float(min(max(piece.start_s + time_s, 0.0), end_s)), 3)

    words = segment.words and tuple(
        Word(placed(word.start_s), placed(word.end_s), word.text, word.probability) for word in segment.words
    )
    return SpeechSegment(placed(segment.start_s), placed(segment.end_s), segment.text.strip(), words)


def sampling_options(config: Any) -> dict[str, Any]:
    """Return the options that both engines call alike."""
    shared = {"beam_size": BEAM_SIZE, "condition_on_previous_text": False, "temperature": 0.0}
    if config.preset == "hirest":
        shared = {
            "beam_size": BEAM_SIZE,
            "best_of": BEST_OF,
            "patience": PATIENCE,
            "condition_on_previous_text": True,
            "temperature": HIREST_TEMPERATURES,
        }
    return {
        **shared,
        "compression_ratio_threshold": config.max_compression_ratio,
        "no_speech_threshold": config.no_speech_threshold,
        "word_timestamps": config.word_times,
    }


class OpenAIEngine:
    """openai-whisper, piece by piece; `weights` is a checkpoint (`dims`, `model_state_dict`) or a seed."""

    def __init__(self, config: Any, weights: Any, device: str) -> None:
        import torch
        import whisper

        self.config, self.torch, self.whisper = config, torch, whisper
        if isinstance(weights, dict):
            dims = whisper.model.ModelDimensions(**weights["dims"])
        elif isinstance(weights, int) and config.sizes:
            dims = whisper.model.ModelDimensions(**config.sizes)
        else:
            raise ValueError("engine `openai` takes an openai-whisper checkpoint, or a seed together with `sizes`")
        network = whisper.model.Whisper(dims)
        if isinstance(weights, dict):
            network.load_state_dict(weights["model_state_dict"], strict=True)
        else:
            own = network.state_dict()
            arrays = seeded_state({key: tuple(value.shape) for key, value in own.items()}, weights, 1.0)
            state = {key: own[key] if key in FLOAT_KEYS else torch.from_numpy(arrays[key]) for key in own}
            network.load_state_dict(state, strict=True)
        if config.alignment_heads:
            network.set_alignment_heads(whisper._ALIGNMENT_HEADS[config.alignment_heads])
        self.network = network.eval().to(device)
        self.fp16 = device != "cpu" and config.precision == "default"
        self.is_multilingual = network.is_multilingual

    def detect_language(self, wave: np.ndarray) -> tuple[str, float]:
        """Return the likeliest language of at most 30 s and its probability."""
        mel = self.whisper.log_mel_spectrogram(self.whisper.pad_or_trim(wave), self.network.dims.n_mels)
        _, probabilities = self.network.detect_language(mel.to(self.network.device))
        language = max(probabilities, key=probabilities.get)
        return language, float(probabilities[language])

    def recognise(self, pieces: Sequence[Piece]) -> Iterator[list[Heard]]:
        """Yield what is said in each piece."""
        is_hirest = self.config.preset == "hirest"
        for piece in pieces:
            self.torch.manual_seed(self.config.seed)
            result = self.whisper.transcribe(
                self.network,
                piece.wave,
                language=piece.language,
                verbose=None,
                fp16=self.fp16,
                logprob_threshold=HIREST_MIN_LOGPROB if is_hirest else None,
                **sampling_options(self.config),
            )
            yield [
                Heard(
                    SpeechSegment(float(s["start"]), float(s["end"]), s["text"], self._words(s)),
                    s["no_speech_prob"],
                    s["compression_ratio"],
                    s["avg_logprob"],
                )
                for s in result["segments"]
            ]

    def _words(self, segment: dict[str, Any]) -> tuple[Word, ...] | None:
        if not self.config.word_times:
            return None
        return tuple(
            Word(float(w["start"]), float(w["end"]), w["word"].strip(), float(w["probability"]))
            for w in segment["words"]
        )


class FasterEngine:
    """faster-whisper; short pieces of many files share batches. `weights` is a CTranslate2 folder."""

    def __init__(self, config: Any, weights: Any, device: str) -> None:
        if not isinstance(weights, Path):
            raise ValueError("engine `faster` takes a CTranslate2 folder; random weights need engine `openai`")
        import ctranslate2
        from faster_whisper import BatchedInferencePipeline, WhisperModel

        self.config, self.ctranslate2, self.batch_size = config, ctranslate2, PIECES_PER_BATCH[device]
        default = "float16" if device == "cuda" else "float32"
        self.network = WhisperModel(
            str(weights),
            device=device,
            compute_type=default if config.precision == "default" else config.precision,
            cpu_threads=int(os.environ.get("OMP_NUM_THREADS", "0")),
            local_files_only=True,
        )
        self.network.logger.setLevel("WARNING")
        self.batched = BatchedInferencePipeline(self.network)
        self.is_multilingual = self.network.model.is_multilingual

    def detect_language(self, wave: np.ndarray) -> tuple[str, float]:
        """Return the likeliest language of at most 30 s and its probability."""
        language, probability, _ = self.network.detect_language(wave)
        return language, float(probability)

    def recognise(self, pieces: Sequence[Piece]) -> Iterator[list[Heard]]:
        """Yield what is said in each piece."""
        is_short = all(len(piece.wave) <= LONGEST_PIECE_S * SAMPLE_RATE for piece in pieces)
        if self.config.preset == "deterministic" and is_short:
            yield from self._together(pieces)
            return
        for piece in pieces:
            self.ctranslate2.set_random_seed(self.config.seed)
            found, _ = self.network.transcribe(
                piece.wave,
                language=piece.language,
                log_prob_threshold=HIREST_MIN_LOGPROB if self.config.preset == "hirest" else None,
                **sampling_options(self.config),
            )
            yield [self._heard(segment, 0.0) for segment in found]

    def _together(self, pieces: Sequence[Piece]) -> list[list[Heard]]:
        """Recognise pieces of any number of files in full batches.

        The batched pipeline takes one sound and where its pieces are: so the pieces are put behind one another, and a
        segment belongs to the piece with whose start it was made.
        """
        borders = np.cumsum([0, *(len(piece.wave) for piece in pieces)])
        # Half a sample keeps the pipeline's truncation from losing one.
        clips = [
            {"start": (start + 0.5) / SAMPLE_RATE, "end": (end + 0.5) / SAMPLE_RATE} for start, end in pairwise(borders)
        ]
        found, _ = self.batched.transcribe(
            np.concatenate([piece.wave for piece in pieces]),
            language=pieces[0].language,
            clip_timestamps=clips,
            vad_filter=False,
            without_timestamps=False,
            log_prob_threshold=None,
            batch_size=self.batch_size,
            **sampling_options(self.config),
        )
        frames = [int(start / SAMPLE_RATE * self.network.frames_per_second) for start in borders[:-1]]
        heard: list[list[Heard]] = [[] for _ in pieces]
        for segment in found:
            index = bisect.bisect_right(frames, segment.seek) - 1
            heard[index].append(self._heard(segment, borders[index] / SAMPLE_RATE))
        return heard

    def _heard(self, segment: Any, offset_s: float) -> Heard:
        words = None
        if self.config.word_times:
            words = tuple(
                Word(w.start - offset_s, w.end - offset_s, w.word.strip(), float(w.probability)) for w in segment.words
            )
        own = SpeechSegment(segment.start - offset_s, segment.end - offset_s, segment.text, words)
        return Heard(own, segment.no_speech_prob, segment.compression_ratio, segment.avg_logprob)
