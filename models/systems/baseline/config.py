"""Settings of the baseline."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Task = Literal["moments", "highlights", "steps", "captions", "videos"]


class Config(BaseModel):
    """What is answered without looking at video or query. It learns by counting, not by gradient steps."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tasks: tuple[Task, ...] = Field(
        ("moments", "highlights", "steps", "captions", "videos"), description="what is answered", min_length=1
    )
    captions_of: tuple[Literal["videos", "steps"], ...] = Field(
        ("videos", "steps"), description="what captions describe"
    )
    hit_iou: float = Field(
        0.5, gt=0, le=1, description="tIoU from which the constant span hits a training moment; it hits most of them"
    )
    seed: int = Field(0, description="of the order of the videos")
