"""Opening files that somebody brings: containers and protocols are lists of ours, so that no file leads to another."""

from pathlib import Path

import av

CONTAINERS = (
    *("mov", "matroska", "avi", "asf", "mpeg", "mpegts", "mpegvideo", "flv", "ogg", "mxf", "rm", "wtv", "dv", "nut"),
    *("ivf", "yuv4mpegpipe", "m4v", "h264", "hevc", "obu", "av1", "mjpeg", "vc1", "cavsvideo", "dirac", "gxf", "lxf"),
    *("nsv", "swf", "smk", "bink", "roq", "mv", "mtv", "4xm", "ea", "film_cpk", "rpl", "viv", "pva", "ty", "wc3movie"),
    # Sounds, of spoken queries.
    *("wav", "mp3", "aac", "flac", "w64", "aiff", "caf", "au", "amr", "ac3", "eac3", "dts", "wv", "tta", "ape"),
    # Pictures, so that what is none can be told from a video.
    *("gif", "apng", "png_pipe", "jpeg_pipe", "bmp_pipe", "webp_pipe", "tiff_pipe"),
)
"""Demuxers of ffmpeg. Playlists (concat, hls, dash, sdp) are none of them: they name other files and hosts."""
OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
"""What ffmpeg, the library and the program, is told of every file that it opens."""


def open_media(path: Path | str) -> av.container.InputContainer:
    """Open a media file for demuxing or decoding.

    Raises
    ------
    av.FFmpegError, OSError
        If it cannot be opened.
    ValueError
        If its container is none of `CONTAINERS`.
    """
    try:
        return av.open(str(path), metadata_errors="replace", options=dict(OPTIONS))
    except av.error.ArgumentError as error:
        found = "its content is no video or sound of a container that is read (a playlist, perhaps)"
        raise ValueError(found) from error
