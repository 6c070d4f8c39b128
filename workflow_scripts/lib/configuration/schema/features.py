"""`config/features/<name>.yaml`, by kind of feature."""

from typing import Any, Literal, Self

from pydantic import (
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from workflow_scripts.lib.configuration.schema.frames import Images, Resize, Sampling
from workflow_scripts.lib.configuration.schema.section import Name, Section


class FeatureBase(Section):
    """What every feature file has."""

    description: str = Field(description="one line for tables and reports")
    dim: PositiveInt | None = Field(None, description="values per row, for the table in docs/encoders.md")
    used_by: str | None = Field(None, description="who reads such rows, for the table in docs/encoders.md")
    store_dtype: Literal["float16", "float32", "uint8"] = Field(
        "float16", description="type of the stored rows; uint8 is for levels 0 to 255 (encoder `pixels`)"
    )
    runtime: "FeatureRuntime" = Field(
        default_factory=lambda: FeatureRuntime(), description="how to compute it; never changes the rows"
    )

    @property
    def may_share_jobs(self) -> bool:
        """Whether one job may make several shards: of rows that are computed here, not of imports and transcripts."""
        return isinstance(self, ExtractedFeature) and not isinstance(self, SpeechFeature)

    @model_validator(mode="after")
    def _check_shards_per_job(self) -> Self:
        if self.runtime.shards_per_job and not self.may_share_jobs:
            raise ValueError("runtime.shards_per_job is not for imports and transcripts, which have a job per shard")
        return self


class FeatureRuntime(Section):
    """How a feature is computed; nothing here changes its rows or recomputes them."""

    batch_size: PositiveInt = Field(64, description="network inputs per forward pass")
    threads: PositiveInt = Field(1, description="CPU threads of one job")
    decoder: Literal["auto", "pyav", "ffmpeg", "nvdec"] = Field(
        "auto",
        description="visual features: who decodes; the frames are the same. `nvdec`: the decoder of an NVIDIA GPU",
    )
    decode_workers: PositiveInt = Field(
        1, description="videos that are decoded at the same time while the network computes"
    )
    mem_mb: PositiveInt = Field(
        4000, description="memory of one job, MB; what the rows of a visual feature take comes on top"
    )
    gpu: NonNegativeInt = Field(0, description="GPUs of one job")
    runtime_min: PositiveInt = Field(120, description="time limit of one job on a cluster, minutes")
    shards_per_job: PositiveInt | None = Field(
        None,
        description="shards of videos that one job takes, for whose network its start is paid once; null: as many as "
        "make some ten minutes of work, as long as there are jobs for 16 GPUs (of texts for 4), decided once per "
        "dataset. Not for imports and transcripts",
    )


class ExtractedFeature(FeatureBase):
    """What every feature that is computed here has."""

    encoder: Name = Field(description="a module of models/encoders/")
    weights: str = Field(description="an entry of config/weights.yaml, `random(SEED)`, or `none`")
    more_weights: dict[Name, str] = Field(
        default_factory=dict,
        description="weights of further networks that the encoder knows by name (`raft` of i3d, `pca` of c3d), as in "
        "`weights`",
    )
    params: dict[str, Any] = Field(default_factory=dict, description="the encoder's own settings")


class VisualFeature(ExtractedFeature):
    """Rows from sampled frames."""

    kind: Literal["visual"]
    sampling: Sampling
    resize: Resize | None = Field(description="null: frames keep their size, for encoders that resize in floats")
    images: Images | None = Field(
        None, description="folders of images that the frames come from; null: they are decoded from the videos"
    )

    @model_validator(mode="after")
    def _check_images(self) -> Self:
        if self.images is None or self.resize is None:
            return self
        if self.resize.rule in ("squash", "hero"):
            raise ValueError(f"resize: rule {self.resize.rule} is not for images; try clip_pil or vslnet_shortside")
        if self.resize.jpeg_roundtrip and len(self.images.files) == 2:
            raise ValueError("resize: jpeg_roundtrip is not for flow images")
        return self

    @model_serializer(mode="wrap")
    def _without_images_unless_asked_for(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "images" or value is not None}


class Window(Section):
    """Sliding window over a waveform."""

    window_s: PositiveFloat = Field(description="seconds of sound that a row sees")
    hop_s: PositiveFloat = Field(description="seconds between rows")
    align: Literal["centre", "start"] = Field(
        "centre", description="whether a window is centred on its row or starts with it"
    )
    tail: Literal["pad", "drop", "short"] = Field(
        "pad",
        description="`pad`: rows cover the video, with silence around the sound; `drop`: only whole windows; `short`: "
        "the last window ends with the sound (`align: start`)",
    )

    @model_validator(mode="after")
    def _check_tail(self) -> Self:
        if self.tail == "short" and self.align != "start":
            raise ValueError("tail: short needs align: start")
        return self


class AudioFeature(ExtractedFeature):
    """Rows from a sliding window over the sound."""

    kind: Literal["audio"]
    sample_rate: PositiveInt = Field(description="Hz")
    channels: Literal["mono", "all"] = Field(
        "mono", description="`all`: keep them, for encoders that treat stereo in their own way (LanguageBind, BEATs)"
    )
    resampler: Literal["ffmpeg", "soxr_hq", "kaiser_best", "sinc_hann"] = Field(
        "ffmpeg",
        description="`soxr_hq` as librosa (published PANNs features), `kaiser_best` as torchvggish, `sinc_hann` as "
        "torchaudio (LanguageBind, UniQ4Cap)",
    )
    window: Window | None = Field(None, description="null: the encoder sees the whole sound at once")

    @model_serializer(mode="wrap")
    def _without_channels_unless_asked_for(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "channels" or value != "mono"}


class TextFeature(ExtractedFeature):
    """Rows from the words of a query: one per token, or one per query."""

    kind: Literal["text"]
    wordings: str | None = Field(
        None,
        description="field of the queries' extra data with other wordings, a list of texts (`rephrased_query`): a row "
        "of each follows that of the query; null: the query alone",
    )

    @model_serializer(mode="wrap")
    def _without_wordings_unless_asked_for(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "wordings" or value is not None}


class TranscriptFeature(ExtractedFeature):
    """Rows of a video from the lines of its transcript, one per line, or laid on its seconds or clips."""

    kind: Literal["transcript"]
    of: Name = Field(description="the speech feature that makes the transcripts")
    align: Literal["segments", "seconds", "clips"] = Field(
        "segments",
        description="`segments`: a row per line; `seconds`: per second, as HiREST; `clips`: per `clip_s`, lines "
        "weighted by time; videos without speech have no rows",
    )
    clip_s: PositiveFloat | None = Field(None, description="`clips`: seconds per row")

    @model_validator(mode="after")
    def _check_clip(self) -> Self:
        if (self.align == "clips") != (self.clip_s is not None):
            raise ValueError("`align: clips` needs clip_s, the other ways have none")
        return self


class SpokenFeature(ExtractedFeature):
    """One row per spoken query, from its sound file."""

    kind: Literal["spoken"]
    sample_rate: PositiveInt = Field(description="Hz, mono")
    resampler: Literal["ffmpeg", "soxr_hq", "kaiser_best"] = Field("soxr_hq", description="as of audio features")


class SpeechFeature(ExtractedFeature):
    """Transcripts of the videos' sound: segments with times, in results/<dataset>/transcripts/<feature>/."""

    kind: Literal["speech"]


class ImportedFeature(FeatureBase):
    """Rows from feature files that somebody published; nothing is computed."""

    kind: Literal["visual", "audio", "text"] = Field(
        description="`visual`, `audio`: rows of a video; `text`: rows of a query"
    )
    source: Literal["import"] = Field(description="what makes it an imported feature")
    path: str = Field(description="folder with a file per video (or query), or the one file or database for all")
    layout: Literal["npy", "npz", "pt", "pickle_dict", "hdf5", "lmdb"] = Field(
        description="form of the source; `hdf5`: whether `path` is a folder or a file tells which of the two it is; "
        "`pickle_dict`: one file, a dict of arrays"
    )
    id_pattern: str = Field(
        description="file below `path`, or entry in it, of a video: `{video_id}.npy`; of a query: "
        "`qid{source_query_id}.npz`"
    )
    queries_of: tuple[Name, ...] | None = Field(
        None,
        description="of text: datasets whose query numbers the files carry, for no number tells which numbering it is "
        "of; on the queries of others the feature is refused; null: any",
    )
    key: str | None = Field(
        None, description="array in an npz, hdf5 file or entry, or dict of a pt file; null: the only one"
    )
    times: PositiveFloat | Literal["proportional"] | None = Field(
        None, description="seconds per row, or `proportional`: rows spread over the annotated duration; text has none"
    )
    tolerance_s: PositiveFloat | None = Field(
        None, description="difference of rows x seconds per row from the duration that is reported; null: two rows"
    )
    on_wrong_length: Literal["report", "fail"] = Field(
        "report", description="`fail`: a video over the tolerance gets no rows and the status `failed`"
    )

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if (self.times is None) != (self.kind == "text"):
            needs = "text has rows of words, no times" if self.kind == "text" else "add seconds per row, `times: 2.0`"
            raise ValueError(f"kind {self.kind} and times {self.times}: {needs}")
        return self

    @property
    def weights(self) -> str:
        """No network, no weights."""
        return "none"


class ClipTexts(Section):
    """Fields of files with a text per clip."""

    text: str = Field("text", description="field of the text")
    clip: str | None = Field(
        None, description="field with the number of the clip, from 0; null: fields `start` and `end` say the seconds"
    )
    clip_s: PositiveFloat | None = Field(None, description="seconds of a numbered clip")

    @model_validator(mode="after")
    def _check_clip(self) -> Self:
        if (self.clip is None) != (self.clip_s is None):
            raise ValueError("`clip` and `clip_s` go together: which clip, and how long one is")
        return self


class ImportedTranscripts(FeatureBase):
    """Texts of videos that somebody published, with times: subtitles, or captions of clips; nothing is recognised."""

    kind: Literal["speech"]
    source: Literal["import"] = Field(description="what makes them imported transcripts")
    path: str = Field(description="folder with a file per video")
    layout: Literal["srt", "jsonl", "csv"] = Field(
        "srt", description="form of the files: subtitles, or a text per clip as JSON lines or CSV"
    )
    fields: ClipTexts | None = Field(None, description="of jsonl and csv; null: `text`, `start` and `end`")
    id_pattern: str = Field(
        "{video_id}.srt", description="file below `path` of a video; `{split}` is the folder of its split"
    )
    language: str | None = Field(None, description="code of the language, such as `en`, where it is known")

    @model_validator(mode="after")
    def _check_fields(self) -> Self:
        if self.fields is not None and self.layout == "srt":
            raise ValueError("subtitles have no `fields`; name the layout, jsonl or csv")
        return self

    @model_serializer(mode="wrap")
    def _without_fields_unless_asked_for(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in handler(self).items() if key != "fields" or value is not None}

    @property
    def weights(self) -> str:
        """No network, no weights."""
        return "none"
