"""Runs one controller of a site: nats-server first, then the twin and the services; stops them in the reverse order."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from busbar.bus import BusError, Received
from busbar.bus.nats import NatsBus
from busbar.bus.provision import LOOPBACK, provision, server_config
from busbar.clock import SystemClock
from busbar.config.site import Site
from busbar.events import Heartbeat
from busbar.loops import EPOCH_ENV, SPEED_ENV, new_epoch
from busbar.registry import SERVICES
from busbar.subjects import HEARTBEAT
from busbar.supervisor.child import Child, ChildSpec
from busbar.supervisor.console import Console
from busbar.supervisor.host import low_disk
from busbar.supervisor.liveness import Liveness
from busbar.telemetry.logs import STYLE_ENV

PAGE_SERVICE: Final = "site-page"
_DISK_CHECK_S: Final = 10.0
_LIVENESS_CHECK_S: Final = 1.0
_QUICK_EXIT_S: Final = 3.0
_PROVISION_RETRY_S: Final = 5.0


@dataclass(frozen=True)
class Plan:
    """What `busbar up` was asked for; everything in it was checked."""

    site: Site
    site_path: Path
    nats_server: Path
    data_dir: Path
    nats_port: int = 4222
    page_port: int = 8080
    twin: bool = True
    twin_options: tuple[str, ...] = ()
    speed: float = 1.0
    services: tuple[str, ...] = field(default_factory=lambda: tuple(SERVICES))

    @property
    def nats_url(self) -> str:
        return f"nats://{LOOPBACK}:{self.nats_port}"

    @property
    def page_url(self) -> str:
        return f"http://{LOOPBACK}:{self.page_port}/"

    def environment(self, epoch: str) -> dict[str, str]:
        """What all children share: the same time, and logs for people."""
        shared = {STYLE_ENV: "text", "PYTHONUNBUFFERED": "1"}
        if self.speed != 1.0:
            shared |= {SPEED_ENV: f"{self.speed:g}", EPOCH_ENV: epoch}
        return shared

    def twin_spec(self, env: dict[str, str]) -> ChildSpec | None:
        """None where no device is simulated or the twin was not wanted."""
        if not self.twin or not any(device.simulated for device in self.site.devices.values()):
            return None
        return ChildSpec("twin", (*_BUSBAR, "twin", str(self.site_path), *self.twin_options), env)

    def service_specs(self, env: dict[str, str]) -> list[ChildSpec]:
        """Every service of the master controller; drivers once for each shard of every controller: all of a site runs
        on this machine."""
        master = next((c for c in self.site.controllers if c.role == "master"), self.site.controllers[0])
        drivers = [shard.id for controller in self.site.controllers for shard in controller.drivers]
        specs = []
        for name in self.services:
            shards = drivers if SERVICES[name].per_driver else [master.id]
            specs += [self._service_spec(name, instance, len(shards) > 1, env) for instance in shards]
        return specs

    def _service_spec(self, name: str, instance: str, shared: bool, env: dict[str, str]) -> ChildSpec:
        argv = [
            *_BUSBAR, "run", name, "--site", str(self.site_path), "--instance", instance,
            "--nats", self.nats_url, "--data-dir", str(self.data_dir),
        ]  # fmt: skip
        if name == PAGE_SERVICE:
            argv += ["--set", f"listen={LOOPBACK}:{self.page_port}"]
        return ChildSpec(f"{name}.{instance}" if shared else name, tuple(argv), {**env, INSTANCE_ENV: instance})


_BUSBAR: Final = (sys.executable, "-m", "busbar")
INSTANCE_ENV: Final = "BUSBAR_INSTANCE"


class Supervisor:
    """One run of `busbar up`, from the lock to the last child's end."""

    def __init__(self, plan: Plan, console: Console) -> None:
        self.plan = plan
        self._console = console
        self._stopping = asyncio.Event()
        self._stops_asked = 0
        self._ready = asyncio.Event()
        self._jetstream = True
        self._nats_lines: list[str] = []
        self._config_path = self._writable(plan.data_dir / "run") / "nats.conf"
        self._liveness = Liveness()
        env = plan.environment(new_epoch())
        spec = ChildSpec("nats-server", (str(plan.nats_server), "-c", str(self._config_path)), quiet=True)
        self._nats = Child(spec, console, self._on_nats_started, self._on_nats_line, self._on_nats_exit)
        twin = plan.twin_spec(env)
        self._children = [Child(s, console) for s in ([twin] if twin else []) + plan.service_specs(env)]

    async def run(self) -> None:
        """Until Ctrl-C or TERM. A second one kills what is left."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.stop)
        self._write_config()
        nats = asyncio.create_task(self._nats.run())
        await _either(self._ready, self._stopping)
        running = [asyncio.create_task(child.run()) for child in self._children if not self._stopping.is_set()]
        helpers = [asyncio.create_task(job()) for job in (self._announce_page, self._watch_disk, self._watch_hearts)]
        await self._stopping.wait()
        self._console.say("stopping")
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*(child.stop() for child in self._children))
        await self._nats.stop()
        await asyncio.gather(nats, *running)
        await asyncio.gather(*helpers, return_exceptions=True)
        self._console.say("all stopped")

    def stop(self) -> None:
        self._stops_asked += 1
        self._stopping.set()
        if self._stops_asked > 1:
            for child in (*self._children, self._nats):
                child.kill()

    # -- nats-server

    async def _on_nats_started(self) -> None:
        """After every start: memory streams are gone with the server."""
        self._liveness.forget()
        existed = (self.plan.data_dir / "jetstream").exists()
        if not await self._answers(self.plan.nats_port):
            return
        self._ready.set()
        if not self._jetstream:
            return
        failed = False
        while True:
            try:
                done = await provision(self.plan.nats_url, self.plan.site.id)
                break
            except BusError as error:
                if not failed:
                    self._console.say(f"{error}: reports and standing limits are not kept, control goes on; make room")
                failed = True
                await asyncio.sleep(_PROVISION_RETRY_S)
        lost = [name for name in done.created if name != "LAST"]
        if existed and lost and not failed and self._nats.starts > 1:
            self._console.say(f"streams {', '.join(lost)} had to be created on a running site: their content is lost")

    async def _answers(self, port: int) -> bool:
        while self._nats.pid is not None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.close()
                return True
            await asyncio.sleep(0.02)
        return False

    def _on_nats_line(self, text: str) -> None:
        self._nats_lines = [*self._nats_lines[-20:], text]

    def _on_nats_exit(self, _code: int, ran_s: float) -> None:
        """A store that cannot be opened must not stop control: the next start does without it."""
        failed = ran_s < _QUICK_EXIT_S and any("jetstream" in t.lower() for t in self._nats_lines if _is_error(t))
        if failed and self._jetstream:
            self._jetstream = False
            self._write_config()
            self._console.say(
                "nats-server cannot use its store: starting it without. Control goes on; reports and standing limits "
                "are not kept. Repair or make room, then start busbar again"
            )

    def _write_config(self) -> None:
        store = self.plan.data_dir / "jetstream" if self._jetstream else None
        self._config_path.write_text(server_config(self.plan.site.id, self.plan.nats_port, store))

    def _writable(self, directory: Path) -> Path:
        """The directory, or a temporary one where its disk is full."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            probe = directory / ".probe"
            probe.write_bytes(b"x" * 4096)
            probe.unlink()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise
            self._console.say(f"{directory}: {error.strerror}; state is not kept, control goes on; make room")
            return Path(tempfile.mkdtemp(prefix="busbar-"))
        return directory

    # -- watching

    async def _announce_page(self) -> None:
        if not any(child.spec.name == PAGE_SERVICE for child in self._children):
            return
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                reader, writer = await asyncio.open_connection(LOOPBACK, self.plan.page_port)
                writer.write(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
                answer = await asyncio.wait_for(reader.read(12), 5.0)
                writer.close()
                if answer.startswith(b"HTTP/"):
                    self._console.say(f"the page is at {self.plan.page_url} (Ctrl-C stops everything)")
                    return
            await asyncio.sleep(0.25)

    async def _watch_disk(self) -> None:
        was_low = False
        while True:
            warning = low_disk(self.plan.data_dir)
            if warning and not was_low:
                self._console.say(f"WARNING {warning}")
            was_low = warning is not None
            await asyncio.sleep(_DISK_CHECK_S)

    async def _watch_hearts(self) -> None:
        """Kill a service that hangs; its `Child` starts a clean one."""
        bus = await NatsBus.connect(self.plan.nats_url, self.plan.site.id, "supervisor", SystemClock())
        loop = asyncio.get_running_loop()

        def on_beat(received: Received[Heartbeat]) -> None:
            beat = received.event
            if beat.cycles:  # a start may take its time
                self._liveness.beat(f"{beat.service}:{beat.instance}", beat.cycles, loop.time())

        await bus.subscribe(HEARTBEAT, on_beat)
        starts: dict[str, int] = {}
        try:
            while True:
                self._check_hearts(bus.connected, loop.time, starts)
                await asyncio.sleep(_LIVENESS_CHECK_S)
        finally:
            await bus.close()

    def _check_hearts(self, connected: bool, now: Callable[[], float], starts: dict[str, int]) -> None:
        if not connected:
            self._liveness.forget()
            return
        for child in self._children:
            heart = _heart(child.spec)
            if starts.get(heart) != child.starts:
                starts[heart] = child.starts
                self._liveness.forget(heart)
        for heart in self._liveness.stuck(now()):
            for child in self._children:
                if _heart(child.spec) == heart:
                    self._console.say(f"{child.spec.name} does not advance any more: killing it")
                    child.kill()
            self._liveness.forget(heart)


def _heart(spec: ChildSpec) -> str:
    """`service:instance` of its heartbeat; the twin has none."""
    if INSTANCE_ENV not in spec.env:
        return ""
    return f"{spec.argv[spec.argv.index('run') + 1]}:{spec.env[INSTANCE_ENV]}"


def _is_error(text: str) -> bool:
    return "[FTL]" in text or "[ERR]" in text or text.startswith("nats-server:")


async def _either(*events: asyncio.Event) -> None:
    """Return when one of them is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()
