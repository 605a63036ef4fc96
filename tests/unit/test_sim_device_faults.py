"""Faults: what each does to a request or to the registers, and that a seed repeats a run (FC-7, FC-8)."""

from hypothesis import given
from hypothesis import strategies as st

from busbar.sim.devices import Sdm630
from busbar.sim.faults import HEALTHY, FaultLine, Faults, Kind
from busbar.sim.plant import MeterPort


def kinds(faults: Faults, count: int = 6) -> list[str]:
    line = FaultLine(faults)
    return [line.judge().kind.value for _ in range(count)]


def test_each_nth_request_is_hit() -> None:
    good, lost = Kind.ANSWER.value, Kind.DROP.value
    assert kinds(Faults(drop_every=3)) == [good, good, lost, good, good, lost]
    assert kinds(Faults(busy_every=2)) == [good, "busy"] * 3
    assert kinds(Faults(close_every=1)) == ["close"] * 6
    assert kinds(Faults(wrong_transaction_every=6)) == [good] * 5 + ["wrong transaction"]
    assert kinds(Faults(late_every=4)) == [good, good, good, "late", good, good]
    assert kinds(Faults(silent=True)) == [lost] * 6


def test_a_healthy_device_is_not_judged_at_all() -> None:
    device = Sdm630("sdm", MeterPort("m"))
    assert device.judge() is None
    device.faults = Faults(latency_s=0.2)
    assert device.judge() == (Kind.ANSWER, 0.2)
    device.faults = Faults()
    assert device.faults == HEALTHY
    assert device.judge() is None


def test_late_answers_come_after_the_latency_and_the_delay() -> None:
    assert FaultLine(Faults(latency_s=0.5, late_every=1, late_s=3.0)).judge() == (Kind.LATE, 3.5)


@given(st.integers(0, 2**32), st.floats(0.0, 1.0), st.floats(0.0, 2.0))
def test_the_same_seed_repeats_the_same_losses_and_delays(seed: int, probability: float, jitter_s: float) -> None:
    faults = Faults(seed=seed, drop_probability=probability, jitter_s=jitter_s, latency_s=0.1)
    first, second = FaultLine(faults), FaultLine(faults)
    for _ in range(30):
        verdict = first.judge()
        assert verdict == second.judge()
        assert verdict.kind is Kind.DROP or 0.1 <= verdict.delay_s <= 0.1 + jitter_s


def test_about_the_asked_share_is_lost() -> None:
    lost = kinds(Faults(seed=7, drop_probability=0.2), count=5000).count("drop")
    assert 900 < lost < 1100


def meter() -> tuple[Sdm630, MeterPort]:
    port = MeterPort("m", voltage_v=[230.0, 230.0, 230.0], current_a=[1.0, 1.0, 1.0])
    return Sdm630("sdm", port), port


def read(device: Sdm630) -> bytes:
    return device.read("input", 1, 0, 12)


def test_frozen_registers_repeat_the_first_answer_until_the_fault_ends() -> None:
    device, port = meter()
    device.faults = Faults(frozen=True)
    first = read(device)
    port.current_a = [16.0, 16.0, 16.0]
    assert read(device) == first
    device.faults = Faults()
    assert read(device) != first


def test_a_half_word_update_mixes_two_readings() -> None:
    device, port = meter()
    device.faults = Faults(half_word_every=2)
    before = read(device)
    port.current_a = [16.5, 16.7, 16.9]
    mixed = read(device)
    device.faults = Faults()
    after = read(device)
    assert mixed[12:24:4] == before[12:24:4] != after[12:24:4]
    assert mixed[14:16] == after[14:16]


def test_garbage_is_well_formed_and_repeats_with_the_seed() -> None:
    answers = []
    for _ in range(2):
        device, _ = meter()
        true = read(device)
        device.faults = Faults(seed=3, garbage_every=1)
        answers.append(read(device))
        assert len(answers[-1]) == 24
        assert answers[-1] != true
    assert answers[0] == answers[1]


def test_a_device_that_restarts_judges_every_request_as_lost_until_it_is_up() -> None:
    device, _ = meter()
    device.step(1000.0)
    device.restart(down_s=5.0)
    device.step(1004.9)
    verdict = device.judge()
    assert verdict is not None
    assert verdict.kind is Kind.DROP
    device.step(1005.0)
    assert device.judge() is None
    assert device.epoch == 1
