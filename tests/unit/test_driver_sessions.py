from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from busbar.domain.charging import Status
from busbar.events import Session, SessionPhase
from field_driver_modbus.sessions import Sample, SessionTracker, session_id

T0 = 1_568_188_800_000
A, B1, B2, C1, C2 = (
    Status.AVAILABLE, Status.PREPARING_EV, Status.SUSPENDED_EV, Status.SUSPENDED_EVSE, Status.CHARGING,
)  # fmt: skip


def sample(  # noqa: PLR0917 - a row of a ledger
    at_s: float, status: Status | None, session_wh: float | None = None, meter_wh: float | None = None,
    badge: str | None = None, connected_s: float | None = None, current_a: float = 0.0,
) -> Sample:  # fmt: skip
    return Sample(T0 + round(at_s * 1000), status, session_wh, meter_wh, badge, connected_s, current_a)


def tracker(last: Session | None = None) -> SessionTracker:
    return SessionTracker("a1", "modbus-1", last)


def running(session_counter: bool = True) -> tuple[SessionTracker, Session]:
    """A session of 10 minutes, 1000 Wh, and its last event."""
    driver = tracker()
    driver.step(sample(0, A, 0.0 if session_counter else None, 50_000.0))
    for second in range(1, 601):
        wh = second / 600 * 1000.0
        driver.step(sample(second, C2, wh if session_counter else None, 50_000.0 + wh, "04AB", second - 1.0, 16.0))
    session = driver.current
    assert session is not None
    return driver, session


def phases(driver: SessionTracker, samples: list[Sample]) -> list[str]:
    return [str(event.phase) for one in samples for event in driver.step(one)]


def test_a_session_is_plugged_started_suspended_and_ended() -> None:
    ledger = [
        (0, A, []),
        (1, B1, ["Plugged"]),
        (2, B2, ["Plugged"]),
        (3, C2, ["Started"]),
        (4, C2, []),
        (5, C1, ["SuspendedEVSE"]),
        (6, C2, ["Started"]),
        (7, B2, ["SuspendedEV"]),
        (8, A, []),
        (9, A, ["Ended"]),
        (10, A, []),
    ]
    driver = tracker()
    for at_s, status, expected in ledger:
        assert phases(driver, [sample(at_s, status)]) == expected, f"at {at_s} s"
    assert driver.current is None


def test_it_ended_when_the_connector_was_first_seen_empty() -> None:
    driver = tracker()
    driver.step(sample(0, A))
    driver.step(sample(1, B1))
    driver.step(sample(8, A))
    (ended,) = driver.step(sample(9, A))
    assert (ended.phase, ended.ended_at_ms, ended.status) == (SessionPhase.ENDED, T0 + 8000, A)


@pytest.mark.parametrize("status", [None, Status.FAULTED, Status.UNAVAILABLE, Status.UNAVAILABLE_FW_UPDATE, A])
def test_one_glitch_a_fault_or_an_unknown_status_ends_no_session(status: Status | None) -> None:
    driver, session = running()
    driver.step(sample(601, status, 1000.0, 51_000.0))
    driver.step(sample(602, C2, 1000.0, 51_000.0))
    assert driver.current is not None
    assert driver.current.session_id == session.session_id


def test_it_is_published_on_change_and_at_least_each_minute() -> None:
    driver = tracker()
    published = [at for at in range(600) for _ in driver.step(sample(at, C2, at * 3.0))]
    assert published == list(range(0, 600, 60))


def test_a_step_of_the_clock_does_not_silence_a_session() -> None:
    driver, _ = running()
    assert driver.step(sample(-3600, C2, 1000.0))
    assert len([1 for at in range(-3599, -3400) if driver.step(sample(at, C2, 1000.0))]) >= 3


def test_the_id_is_the_connector_and_the_time_of_plug_in() -> None:
    driver = tracker()
    driver.step(sample(0, A))
    (opened,) = driver.step(sample(30, B1, connected_s=10.0))
    assert opened.session_id == session_id("a1", T0 + 20_000) == "a1-20190911T080020Z"
    assert opened.plugged_at_ms == T0 + 20_000


def test_started_is_the_first_current_whatever_the_status_says() -> None:
    driver = tracker()
    driver.step(sample(0, A))
    driver.step(sample(1, B2))
    driver.step(sample(2, B2, current_a=6.0))
    assert driver.current is not None
    assert driver.current.started_at_ms == T0 + 2000


@pytest.mark.parametrize("session_counter", [True, False])
def test_energy_comes_from_the_session_counter_or_from_the_meter(session_counter: bool) -> None:
    _, session = running(session_counter)
    assert session.energy_wh == pytest.approx(1000.0, abs=2.0)
    assert session.meter_wh == 51_000.0
    assert session.badge == "04AB"


def test_what_the_counter_still_shows_of_the_session_before_is_not_counted() -> None:
    driver = tracker()
    driver.step(sample(0, A, 7000.0))
    driver.step(sample(1, B1, 7000.0))
    driver.step(sample(2, C2, 7000.0))
    driver.step(sample(3, C2, 0.0))
    driver.step(sample(4, C2, 5.0))
    assert driver.current is not None
    assert driver.current.energy_wh == 5.0


def test_a_counter_that_is_reset_in_the_middle_goes_on_from_there() -> None:
    driver, _ = running()
    driver.step(sample(601, C2, 0.0, 51_001.0))
    driver.step(sample(602, C2, 3.0, 51_004.0))
    assert driver.current is not None
    assert driver.current.energy_wh == pytest.approx(1003.0, abs=2.0)


