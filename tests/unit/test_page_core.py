"""The page is honest: what is old, missing or unknown is shown as such."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from busbar.bus import Received
from busbar.config.model import SiteFile
from busbar.config.site import Site, compile_site
from busbar.domain.kinds import AssetKind
from busbar.domain.quality import Quality
from busbar.events import (
    CollectorState,
    Heartbeat,
    Measurement,
    Reason,
    ReasonCode,
    ServiceState,
    Setpoint,
    Sums,
)
from busbar.units import PhaseVector
from site_page.core import History, Newest, site_view
from site_page.render import Renderer, changes, number
from site_page.words import age_words, reason_words

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"


@pytest.fixture(scope="module")
def site() -> Site:
    return compile_site(SiteFile.model_validate(yaml.safe_load(DEMO.read_text())))


def telemetry(asset: str, at_s: float = 100.0, **points: float | str | None) -> Received[Measurement]:
    event = Measurement(
        asset=asset, driver="modbus-1", kind=AssetKind.AC_CONNECTOR, seq=1, measured_at_ms=1, lifetime_ms=3000,
        points=dict(points),
    )  # fmt: skip
    return Received("s", event, at_s, 0.0)


def collector(name: str, current: PhaseVector | None, at_s: float = 100.0) -> Received[CollectorState]:
    event = CollectorState(
        collector=name, measured_at_ms=1, lifetime_ms=3000, virtual=False, quality=Quality.GOOD, current_a=current,
        power_w=current.scaled(230) if current else None, reactive_power_var=None, sums=Sums(), free_connectors=1,
        reserve_a=6.0, limit_a=PhaseVector(94.0, 94.0, 94.0),
    )  # fmt: skip
    return Received("s", event, at_s, 0.0)


def setpoint(asset: str, current_a: float, reason: Reason, at_s: float = 100.0) -> Received[Setpoint]:
    event = Setpoint(
        asset=asset, driver="modbus-1", epoch=1, seq=1, published_at_ms=1, lifetime_ms=5000, current_a=current_a,
        reason=reason, snapshot=1,
    )  # fmt: skip
    return Received("s", event, at_s, 0.0)


def test_before_anything_is_heard_every_number_is_a_dash_and_nothing_charges(site: Site) -> None:
    view = site_view(site, Newest(), 100.0)
    assert view.grid_kw is None
    assert (view.charging, view.plugged, view.connectors) == (0, 0, 8)
    assert {row.status for row in view.connector_rows} == {"No value yet"}
    assert {row.source for row in view.collector_rows} == {"no value yet"}


def test_a_value_older_than_its_lifetime_is_shown_as_old_and_leaves_the_totals(site: Site) -> None:
    newest = Newest(telemetry={"a1": telemetry("a1", status="Charging", power_w=11000.0)})
    newest.collectors["grid"] = collector("grid", PhaseVector(10.0, 10.0, 10.0))
    fresh, old = site_view(site, newest, 101.0), site_view(site, newest, 104.0)
    assert (fresh.charging, fresh.charging_kw, fresh.collector_rows[0].fresh) == (1, 11.0, True)
    assert (old.charging, old.charging_kw, old.collector_rows[0].fresh) == (0, 0.0, False)
    assert old.grid_kw is None
    assert old.collector_rows[0].source == "no value for 4 s"
    assert old.connector_rows[0].status == "Does not answer (4 s)"


def test_a_point_of_bad_quality_is_a_dash_not_a_number(site: Site) -> None:
    received = telemetry("a1", status="Charging", power_w=99999.0)
    event = received.event.model_copy(update={"quality": {"power_w": Quality.OUT_OF_RANGE}})
    newest = Newest(telemetry={"a1": Received("s", event, 100.0, 0.0)})
    assert site_view(site, newest, 100.0).connector_rows[0].power_kw is None


def test_an_unknown_status_is_named_never_guessed(site: Site) -> None:
    newest = Newest(telemetry={"a1": telemetry("a1", status=None, status_raw="Q7")})
    row = site_view(site, newest, 100.0).connector_rows[0]
    assert row.status == "Unknown state 'Q7'"
    assert row.state == "unknown"


@pytest.mark.parametrize(
    ("current", "level"),
    [(10.0, "ok"), (-10.0, "ok"), (90.0, "near"), (-90.0, "near"), (100.5, "over"), (-100.5, "over")],
)
def test_load_is_judged_in_both_directions(site: Site, current: float, level: str) -> None:
    newest = Newest(collectors={"grid": collector("grid", PhaseVector(current, 0.0, 0.0))})
    assert site_view(site, newest, 100.0).collector_rows[0].phases[0].level == level


def test_a_silent_allocator_is_said_in_place_of_a_reason(site: Site) -> None:
    beat = Heartbeat(
        service="spc-allocator", instance="main", state=ServiceState.RUNNING, cycle_ms=2.0, cycles=3, version="1",
        fingerprint="x", published_at_ms=1,
    )  # fmt: skip
    newest = Newest(
        telemetry={"a1": telemetry("a1", 110.0, status="Charging")},
        setpoints={"a1": setpoint("a1", 10.0, Reason(code=ReasonCode.RAMP))},
        beats={"spc-allocator": Received("s", beat, 100.0, 0.0)},
    )
    assert site_view(site, newest, 104.0).connector_rows[0].why == "rising by 1 A a minute"
    late = site_view(site, newest, 112.0)
    assert late.connector_rows[0].setpoint_a is None
    assert "allocator is silent for 12 s" in late.connector_rows[0].why
    assert late.service_rows[0].state == "dead"


@pytest.mark.parametrize("code", list(ReasonCode))
def test_every_reason_has_words(site: Site, code: ReasonCode) -> None:
    words = reason_words(Reason(code=code, collector="row-a", phase="L2", side="import", rank=1, value=6.0), site)
    assert words
    assert words != code.value


def test_a_fuse_is_named_with_its_phase_as_people_call_it(site: Site) -> None:
    reason = Reason(code=ReasonCode.ROW, collector="row-a", phase="L2", side="import")
    assert reason_words(reason, site) == "fuse Row A, L2 is full"


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (None, "paused: not all vehicles behind Row A can have their minimum (rank 2)"),
        ("imbalance", "paused: the phases behind Row A would load unevenly (rank 2)"),
    ],
)
def test_a_pause_says_what_lacks(site: Site, source: str | None, words: str) -> None:
    reason = Reason(code=ReasonCode.PAUSED, collector="row-a", side="import", source=source, rank=2, value=None)
    assert reason_words(reason, site) == words


def test_only_pieces_that_changed_are_sent(site: Site) -> None:
    renderer, newest = Renderer(), Newest(telemetry={"a1": telemetry("a1", status="Available", power_w=0.0)})
    before = renderer.pieces(site_view(site, newest, 100.0))
    assert changes(before, renderer.pieces(site_view(site, newest, 100.0))) == ""
    newest.telemetry["a1"] = telemetry("a1", status="Charging", power_w=3680.0)
    message = changes(before, renderer.pieces(site_view(site, newest, 100.0)))
    assert message.count("<hx-partial") == 2  # the connector and the summary
    assert 'hx-target="#connector-a1"' in message


def test_a_hostile_value_cannot_become_markup(site: Site) -> None:
    newest = Newest(telemetry={"a1": telemetry("a1", status=None, status_raw="<script>alert(1)</script>")})
    view = site_view(site, newest, 100.0)
    html = Renderer().page(view, Renderer().pieces(view), "1")
    assert "<script>alert" not in html
    assert "&lt;script&gt;" in html


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (-0.01, "0.0"), (-3.24, "−3.2"), (12.0, "12.0")])
def test_numbers_are_written_for_people(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(("age_ms", "text"), [(1400, "1 s"), (89_000, "89 s"), (240_000, "4 min"), (7_200_000, "2 h")])
def test_ages_are_written_for_people(age_ms: float, text: str) -> None:
    assert age_words(age_ms) == text


def test_the_chart_has_a_gap_where_nothing_was_known(site: Site) -> None:
    history, newest = History(), Newest(collectors={"grid": collector("grid", PhaseVector(1.0, 2.0, 3.0))})
    history.add(1000, newest, site, 100.0)
    history.add(60_000, newest, site, 160.0)
    assert history.series("grid") == [[1.0, 60.0], [1.0, None], [2.0, None], [3.0, None]]
