"""What decides in `busbar up`: delays, who hangs, what is started, and what the machine must give."""

from __future__ import annotations

import io
import os
import socket
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from busbar.config.load import load_site
from busbar.config.site import Site
from busbar.loops import EPOCH_ENV, SPEED_ENV
from busbar.supervisor import (
    AlreadyRunningError,
    Backoff,
    Console,
    HostError,
    Plan,
    PortTakenError,
    check_addresses,
    check_port,
    lock_data_dir,
)
from busbar.supervisor.child import describe_exit
from busbar.supervisor.host import low_disk, port_holder
from busbar.supervisor.liveness import Liveness

DEMO = Path(__file__).parents[2] / "examples" / "demo.yaml"


@pytest.fixture(scope="module")
def demo() -> Site:
    return load_site(DEMO)


def plan(site: Site, **options: object) -> Plan:
    return Plan(site, DEMO, Path("/bin/nats-server"), Path("/data"), **options)  # type: ignore[arg-type]


def test_restarts_wait_twice_as_long_each_time_up_to_five_seconds_and_start_over_after_health() -> None:
    backoff = Backoff()
    ran_s = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 29.9, 30.0, 0.1]
    assert [backoff.delay_s(t) for t in ran_s] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0, 0.2, 0.4]


@given(st.lists(st.floats(0, 100), max_size=50))
def test_no_history_of_crashes_waits_less_than_the_first_or_more_than_the_longest(runs_s: list[float]) -> None:
    backoff = Backoff()
    assert all(0.2 <= backoff.delay_s(ran_s) <= 5.0 for ran_s in runs_s)


def test_a_service_whose_cycles_stand_still_is_stuck_and_one_that_never_beat_is_not() -> None:
    hearts = Liveness(stuck_s=15.0)
    for second in range(40):
        hearts.beat("allocator:main", min(second, 10), now_s=second)  # beats on, but stands still after 10
        hearts.beat("driver:modbus-1", second, now_s=second)
        expected = ["allocator:main"] if second > 25 else []
        assert hearts.stuck(second) == expected
    hearts.forget("allocator:main")
    assert hearts.stuck(100) == ["driver:modbus-1"]  # fell silent
    hearts.forget()
    assert hearts.stuck(1000) == []


def test_every_service_of_the_registry_is_started_with_the_site_its_instance_and_its_bus(demo: Site) -> None:
    specs = plan(demo, nats_port=5000, page_port=9000).service_specs({})
    assert [spec.name for spec in specs] == [
        "field-driver-modbus", "collector-aggregator", "spc-allocator", "fallback-watchdog", "site-page",
    ]  # fmt: skip
    driver, page = specs[0], specs[-1]
    assert driver.argv[:5] == (sys.executable, "-m", "busbar", "run", "field-driver-modbus")
    assert driver.argv[driver.argv.index("--instance") + 1] == "modbus-1"
    assert page.argv[page.argv.index("--instance") + 1] == "main"
    assert page.argv[page.argv.index("--set") + 1] == "listen=127.0.0.1:9000"
    assert all(spec.argv[spec.argv.index("--nats") + 1] == "nats://127.0.0.1:5000" for spec in specs)


def test_the_twin_is_started_for_simulated_devices_unless_it_is_not_wanted(demo: Site) -> None:
    wanted = plan(demo, twin_options=("--seed", "7")).twin_spec({})
    assert wanted is not None
    assert wanted.argv[3:] == ("twin", str(DEMO), "--seed", "7")
    assert plan(demo, twin=False).twin_spec({}) is None


def test_all_children_share_speed_and_epoch(demo: Site) -> None:
    assert SPEED_ENV not in plan(demo).environment("1@2")
    shared = plan(demo, speed=5.0).environment("1@2")
    assert (shared[SPEED_ENV], shared[EPOCH_ENV]) == ("5", "1@2")


def test_a_taken_port_names_its_holder_and_the_option() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(
            PortTakenError, match=rf"port {port} for the page is taken by .*pid {os.getpid()}.*--page-p"
        ):
            check_port(port, "the page", "--page-port")
    check_port(port, "the page", "--page-port")
    assert port_holder(port) is None


def test_taken_addresses_of_simulated_devices_are_all_named_with_their_holder_and_others_are_nobodys_fault() -> None:
    with socket.create_server(("127.0.91.1", 0)) as holder:
        port = holder.getsockname()[1]
        check_addresses(
            {"free": ("127.0.91.2", port), "elsewhere": ("192.0.2.1", 502), "by-name": ("no-such-host", 1502)}
        )
        assert port_holder(port, "127.0.91.2") is None
        with pytest.raises(PortTakenError) as refused:
            check_addresses({"meter": ("127.0.91.1", port), "free": ("127.0.91.2", port)})
    text = str(refused.value)
    assert f"meter (127.0.91.1:{port}) is taken by" in text
    assert f"(pid {os.getpid()})" in text
    assert "free" not in text
    assert "site file" in text


def test_a_data_directory_has_one_supervisor_and_the_second_learns_the_pid_of_the_first(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with lock_data_dir(data), pytest.raises(AlreadyRunningError, match=rf"pid {os.getpid()}.*--data-dir"):  # noqa: SIM117
        with lock_data_dir(data):
            pass
    with lock_data_dir(data):  # free again
        pass


def test_a_data_directory_that_cannot_be_is_refused_with_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="--data-dir"), lock_data_dir(tmp_path / "file" / "data"):
        pass


def test_a_nearly_full_disk_is_a_warning_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert low_disk(tmp_path) is None
    monkeypatch.setattr("busbar.supervisor.host.LOW_DISK_BYTES", 1 << 60)
    assert "make room" in (low_disk(tmp_path) or "")


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "ended by itself"), (1, "ended with exit code 1"), (-9, "was killed by SIGKILL")],
)
def test_ends_are_told_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words


def test_lines_carry_the_name_in_front_and_colour_only_where_wanted() -> None:
    plain, coloured = io.StringIO(), io.StringIO()
    Console(plain, colour=False).line("twin", "12:00:00.000 WARNING x")
    Console(coloured, colour=True).line("twin", "12:00:00.000 WARNING x")
    assert plain.getvalue() == "twin                  | 12:00:00.000 WARNING x\n"
    assert "\x1b[33m" in coloured.getvalue()
