"""What can be wrong with one media file; the caller notes it for that video and goes on with the others."""

from workflow_scripts.lib.errors import UserError


class MediaError(UserError):
    """A media file that cannot be used as asked."""


class DecodeError(MediaError):
    """The file does not deliver the frames or samples that it announces."""


class NoAudioStream(MediaError):
    """The file has no sound."""
