"""What all events share."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field

UtcMs = Annotated[int, Field(ge=0, description="milliseconds of UTC since 1970-01-01")]


class Event(BaseModel):
    """An immutable message. Unknown fields are ignored on reading, so that old readers live with new writers."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null", use_attribute_docstrings=True)

    @classmethod
    def trusted(cls, **fields: Any) -> Self:
        """An event of values that the caller knows to be right: every field, each of its type.

        Nothing is checked and no default filled in: a third of the time, for what is sent many times a second.
        """
        event = cls.__new__(cls)
        put = object.__setattr__  # the class is frozen
        put(event, "__dict__", fields)
        put(event, "__pydantic_fields_set__", set(fields))
        put(event, "__pydantic_extra__", None)
        put(event, "__pydantic_private__", None)
        return event
