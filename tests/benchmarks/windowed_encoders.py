"""Times the encoders of windows beside the plainest correct code: `python -m tests.benchmarks.windowed_encoders`.

Both are the published network at full width with random weights. Plain: batch norms unfolded, PyTorch's own choice of
convolution, one window at a time, every window decoded when it is its turn. Ours: what an extraction job runs.
Forward passes are timed in CPU seconds of one thread, so that other programs on the machine matter little; end to end
in wall seconds over generated videos. Options: `--device cuda`, `--threads 2`, `--only slowfast_r50`, `--videos 20`.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.encoders.networks.c3d import C3d
from models.encoders.networks.filling import fill
from models.encoders.networks.i3d import I3d
from models.encoders.networks.slowfast import SlowFast
from tests.benchmarks.figures import Figure, benchmark_parser, tell
from tests.decoded import decoded_rows
from workflow_scripts.lib.configuration.compose import Configuration
from workflow_scripts.lib.extraction.batching import Prefetch, encode_videos
from workflow_scripts.lib.extraction.networks import load_encoder
from workflow_scripts.lib.extraction.settings import feature_settings
from workflow_scripts.lib.extraction.stalls import Stalls
from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe
from workflow_scripts.lib.media.probe import frame_times
from workflow_scripts.lib.media.sampling import plan_frames

CONFIG = Path(__file__).resolve().parents[2] / "config"
FORWARD_RUNS = 3
CLIP_S = 4
MIN_RATIO = 2

PLAIN: dict[str, tuple[Callable[[], torch.nn.Module], Callable[[torch.Tensor], torch.Tensor]]] = {
    "slowfast_r50": (SlowFast, lambda frames: (frames / 255 - 0.45) / 0.225),
    "i3d_kinetics": (I3d, lambda frames: frames / 255 * 2 - 1),
    "c3d_fc6": (C3d, lambda frames: frames),
}
"""Feature -> its network and what becomes of its frames."""


class PlainConvolutions:
    """While it is active, networks use PyTorch's convolution and its choice of algorithm."""

    def __enter__(self) -> None:
        import models.encoders.networks.convolution as convolution
        import models.encoders.networks.i3d as i3d

        self.kept = convolution.conv3d
        self.modules = (convolution, i3d)
        for module in self.modules:
            module.conv3d = torch.nn.functional.conv3d

    def __exit__(self, *_: object) -> None:
        for module in self.modules:
            module.conv3d = self.kept


def settings_of(name: str, device: str, precision: str) -> dict[str, Any]:
    """Return the settings of a feature with random weights."""
    overrides = {name: {"weights": "random(0)", "params": {"precision": precision}}}
    found = feature_settings(Configuration({"features": overrides, "device": device}, CONFIG), "demo", name)
    if name == "c3d_fc6":
        found["recipe"]["params"] |= {"pixel_mean": 128, "pixel_scale": 64}
    return found


