"""Every field of the site file as Markdown tables, from its schema; the guide carries them, a test compares."""

from __future__ import annotations

import json
from typing import Final

from busbar.config.shape import Schema, describe, site_schema

_TITLES: Final = {
    "SiteInfo": "`site`",
    "CollectorFile": "An entry of `collectors`",
    "Virtual": "`virtual` of a collector",
    "LostMeter": "`on_lost_meter` of a collector",
    "Device": "An entry of `devices`",
    "AcChargePoint": "An asset of kind `ac_charge_point`",
    "Connector": "An entry of its `connectors`",
    "DcChargePoint": "An asset of kind `dc_charge_point`",
    "DcConnector": "An entry of its `connectors` (DC)",
    "Meter": "An asset of kind `meter`",
    "Load": "An asset of kind `load`",
    "Pv": "An asset of kind `pv`",
    "Wind": "An asset of kind `wind`",
    "Chp": "An asset of kind `chp`",
    "Battery": "An asset of kind `battery`",
    "Droop": "`droop` of a battery",
    "HeatPump": "An asset of kind `heat_pump`",
    "EBoiler": "An asset of kind `e_boiler`",
    "ThermalStorage": "An asset of kind `thermal_storage`",
    "Controller": "An entry of `controllers`",
    "DriverShard": "An entry of its `drivers`",
    "FallbackRule": "An entry of `fallback_rules`",
    "Options": "`options`",
}
"""In the order of the file. A model without a title here is appended by its own name."""


def field_tables() -> str:
    """All tables, in the order of the file."""
    definitions = {name: schema for name, schema in site_schema()["$defs"].items() if "properties" in schema}
    order: list[str] = [name for name in _TITLES if name in definitions]
    order += [name for name in definitions if name not in _TITLES]
    tables = [_table("The file", site_schema())]
    tables += [_table(_TITLES.get(name, name), definitions[name]) for name in order]
    return "\n".join(tables)


def _table(title: str, schema: Schema) -> str:
    required = schema.get("required", [])
    rows = [
        f"| `{name}` | {_accepts(field)} | {_default(field, name in required)} | {_about(field)} |"
        for name, field in schema["properties"].items()
    ]
    return "\n".join([f"### {title}", "", "| field | accepts | default | what it is |", "|---|---|---|---|", *rows, ""])


def _accepts(field: Schema) -> str:
    """In short: what a list or a mapping holds has a table of its own."""
    if field.get("type") == "array" and field.get("items", {}).get("type") != "string":
        return "a list of entries"
    words = describe(field).replace(" (in quotes if it looks like a number)", "")
    if words.startswith("an id ("):
        return "an id" + (" or null" if words.endswith("or null") else "")
    return "a mapping" + (" or null" if words.endswith("or null") else "") if "a mapping" in words else words


def _default(field: Schema, required: bool) -> str:
    default = field.get("default")
    if required or default is None:
        return "**required**" if required else "none"
    text = json.dumps(default)
    return f"`{text}`" if len(text) <= 40 else "see its fields"


def _about(field: Schema) -> str:
    referred = site_schema()["$defs"].get(str(field.get("$ref", "")).rpartition("/")[2], {})
    text = field.get("description") or referred.get("description") or ""
    return " ".join(str(text).split()).replace("|", "\\|")
