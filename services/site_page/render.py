"""HTML from views, and only the pieces that changed: what the one live stream carries.

A piece is a fragment with an id. The stream sends `<hx-partial>` elements that replace the inside of the element with
that id, so a page at rest costs almost nothing whatever the size of the site.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from site_page.core import SiteView

HERE = Path(__file__).parent


def environment() -> Environment:
    """Templates with the page's filters; a missing variable is an error, never an empty hole."""
    env = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters["number"] = number
    env.filters["percent"] = percent
    env.filters["clock"] = clock
    return env


def number(value: float | None, digits: int = 1) -> str:
    """A number for people: a dash where there is none, and never `-0.0`."""
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text.replace("-", "−")


def percent(share: float) -> str:
    """A share of 1 as a CSS percentage within 0 to 100."""
    return f"{min(max(share, 0.0), 1.0) * 100:.1f}%"


def clock(at_ms: int) -> str:
    """Time of day, UTC."""
    seconds = at_ms // 1000 % 86400
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"


class Renderer:
    """Renders pieces, remembers nothing."""

    def __init__(self) -> None:
        env = environment()
        self._page = env.get_template("page.html")
        self._pieces = {name: env.get_template(f"_{name}.html") for name in ("summary", "collector", "connector")}
        self._lists = {name: env.get_template(f"_{name}.html") for name in ("assets", "services", "alarms", "log")}

    def pieces(self, view: SiteView) -> dict[str, Markup]:
        """All pieces of the page by element id, in the order of the page."""
        out = {"summary": self._piece("summary", view=view)}
        for row in view.collector_rows:
            out[f"collector-{row.id}"] = self._piece("collector", row=row)
        for connector in view.connector_rows:
            out[f"connector-{connector.id}"] = self._piece("connector", row=connector)
        for name, template in self._lists.items():
            out[name] = Markup(template.render(view=view))  # noqa: S704 - autoescaped by the template
        return out

    def _piece(self, name: str, **values: object) -> Markup:
        return Markup(self._pieces[name].render(**values))  # noqa: S704 - autoescaped by the template

    def page(self, view: SiteView, pieces: Mapping[str, Markup], version: str) -> str:
        return self._page.render(view=view, pieces=pieces, version=version)


def changes(before: Mapping[str, Markup], after: Mapping[str, Markup]) -> str:
    """The pieces that differ, as one message for the live stream; empty when nothing changed."""
    return "".join(
        f'<hx-partial hx-target="#{key}" hx-swap="innerHTML">{html}</hx-partial>'
        for key, html in after.items()
        if before.get(key) != html
    )