def plain_encoder(name: str, device: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return the plain code: one window (T, H, W, 3) in, its rows out."""
    make, prepare = PLAIN[name]
    network = make()
    fill(network, 0, 1.0)
    network = network.eval().to(device)

    def encode(window: np.ndarray) -> np.ndarray:
        with torch.no_grad(), PlainConvolutions():
            frames = torch.from_numpy(window).to(device).permute(3, 0, 1, 2)[None].float().contiguous()
            found = network(prepare(frames))
        return (found["fc6"] if isinstance(found, dict) else found).cpu().numpy()

    return encode


def seconds(run: Callable[[], Any], clock: Callable[[], float], n_runs: int) -> float:
    """Return the shortest of some runs after one that is not timed."""
    run()
    times = []
    for _ in range(n_runs):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def make_videos(folder: Path, n_videos: int, ffmpeg: str) -> list[Path]:
    """Generate moving test pictures, 30 frames per second, 320 x 240."""
    paths = []
    for i in range(n_videos):
        path = folder / f"{i}.mp4"
        source = f"testsrc2=size=320x240:rate=30:duration={CLIP_S},hue=h={i * 20}"
        command = [ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-pix_fmt", "yuv420p", str(path)]
        subprocess.run(command, check=True)
        paths.append(path)
    return paths


def windows_of(path: Path, recipe: dict[str, Any], ffmpeg: str) -> Iterator[np.ndarray]:
    plan = plan_frames(recipe["sampling"], frame_times(path))
    return decoded_rows(path, plan.frame_idx, plan.frames_per_row, recipe["resize"], ffmpeg)


def end_to_end_plain(paths: list[Path], settings: dict[str, Any], encode: Callable[[np.ndarray], Any]) -> int:
    """Decode and encode window by window; return how many windows there were."""
    n_windows = 0
    ffmpeg = ffmpeg_exe(None)
    for path in paths:
        for window in windows_of(path, settings["recipe"], ffmpeg):
            encode(window)
            n_windows += 1
    return n_windows


def end_to_end_ours(paths: list[Path], settings: dict[str, Any], encoder: Any) -> None:
    """Do what an extraction job does."""
    by_id, ffmpeg, runtime = {path.stem: path for path in paths}, ffmpeg_exe(None), settings["runtime"]

    def units_of(video_id: str) -> Iterator[np.ndarray]:
        return windows_of(by_id[video_id], settings["recipe"], ffmpeg)

    with Prefetch(list(by_id), units_of, 2 * runtime["batch_size"], runtime["decode_workers"]) as units:
        for _ in encode_videos(units, encoder.encode, runtime["batch_size"], Stalls()):
            pass


def measure(name: str, paths: list[Path], device: str) -> dict[str, Any]:
    """Return the figures of one feature."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    settings = settings_of(name, device, "fp32")
    window = next(windows_of(paths[0], settings["recipe"], ffmpeg_exe(None)))
    plain = plain_encoder(name, device)
    figures = {"feature": name, "plain_forward_s": seconds(lambda: plain(window), clock, FORWARD_RUNS)}
    started = time.perf_counter()
    n_windows = end_to_end_plain(paths, settings, plain)
    figures["plain_windows_per_s"] = n_windows / (time.perf_counter() - started)
    wanted = None
    for precision in ("fp32", "bf16"):
        settings = settings_of(name, device, precision)
        encoder = load_encoder(settings)
        rows = encoder.encode(window[None]).reshape(-1, encoder.dim)
        wanted = rows if wanted is None else wanted
        cosine = (rows * wanted).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(wanted, axis=1)
        forward_s = seconds(lambda e=encoder: e.encode(window[None]), clock, FORWARD_RUNS)
        started = time.perf_counter()
        end_to_end_ours(paths, settings, encoder)
        rate = n_windows / (time.perf_counter() - started)
        figures[precision] = {
            "forward_s": forward_s,
            "forward_ratio": figures["plain_forward_s"] / forward_s,
            "windows_per_s": rate,
            "end_to_end_ratio": rate / figures["plain_windows_per_s"],
            "least_cosine_to_fp32": float(cosine.min()),
        }
    return figures


def compared(names: list[str], n_videos: int, device: str) -> Iterator[Figure]:
    """Yield the ratios of forward passes."""
    with tempfile.TemporaryDirectory() as folder:
        paths = make_videos(Path(folder), n_videos, ffmpeg_exe(None))
        for name in names:
            figures = measure(name, paths, device)
            print(json.dumps(figures))
            for precision in ("fp32", "bf16"):
                found = figures[precision]
                print(
                    f"{name}, {precision}: forward {found['forward_s']:.3f} s, plain "
                    f"{figures['plain_forward_s']:.3f} s; end to end {found['windows_per_s']:.2f} windows/s, plain "
                    f"{figures['plain_windows_per_s']:.2f} ({found['end_to_end_ratio']:.2f} x); cosine to fp32 >= "
                    f"{found['least_cosine_to_fp32']:.6f}"
                )
                what = f"encoder {name}, {precision}, {device}: forward pass over plain PyTorch, rates"
                yield Figure(what, found["forward_ratio"], "x", "larger", MIN_RATIO)


def main() -> int:
    parser = benchmark_parser(__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="where networks run")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of a network")
    parser.add_argument("--videos", type=int, default=2, help=f"videos of {CLIP_S} s, end to end")
    parser.add_argument("--only", choices=sorted(PLAIN), nargs="+", default=list(PLAIN), help="features")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    return tell(compared(args.only, args.videos, args.device), args.json)


if __name__ == "__main__":
    sys.exit(main())
