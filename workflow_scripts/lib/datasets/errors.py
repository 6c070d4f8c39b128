"""What can be wrong with annotations, one class per fault; every message says where, what, and what to do.

Faults that predictions can have as well are those of `lib.errors`.
"""

from workflow_scripts.lib.errors import DataError
from workflow_scripts.lib.errors import DuplicateQuery as DuplicateQuery
from workflow_scripts.lib.errors import DuplicateVideo as DuplicateVideo
from workflow_scripts.lib.errors import MissingPrediction as MissingPrediction
from workflow_scripts.lib.errors import MissingScore as MissingScore
from workflow_scripts.lib.errors import NonFiniteScore as NonFiniteScore
from workflow_scripts.lib.errors import NonFiniteSpan as NonFiniteSpan
from workflow_scripts.lib.errors import ReversedSpan as ReversedSpan
from workflow_scripts.lib.errors import UnknownQuery as UnknownQuery


class AnnotationError(DataError):
    """A fault that only annotations can have."""


class UnknownFormat(AnnotationError):
    """No reader has this name."""


class BadSourceFile(AnnotationError):
    """A source file is missing, or is not in its format."""


class MissingKey(AnnotationError):
    """A field that the format requires is not there."""


class BadValue(AnnotationError):
    """A field or a table cell holds a value of the wrong kind."""


class UnknownDataset(AnnotationError):
    """A row belongs to another dataset than its table, or the name cannot be a dataset's."""


class BadVideoId(AnnotationError):
    """A video id is no name or path that can stand in a list, or does not follow from the id in the source."""


class BadDuration(AnnotationError):
    """A duration is not a positive number of seconds."""


class MissingDuration(AnnotationError):
    """The annotations state no duration and the video cannot tell it."""


class BadFps(AnnotationError):
    """A frame rate is not positive."""


class DurationMismatch(AnnotationError):
    """Seconds and frames contradict each other."""


class SplitLeak(AnnotationError):
    """A training video is also in validation or test."""


class BadExtra(AnnotationError):
    """`extra_json` is not JSON."""


class UnknownVideo(AnnotationError):
    """A row names a video that the table of videos lacks."""


class BadQueryId(AnnotationError):
    """A query id does not begin with the dataset and split of its row."""


class BadModality(AnnotationError):
    """A query is neither text nor speech."""


class EmptyQuery(AnnotationError):
    """A text query has no words."""


class MissingAudio(AnnotationError):
    """A spoken query has no audio file."""


class DuplicateAudio(AnnotationError):
    """Two spoken queries of a split share an audio file."""


class BadSpeaker(AnnotationError):
    """Of speaker and speaker index only one is given."""


class BadFlags(AnnotationError):
    """Flags contradict the numbers or each other."""


class BadWindowIndex(AnnotationError):
    """The windows or steps of a query are not numbered 0, 1, 2, ..."""


class BadUnit(AnnotationError):
    """A span is neither in seconds nor in frames."""


class ZeroLengthSpan(AnnotationError):
    """A span starts where it ends."""


class SpanOutsideVideo(AnnotationError):
    """A span starts before or ends after its video."""


class ClipOutOfRange(AnnotationError):
    """A saliency score belongs to no complete clip of its video, or to one outside the query's windows."""


class BadSaliency(AnnotationError):
    """Saliency scores are not three whole numbers from 0 to 4."""


class UnsortedSteps(AnnotationError):
    """A step starts before the one in front of it."""


class StepOutsideMoment(AnnotationError):
    """A step leaves the moment of its query."""


class EmptyCaption(AnnotationError):
    """A caption has no words."""


class UnsortedTranscript(AnnotationError):
    """A transcript's segments are out of order, or one ends before it starts."""


class BadRank(AnnotationError):
    """The predictions of a query are not ranked 0, 1, 2, ..."""


class UnknownView(AnnotationError):
    """No view of the moments has this name."""
