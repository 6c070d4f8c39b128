"""Settings of the answers without training."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class Config(BaseModel):
    """What is compared, and how much of it is answered."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    learns: ClassVar[bool] = False
    tasks: tuple[Literal["videos"], ...] = Field(("videos",), description="what is answered", min_length=1)
    frames: int | None = Field(
        20,
        gt=0,
        description="rows of a video that are averaged, evenly spread over all of them as HiREST does it "
        "(`linspace(0, n - 1, frames)`, rounded down); fewer where a video has fewer; null: all",
    )
    keep: int = Field(100, gt=0, description="videos that are named for a query, the best first")
    block: int = Field(128, gt=0, description="queries whose scores are in memory at a time")
