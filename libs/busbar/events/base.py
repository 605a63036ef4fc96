"""What all events share."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

UtcMs = Annotated[int, Field(ge=0, description="milliseconds of UTC since 1970-01-01")]


class Event(BaseModel):
    """An immutable message. Unknown fields are ignored on reading, so that old readers live with new writers."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null", use_attribute_docstrings=True)
