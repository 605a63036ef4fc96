from __future__ import annotations

from busbar.domain.charging import Status
from busbar.events import Session, SessionPhase
from busbar.store import MemoryStore
from field_driver_modbus.memory import DriverMemory
from field_driver_modbus.twice import Twins, boot_key

SESSION = Session(
    session_id="a1-20190911T080000Z", connector="a1", driver="modbus-1", phase=SessionPhase.STARTED,
    status=Status.CHARGING, plugged_at_ms=1, energy_wh=12.5, badge="04AB", measured_at_ms=2,
)  # fmt: skip


def test_what_was_kept_is_there_after_a_restart() -> None:
    store = MemoryStore()
    memory = DriverMemory(store)
    memory.keep_epoch(1_568_160_000_000)
    memory.keep_booked({"a1": 16.0, "b1": 0.0})
    memory.keep_sessions([SESSION])
    again = DriverMemory(store)
    assert again.epoch() == 1_568_160_000_000
    assert again.booked() == {"a1": 16.0, "b1": 0.0}
    assert again.sessions() == [SESSION]
    assert again.trouble == ""


def test_nothing_kept_is_no_trouble() -> None:
    memory = DriverMemory(MemoryStore())
    assert (memory.epoch(), memory.booked(), memory.sessions(), memory.trouble) == (0, {}, [], "")


def test_a_torn_file_counts_as_none_and_is_said() -> None:
    store = MemoryStore()
    for name, data in (("epoch.json", b'{"epoch":'), ("booked.json", b"[1]"), ("sessions.json", b'[{"connector":1}]')):
        store.write(name, data)
    memory = DriverMemory(store)
    assert (memory.epoch(), memory.booked()) == (0, {})
    assert "epoch.json" in memory.trouble
    assert memory.sessions() == []
    assert "sessions.json" in memory.trouble


def test_a_full_disk_is_said_until_a_write_succeeds_again() -> None:
    store = MemoryStore()
    memory = DriverMemory(store)
    store.full = True
    memory.keep_epoch(5)
    assert "cannot be written" in memory.trouble
    store.full = False
    memory.keep_epoch(5)
    assert memory.trouble == ""
    assert DriverMemory(store).epoch() == 5


def test_two_beats_of_another_start_make_a_twin_and_silence_ends_it() -> None:
    twins = Twins()
    twins.heard("m:200", "m:200", 0.0)
    twins.heard("m:100", "m:200", 0.0)
    assert twins.others(0.5) == [], "one beat may have been on its way when the other died"
    twins.heard("m:100", "m:200", 1.0)
    assert twins.others(1.0) == ["m:100"]
    assert twins.others(20.0) == []


def test_exactly_one_of_two_starts_is_the_younger() -> None:
    boots = ["x:300", "m:100", "m:200", "a:200"]
    assert sorted(boots, key=boot_key) == ["m:100", "a:200", "m:200", "x:300"]
