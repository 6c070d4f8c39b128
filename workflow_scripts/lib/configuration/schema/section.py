"""What all sections of the configuration have in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_]*$")]
Rate = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]*(\.[0-9]+|/[1-9][0-9]*)?$|^0\.[0-9]*[1-9][0-9]*$")]


class Section(BaseModel):
    """Base of every section: unknown keys are errors, values cannot change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)