def test_a_meter_that_was_exchanged_adds_nothing_by_its_jump() -> None:
    driver, before = running(session_counter=False)
    driver.step(sample(601, C2, None, 9_000_000.0))
    driver.step(sample(602, C2, None, 9_000_003.0))
    driver.step(sample(603, C2, None, 12.0))
    driver.step(sample(604, C2, None, 15.0))
    assert driver.current is not None
    assert driver.current.energy_wh == pytest.approx(before.energy_wh + 6.0)


@pytest.mark.parametrize("nonsense", [0.0, 3.0, 9e18])
@pytest.mark.parametrize("session_counter", [True, False])
def test_one_nonsensical_reading_changes_nothing(nonsense: float, session_counter: bool) -> None:
    driver, before = running(session_counter)
    for at_s, wh in ((601, nonsense), (602, 1002.0)):
        session_wh, meter_wh = (wh, 51_000.0) if session_counter else (None, 50_000.0 + wh)
        driver.step(sample(at_s, C2, session_wh, meter_wh))
    assert driver.current is not None
    assert driver.current.energy_wh == pytest.approx(before.energy_wh + 2.0, abs=2.0)


def test_a_value_that_is_missing_for_a_while_is_caught_up() -> None:
    driver, before = running()
    driver.step(sample(601, C2, None))
    driver.step(sample(605, C2, before.energy_wh + 20.0))
    assert driver.current is not None
    assert driver.current.energy_wh == pytest.approx(before.energy_wh + 20.0)


@pytest.mark.parametrize("session_counter", [True, False])
def test_a_restarted_driver_goes_on_with_identity_energy_and_history(session_counter: bool) -> None:
    _, last = running(session_counter)
    driver = tracker(last)
    counter = 1200.0 if session_counter else None
    driver.step(sample(700, C2, counter, 51_200.0, "04AB", 699.0 if session_counter else None))
    now = driver.current
    assert now is not None
    assert now.session_id == last.session_id
    assert (now.plugged_at_ms, now.started_at_ms, now.badge) == (last.plugged_at_ms, last.started_at_ms, last.badge)
    assert now.energy_wh == pytest.approx(1200.0, abs=2.0)


def test_without_a_meter_the_session_counter_tells_what_was_charged_meanwhile() -> None:
    _, last = running()
    last = last.model_copy(update={"meter_wh": None, "meter_start_wh": None})
    driver = tracker(last)
    driver.step(sample(700, C2, 1300.0))
    driver.step(sample(701, C2, 40.0))
    assert driver.current is not None
    assert driver.current.energy_wh == pytest.approx(1300.0, abs=2.0)


def test_a_session_that_ended_while_the_driver_was_away_is_closed_with_its_energy() -> None:
    _, last = running()
    driver = tracker(last)
    driver.step(sample(4000, A, 0.0, 53_500.0))
    (ended,) = driver.step(sample(4001, A, 0.0, 53_500.0))
    assert (ended.session_id, ended.phase) == (last.session_id, SessionPhase.ENDED)
    assert ended.energy_wh == pytest.approx(3500.0, abs=2.0)


def test_a_vehicle_that_came_unseen_gets_its_own_session_and_the_energy_is_split() -> None:
    _, last = running()
    driver = tracker(last)
    ended, opened = driver.step(sample(4000, C2, 300.0, 51_800.0, "04CD", connected_s=600.0))
    assert (ended.session_id, str(ended.phase)) == (last.session_id, "Ended")
    assert ended.energy_wh == pytest.approx(1500.0, abs=2.0)
    assert opened.session_id == session_id("a1", T0 + 3_400_000)
    assert (opened.energy_wh, opened.badge) == (300.0, "04CD")


def test_another_badge_after_a_gap_is_another_session() -> None:
    driver, before = running()
    events = driver.step(sample(700, C2, 5.0, 51_100.0, "04CD"))
    assert [str(e.phase) for e in events] == ["Ended", "Started"]
    assert driver.current is not None
    assert driver.current.session_id != before.session_id


def test_a_driver_that_knows_nothing_takes_plug_in_and_energy_from_the_device() -> None:
    driver = tracker()
    (opened,) = driver.step(sample(1000, C2, 4200.0, 90_000.0, "04AB", connected_s=900.0))
    assert opened.session_id == session_id("a1", T0 + 100_000)
    assert (opened.energy_wh, opened.meter_start_wh) == (4200.0, 85_800.0)


def test_a_closed_session_is_never_resumed() -> None:
    driver = tracker(running()[1].model_copy(update={"phase": SessionPhase.ENDED}))
    (opened,) = driver.step(sample(700, B1))
    assert opened.plugged_at_ms == T0 + 700_000


SAMPLES = st.lists(
    st.tuples(
        st.floats(0.2, 100.0), st.sampled_from([None, *Status]), st.one_of(st.none(), st.floats(0, 1e5)),
        st.one_of(st.none(), st.floats(0, 1e7)), st.sampled_from([None, "04AB", "04CD"]),
        st.one_of(st.none(), st.floats(0, 1e5)), st.booleans(),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(SAMPLES)
def test_energy_never_falls_within_a_session_and_every_session_ends_once(
    steps: list[tuple[float, Status | None, float | None, float | None, str | None, float | None, bool]],
) -> None:
    driver, at_s = tracker(), 0.0
    energy: dict[str, float] = {}
    open_id: str | None = None
    for step_s, status, session_wh, meter_wh, badge, connected_s, restart in steps:
        at_s += step_s
        if restart:
            driver = tracker(driver.current)
        for event in driver.step(sample(at_s, status, session_wh, meter_wh, badge, connected_s)):
            if event.session_id == open_id:
                assert event.energy_wh >= energy[event.session_id]
            else:
                assert open_id is None, "a session opened while another was open"
            assert event.energy_wh >= 0.0
            energy[event.session_id] = event.energy_wh
            open_id = None if event.phase is SessionPhase.ENDED else event.session_id
