"""A video of real pictures for `make demo-real`: `python -m tests.real_videos FOLDER`.

Big Buck Bunny's excerpt (tests/data/SOURCE.md), then two photographs that scikit-learn installs, over which the picture
moves: a palace by a lake, a flower (CC BY 2.0; `sklearn/datasets/images/README.txt` names their authors).
"""

import argparse
import subprocess
from pathlib import Path

import sklearn.datasets

from workflow_scripts.lib.media.ffmpeg import ffmpeg_exe

BUNNY = Path(__file__).parent / "data/videos/bigbuckbunny.mp4"
PHOTOGRAPHS = ("china.jpg", "flower.jpg")
PHOTOGRAPH_S = 6


def write_video(path: Path) -> None:
    """Write the video, 640 x 360 at 25 frames per second, without sound."""
    images = Path(sklearn.datasets.__file__).parent / "images"
    inputs = ["-i", str(BUNNY)]
    chains = ["[0:v]scale=640:360,setsar=1,fps=25[p0]"]
    for number, name in enumerate(PHOTOGRAPHS, 1):
        inputs += ["-loop", "1", "-framerate", "25", "-t", str(PHOTOGRAPH_S), "-i", str(images / name)]
        moving = f"crop=568:320:(iw-568)*t/{PHOTOGRAPH_S}:(ih-320)/2"
        chains.append(f"[{number}:v]{moving},scale=640:360,setsar=1[p{number}]")
    joined = "".join(f"[p{number}]" for number in range(len(chains))) + f"concat=n={len(chains)}:v=1:a=0[v]"
    command = [ffmpeg_exe(), "-hide_banner", "-nostdin", "-loglevel", "error", "-y", *inputs]
    coded = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p"]
    path.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, "-filter_complex", ";".join([*chains, joined]), "-map", "[v]", *coded, path], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    write_video(parser.parse_args().folder / "rabbit_palace_flower.mp4")


if __name__ == "__main__":
    main()
