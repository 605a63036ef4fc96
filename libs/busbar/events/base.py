"""What all events share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, Field

_new: Final = object.__new__
_put_values: Final = vars(BaseModel)["__dict__"].__set__
_put_fields_set: Final = vars(BaseModel)["__pydantic_fields_set__"].__set__
_put_extra: Final = vars(BaseModel)["__pydantic_extra__"].__set__
_put_private: Final = vars(BaseModel)["__pydantic_private__"].__set__

UtcMs = Annotated[int, Field(ge=0, description="milliseconds of UTC since 1970-01-01")]


class Event(BaseModel):
    """An immutable message. Unknown fields are ignored on reading, so that old readers live with new writers."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null", use_attribute_docstrings=True)

    _every_field: ClassVar[set[str]]

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        cls._every_field = set(cls.model_fields)

    @classmethod
    def trusted(cls, **fields: Any) -> Self:
        """An event of values that the caller knows to be right: every field, each of its type.

        Nothing is checked and no default filled in: a third of the time, for what is sent many times a second.
        """
        event = _new(cls)  # the class is frozen, so its slots are filled in from below
        _put_values(event, fields)
        _put_fields_set(event, cls._every_field)  # one set for all: nobody can change an event
        _put_extra(event, None)
        _put_private(event, None)
        return event
