"""The settings a person can write: types, units, defaults and meaning; the one source of `config/schemas/*.json`."""

from workflow_scripts.lib.configuration.schema.datasets import (
    BenchmarkEvaluation,
    Dataset,
    ExternalPredictions,
)
from workflow_scripts.lib.configuration.schema.features import (
    AudioFeature,
    ExtractedFeature,
    FeatureBase,
    FeatureRuntime,
    ImportedFeature,
    ImportedTranscripts,
    SpeechFeature,
    SpokenFeature,
    TextFeature,
    TranscriptFeature,
    VisualFeature,
    Window,
)
from workflow_scripts.lib.configuration.schema.frames import SAMPLING_OPTIONS, Images, Resize, Sampling
from workflow_scripts.lib.configuration.schema.published import (
    Download,
    Published,
    PublishedResults,
    PublishedRow,
    Weight,
)
from workflow_scripts.lib.configuration.schema.root import Root
from workflow_scripts.lib.configuration.schema.section import Rate
from workflow_scripts.lib.configuration.schema.systems import (
    BASELINE,
    HELD_OUT,
    System,
    SystemRuntime,
)

__all__ = [
    "BASELINE",
    "HELD_OUT",
    "SAMPLING_OPTIONS",
    "AudioFeature",
    "BenchmarkEvaluation",
    "Dataset",
    "Download",
    "ExternalPredictions",
    "ExtractedFeature",
    "FeatureBase",
    "FeatureRuntime",
    "Images",
    "ImportedFeature",
    "ImportedTranscripts",
    "Published",
    "PublishedResults",
    "PublishedRow",
    "Rate",
    "Resize",
    "Root",
    "Sampling",
    "SpeechFeature",
    "SpokenFeature",
    "System",
    "SystemRuntime",
    "TextFeature",
    "TranscriptFeature",
    "VisualFeature",
    "Weight",
    "Window",
]
