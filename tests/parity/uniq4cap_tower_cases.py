"""Cases of UniQ4Cap's towers and front ends: `captioner_*` and `frontend_and_aux*` files of one folder."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from models.encoders.networks.beats import Beats
from models.encoders.networks.clip_inputs import (
    beats_spectrogram,
    mel_picture,
    mel_spectrogram,
    video_pixels,
    window_starts,
)
from models.encoders.networks.languagebind import AudioTower, VideoTower, kept_patches, resize_positions
from models.encoders.networks.vit3d import VisionTransformer3d
from tests.parity.harness import Check, has_files
from tests.unit.made_sounds import write_wave
from workflow_scripts.lib.media.audio import read_audio, resample
from workflow_scripts.lib.media.sparse_sampling import linspace_frames

TOWER = 2e-5
"""Another order of summation in float32."""
LOG_ENERGY = 1e-3
"""Logarithm of a sum of squares near the float32 floor."""
TOWER_INPUT = 2e-4
BEATS_FORM = {
    "layer_norm_first": False,
    "deep_norm": True,
    "relative_position_embedding": True,
    "gru_rel_pos": True,
    "conv_bias": False,
    "input_patch_size": 16,
    "activation_fn": "gelu",
}
"""What is the same in every BEATs of ours."""
PIXELS = 1e-5
SAMPLES = 1e-5
LONG_STEPS = (8, 16)
"""Of bands and frames, in which the picture of a long sound is stored."""


def claims(folder: Path) -> bool:
    """Return whether the folder holds the captioner or the front ends."""
    return has_files(folder, "captioner_state.safetensors") or has_files(folder, "frontend_and_aux.safetensors")


def checks(folder: Path) -> list[Check]:
    """Return one check per tower and front end that the folder has cases for."""
    found: dict[str, Callable[[], None]] = {}
    if has_files(folder, "captioner_state.safetensors"):
        towers = _Towers(folder)
        found |= {
            "video-tower": towers.check_video,
            "video-tower-patch-dropout": towers.check_patch_dropout,
            "audio-tower": towers.check_audio,
            "audio-position-resize": towers.check_positions,
        }
    if has_files(folder, "frontend_and_aux.safetensors"):
        others = _FrontEnds(folder)
        found |= {
            "frame-indices": others.check_frame_indices,
            "video-transform": others.check_video_transform,
            "mel": others.check_mel,
            "mel-windows": others.check_windows,
            "resample": others.check_resample,
            "sound files": others.check_sound_files,
            "beats-front-end": others.check_beats_front_end,
            "beats-network": others.check_beats,
            "vit3d": others.check_vit3d,
        }
    return [Check(name, lambda _, run=run: run()) for name, run in found.items()]


def assert_close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    np.testing.assert_allclose(found.detach().numpy(), expected.numpy(), rtol=0, atol=tolerance)


def strictly(network: torch.nn.Module, tensors: dict[str, Tensor], prefix: str) -> torch.nn.Module:
    """Return the network in eval mode with the tensors below a prefix, no more and no less."""
    state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
    network.load_state_dict(state, strict=True)
    return network.eval()


class _Towers:
    """Video and audio tower of the reduced captioner."""

    def __init__(self, folder: Path) -> None:
        self.state = load_file(folder / "captioner_state.safetensors")
        self.cases = load_file(folder / "captioner_io.safetensors")
        self.sizes = json.loads((folder / "captioner_meta.json").read_text())["config"]

    def patch(self, tower: str) -> int:
        """Return the side of a patch in pixels."""
        return self.state[f"{tower}_encoder.embeddings.patch_embedding.weight"].shape[-1]

    def video(self) -> VideoTower:
        c = self.sizes
        sizes = {"image": c["img"], "patch": self.patch("video"), "n_frames": c["frames"]}
        network = VideoTower(c["vD"], c["vL"], c["vH"], c["vI"], **sizes)
        return strictly(network, self.state, "video_encoder.")

    def audio(self) -> AudioTower:
        c = self.sizes
        sizes = {"bands": c["mel"], "patch": self.patch("audio"), "frames": c["tl"]}
        network = AudioTower(c["aD"], c["aL"], c["aH"], c["aI"], **sizes)
        return strictly(network, self.state, "audio_encoder.")

    def check_video(self) -> None:
        tower, pixels = self.video(), self.cases["video.in"]
        embedded = tower.embeddings(pixels)
        assert_close(embedded.flatten(0, 1), self.cases["video.embeddings"], TOWER)
        first = tower.encoder.layers[0](tower.pre_layrnorm(embedded))
        assert_close(first.flatten(0, 1), self.cases["video.layer0_out"], TOWER)
        assert_close(tower(pixels).flatten(1, 2), self.cases["video.tokens"], TOWER)

    def check_patch_dropout(self) -> None:
        draw, expected = (self.cases[f"video.patchdrop_{name}"] for name in ("rand", "keep_idx"))
        # The number of patches is rounded down.
        kept = kept_patches(draw, 1 - (expected.shape[1] + 0.5) / draw.shape[1])
        assert kept.tolist() == expected.tolist()
        tokens = self.video()(self.cases["video.in"], kept)
        assert_close(tokens.flatten(1, 2), self.cases["video.tokens_train_patchdrop"], TOWER)

    def check_audio(self) -> None:
        assert_close(self.audio()(self.cases["audio.in"]), self.cases["audio.tokens"], TOWER)

    def check_positions(self) -> None:
        resized = resize_positions(self.cases["audio.pos_before_resize"], self.audio().grid)
        assert_close(resized, self.cases["audio.pos_after_resize"], TOWER)


class _FrontEnds:
    """What the towers see, and the towers without pre-alignment."""

    def __init__(self, folder: Path) -> None:
        self.cases = load_file(folder / "frontend_and_aux.safetensors")
        self.meta: dict[str, Any] = json.loads((folder / "frontend_and_aux_meta.json").read_text())

    def check_frame_indices(self) -> None:
        tables = {name: table for name, table in self.meta.items() if name.startswith("frame_indices_")}
        assert tables
        for name, table in tables.items():
            n_chosen = int(name.removeprefix("frame_indices_"))
            for n_frames, expected in table.items():
                assert linspace_frames(int(n_frames), n_chosen).tolist() == expected

    def check_video_transform(self) -> None:
        names = [key.partition(".")[0] for key in self.cases if key.endswith(".frames_uint8")]
        assert names
        for name in names:
            assert_close(video_pixels(self.cases[f"{name}.frames_uint8"]), self.cases[f"{name}.out"], PIXELS)

    def check_mel(self) -> None:
        names = [key.partition(".")[0] for key in self.cases if key.endswith(".out_ch0")]
        assert names
        for name in names:
            mel = mel_spectrogram(self.cases[f"{name}.wave"])
            assert_close(mel, self.cases[f"{name}.fbank"], LOG_ENERGY)
            picture = mel_picture(mel)
            assert torch.equal(picture[0], picture[1])
            assert torch.equal(picture[0], picture[2])
            assert_close(picture[0], self.cases[f"{name}.out_ch0"], TOWER_INPUT)
        bands, frames = (slice(None, None, step) for step in LONG_STEPS)
        for name in (key.partition(".")[0] for key in self.cases if key.endswith(".wave_fp16")):
            mel = mel_spectrogram(self.cases[f"{name}.wave_fp16"].float())
            picture = mel_picture(mel, draw=np.random.RandomState(self.meta[name]["np_seed"]))
            assert_close(picture[:, bands, frames], self.cases[f"{name}.out_subsampled"], TOWER_INPUT)

    def check_windows(self) -> None:
        for n_frames, expected in self.meta["long_audio_chunks"].items():
            assert window_starts(int(n_frames)) == expected["first_of_each_third"]
            drawn = expected["random_with_np_seed"]
            assert window_starts(int(n_frames), draw=np.random.RandomState(drawn["seed"])) == drawn["idx"]

    @property
    def resampled(self) -> Tensor:
        """The sound at the new rate."""
        [name] = (name for name in self.cases if name.startswith("resample.out"))
        return self.cases[name]

    def check_resample(self) -> None:
        rates = self.meta["resample"]
        found = resample(self.cases["resample.in"].numpy(), rates["orig"], rates["new"], "sinc_hann")
        assert_close(torch.from_numpy(found), self.resampled, SAMPLES)

    def check_sound_files(self) -> None:
        """As the audio job reads sound: all channels, resampled from the file's rate; then what the towers see."""

        def read(name: str, rate: int, to_rate: int = 16000) -> Tensor:
            with TemporaryDirectory() as folder:
                path = write_wave(Path(folder) / "sound.mkv", self.cases[name].numpy(), rate)
                return torch.from_numpy(read_audio(path, to_rate, resampler="sinc_hann", channels="all"))

        rates = self.meta["resample"]
        assert_close(read("resample.in", rates["orig"], rates["new"]), self.resampled, SAMPLES)
        for key in self.cases:
            name, _, last = key.partition(".")
            if last == "out_ch0":
                mel = mel_spectrogram(read(f"{name}.wave", 16000))
                assert_close(mel, self.cases[f"{name}.fbank"], LOG_ENERGY)
                assert_close(mel_picture(mel)[0], self.cases[key], TOWER_INPUT)
        assert_close(beats_spectrogram(read("beats.wave", 16000)), self.cases["beats.fbank_norm"], LOG_ENERGY)

    def check_beats_front_end(self) -> None:
        found = beats_spectrogram(self.cases["beats.wave"])
        assert_close(found, self.cases["beats.fbank_norm"], LOG_ENERGY)

    def check_beats(self) -> None:
        c = self.meta["beats_cfg"]
        assert {name: c[name] for name in BEATS_FORM} == BEATS_FORM, "a form of BEATs that is not the published one"
        network = Beats(
            c["embed_dim"],
            c["encoder_embed_dim"],
            c["encoder_layers"],
            c["encoder_attention_heads"],
            c["encoder_ffn_embed_dim"],
            kernel=c["conv_pos"],
            groups=c["conv_pos_groups"],
            buckets=c["num_buckets"],
            distance=c["max_distance"],
        )
        tokens = strictly(network, self.cases, "beats_net.sd.")(self.cases["beats_net.in"])
        assert_close(tokens, self.cases["beats_net.out"], TOWER)

    def check_vit3d(self) -> None:
        pixels, prefix = self.cases["vit3d.in"], "vit3d.sd."
        n_frames, width = self.cases[f"{prefix}class_embedding"].shape
        patch = self.cases[f"{prefix}conv1.weight"].shape[-1]
        blocks = {key.split(".")[4] for key in self.cases if key.startswith(f"{prefix}transformer.resblocks.")}
        network = VisionTransformer3d(
            width,
            len(blocks),
            4,
            image=pixels.shape[-1],
            patch=patch,
            n_frames=n_frames,
            attend_over="batch",
        )
        tokens = strictly(network, self.cases, prefix)(pixels)
        assert_close(tokens.flatten(1, 2), self.cases["vit3d.out"], TOWER)
