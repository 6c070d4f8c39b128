"""Tiny videos made for a test. Every frame shows its number as twelve black or white blocks; see `frame_number`."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (96, 64)


def numbered_picture(number: int, width: int, height: int) -> np.ndarray:
    """Return uint8 (H, W, 3) with bit b of the number in block row b // 6, column b % 6."""
    bits = (number >> np.arange(12)) & 1
    blocks = np.kron(bits.reshape(2, 6), np.ones((height // 2, width // 6)))
    return np.repeat((blocks * 255).astype(np.uint8)[:, :, None], 3, axis=2)


def make_clip(
    path: Path,
    n_frames: int = 30,
    rate: int = 10,
    size: tuple[int, int] = SIZE,
    sound: tuple[float, np.ndarray] | None = None,
    options: dict[str, str] | None = None,
    sample_rate: int = 16000,
) -> Path:
    """Write a clip.

    Parameters
    ----------
    path : Path
        Its suffix decides the container.
    n_frames, rate, size
        Number of frames, frames per second, width and height.
    sound : pair, optional
        Second at which it starts, and int16 (channels, N) samples.
    options : dict, optional
        Of the container, e.g. `{"movflags": "+faststart"}`.
    """
    with av.open(str(path), "w", options=options or {}) as container:
        video = container.add_stream("libx264", rate=rate)
        video.width, video.height = size
        video.pix_fmt = "yuv420p"
        video.options = {"preset": "ultrafast", "crf": "10", "bf": "2", "g": "12"}
        audio = None
        if sound is not None:
            audio = container.add_stream("aac" if path.suffix != ".mkv" else "pcm_s16le", rate=sample_rate)
            audio.layout = "mono" if len(sound[1]) == 1 else "stereo"
        for number in range(n_frames):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number, *size), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        if audio is not None:
            _add_sound(container, audio, sound, sample_rate)
    return path


def _add_sound(container, audio, sound: tuple[float, np.ndarray], sample_rate: int) -> None:
    start_s, samples = sound
    step = 1024
    for low in range(0, samples.shape[1], step):
        block = np.ascontiguousarray(samples[:, low : low + step])
        packed = np.ascontiguousarray(block.T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(packed, format="s16", layout=audio.layout.name)
        frame.sample_rate, frame.time_base = sample_rate, Fraction(1, sample_rate)
        frame.pts = round(start_s * sample_rate) + low
        container.mux(audio.encode(frame))
    container.mux(audio.encode())


def copy_streams(source: Path, target: Path, skip_packets: int = 0, options: dict[str, str] | None = None) -> Path:
    """Copy the video packets of a clip into another container, without the first `skip_packets`."""
    with av.open(str(source)) as reading, av.open(str(target), "w", options=options or {}) as writing:
        stream = reading.streams.video[0]
        copied = writing.add_stream_from_template(stream)
        for number, packet in enumerate(reading.demux(stream)):
            if packet.dts is not None and number >= skip_packets:
                packet.stream = copied
                writing.mux(packet)
    return target


def rotated(source: Path, target: Path, degrees: int) -> Path:
    """Copy a clip with a note to players to turn it."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = reading.streams.video[0]
        copied = writing.add_stream_from_template(stream)
        copied.set_display_rotation(degrees)
        for packet in reading.demux(stream):
            if packet.dts is not None:
                packet.stream = copied
                writing.mux(packet)
    return target


def state_zero_seconds(path: Path) -> None:
    """Make every box of the header that states a duration state none."""
    data = bytearray(path.read_bytes())
    for box, offset in ((b"mvhd", 16), (b"mdhd", 16), (b"tkhd", 20)):
        start = data.index(box) + len(box) + offset
        data[start : start + 4] = bytes(4)
    path.write_bytes(data)
