"""The time of holding is the plan's, per connector: shorter where a fuse would not bear it (failure.md)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from busbar.config import plan as planning
from busbar.config.site import Site
from driver_rig import Rig, play


def test_a_connector_falls_back_after_its_own_hold_time(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = planning.fallback_plan

    def shorter(site: Site) -> planning.FallbackPlan:
        plan = whole(site)
        return replace(plan, hold_s={**plan.hold_s, "a1": 8.0})

    monkeypatch.setattr("field_driver_modbus.unit.fallback_plan", shorter)

    async def story(rig: Rig) -> None:
        rig.plug("a1", "a2")
        rig.start()
        await asyncio.sleep(4.0)
        for connector in ("a1", "a2"):
            await rig.tell(connector, 16.0)
        await asyncio.sleep(6.0)
        assert (rig.offered_a("a1"), rig.offered_a("a2")) == (16.0, 16.0)
        await asyncio.sleep(6.0)
        assert (rig.offered_a("a1"), rig.offered_a("a2")) == (6.0, 16.0)

    play(story)
