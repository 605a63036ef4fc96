"""Logs for eyes and for machines; the health endpoint says stuck, not connected, and what it counts."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator

import pytest

from busbar.telemetry.health import HealthServer, Vitals, answer
from busbar.telemetry.logs import LEVEL_ENV, STYLE_ENV, configure


@pytest.fixture(autouse=True)
def _keep_the_root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_json_lines_carry_who_what_and_extras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STYLE_ENV, "json")
    out = io.StringIO()
    log = configure("spc-allocator", "main", out)
    log.warning("%s is silent", "grid-meter", extra={"code": "meter_silent"})
    line = json.loads(out.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "warning", "service": "spc-allocator", "instance": "main", "logger": "spc-allocator",
        "text": "grid-meter is silent", "code": "meter_silent",
    }  # fmt: skip


def test_json_lines_carry_a_traceback_as_one_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STYLE_ENV, "json")
    out = io.StringIO()
    log = configure("s", "i", out)
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        log.exception("ended")
    (line,) = out.getvalue().splitlines()
    assert "ZeroDivisionError" in json.loads(line)["traceback"]


def test_text_lines_are_for_eyes_and_the_level_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STYLE_ENV, "text")
    monkeypatch.setenv(LEVEL_ENV, "warning")
    out = io.StringIO()
    log = configure("s", "i", out)
    log.info("not shown")
    log.error("broken", extra={"code": "x"})
    assert out.getvalue()[12:] == " ERROR   broken code=x\n"
    monkeypatch.setenv(LEVEL_ENV, "no-such-level")
    configure("s", "i", out)
    assert logging.getLogger().level == logging.INFO


def test_nobody_who_logs_oddly_breaks_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STYLE_ENV, "json")
    out = io.StringIO()
    configure("s", "i", out).warning("x", extra={"where": object(), "map": {1: "one"}})
    assert json.loads(out.getvalue())["map"] == {"1": "one"}


STUCK = Vitals(live=False, ready=True, detail="running after 5 cycles")
ALONE = Vitals(live=True, ready=False, metrics={"busbar_cycles_total": 7.0})


@pytest.mark.parametrize(
    ("path", "vitals", "code", "text"),
    [
        ("/healthz", STUCK, 503, "stuck running after 5 cycles\n"),
        ("/readyz",  STUCK, 200, "ready running after 5 cycles\n"),
        ("/healthz", ALONE, 200, "live \n"),
        ("/readyz",  ALONE, 503, "not connected \n"),
        ("/metrics", ALONE, 200, "busbar_cycles_total 7\n"),
        ("/",        ALONE, 404, "try /healthz, /readyz or /metrics\n"),
    ],
)  # fmt: skip
def test_health_answers(path: str, vitals: Vitals, code: int, text: str) -> None:
    assert answer(path, vitals) == (code, text)


@pytest.mark.parametrize(
    ("request_line", "expected"),
    [
        (b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", b"HTTP/1.1 503 "),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"HTTP/1.1 200 "),
        (b"POST /healthz HTTP/1.1\r\n\r\n", b"HTTP/1.1 405 "),
        (b"nonsense\r\n", b""),
        (b"x" * 20_000, b""),
    ],
)
async def test_health_over_http_answers_once_and_survives_nonsense(request_line: bytes, expected: bytes) -> None:
    server = HealthServer(lambda: ALONE)
    port = await server.start("127.0.0.1", 0)
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request_line)
        try:
            got = await reader.read()
        except ConnectionResetError:
            got = b""
        assert got.startswith(expected)
        assert bool(got) == bool(expected)
        writer.close()
    await server.close()
