"""What can be wrong with annotations, one class per fault; every message says where, what, and what to do."""

from workflow_scripts.lib.errors import UserError


class AnnotationError(UserError):
    """A fault in annotations.

    Parameters
    ----------
    where : str
        File and line, or table and row.
    found : str
        What is there.
    expected : str
        What should be there.
    remedy : str, optional
        What to do about it.
    """

    def __init__(self, where: str, found: str, expected: str, remedy: str = "Correct the annotation file.") -> None:
        super().__init__(f"{where}: {type(self).__name__}: found {found}; expected {expected}. {remedy}")


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
    """A video id is blank, holds a slash or a blank, or does not follow from the id in the source."""


class DuplicateVideo(AnnotationError):
    """One video is described twice, and differently."""


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


class DuplicateQuery(AnnotationError):
    """Two queries have the same id, or the same place in their video."""


class UnknownVideo(AnnotationError):
    """A row names a video that the table of videos lacks."""


class UnknownQuery(AnnotationError):
    """A row names a query that the table of queries lacks, or one of another video."""


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


class NonFiniteSpan(AnnotationError):
    """A span holds something that is not a finite number."""


class ZeroLengthSpan(AnnotationError):
    """A span starts where it ends."""


class ReversedSpan(AnnotationError):
    """A span ends before it starts."""


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


class NonFiniteScore(AnnotationError):
    """A prediction's score is not a finite number."""


class MissingScore(AnnotationError):
    """A prediction has no score where the metrics sort by it."""


class MissingPrediction(AnnotationError):
    """A query has no prediction, not even an explicit miss."""


class UnknownView(AnnotationError):
    """No view of the moments has this name."""
