"""What every entry of the site file shares: strict, immutable models and the types of their fields."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]
"""An id: it becomes part of a subject, so letters, digits, '_' and '-' only."""
PhaseName = Literal["L1", "L2", "L3"]
Phases = Annotated[list[PhaseName], Field(min_length=1, max_length=3)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
FuseKind = Literal["gG", "mcb_b", "mcb_c", "mcb_d", "adjustable", "electronic"]


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
