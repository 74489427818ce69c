"""The supervisor of one stack: brings it up in order, keeps it up, and takes it down to the last process.

Order: `citadel init`; NATS, all services and the applications at once; Galley ready; first config objects; tokens and
sidecars; everything ready. Each step finds what is already there, so `ensure` may be called again at any time.
"""

import asyncio
import json
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshctl.adapters.processes import DOWN_GRACE, make_key, stop_all_recorded, write_private
from meshctl.adapters.readiness import quit_now
from meshctl.adapters.unit import Unit
from meshctl.core.failure import StackFailure
from meshctl.core.plan import (
    ProcessSpec,
    Role,
    StackSettings,
    application_spec,
    init_command,
    proxy_spec,
    service_specs,
)
from meshctl.core.topology import CONFIG_API_PORT, MAX_WORKLOAD, PROXY_HTTP_PORT, STATUS_PORT
from meshctl.core.workloads import SIDECAR, Workload, WorkloadsFile, workload_entry, workload_from

if TYPE_CHECKING:
    from meshctl.adapters.seeding import Seeding

INIT_TIMEOUT = 30.0
STATE_KEY_BYTES = 32


class Supervisor:
    """Runs the processes of one stack inside `tasks`."""

    def __init__(self, settings: StackSettings, *, restart: bool, tasks: asyncio.TaskGroup) -> None:
        self._settings = settings
        self._layout = settings.layout
        self._restart = restart
        self._tasks = tasks
        self._units: dict[str, Unit] = {}
        self._workloads: dict[str, tuple[Workload, int, str]] = {}
        self._ensuring = asyncio.Lock()
        self._remembered = False

    @property
    def config_api_url(self) -> str:
        """Where Galley's config API listens."""
        return f"https://{self._settings.stack.galley}:{CONFIG_API_PORT}"

    @cached_property
    def _seeding(self) -> "Seeding":
        from meshctl.adapters.seeding import Seeding  # the models load while the first processes start

        return Seeding(self.config_api_url, self._settings)

    def _seed(self, added: WorkloadsFile | None) -> None:
        config = added.config if added is not None else ()
        self._seeding.seed([workload for workload, _, _ in self._workloads.values()], config)

    async def ensure(self, timeout: float, added: WorkloadsFile | None = None) -> None:
        """Brings up whatever does not run and waits until all is ready. Raises StackFailure."""
        async with self._ensuring:
            deadline = asyncio.get_running_loop().time() + timeout
            self._recall_workloads()
            if added is not None:
                self._add(added)
            if not Path(self._layout.root_certificate).exists():
                await self._init()
            for spec in service_specs(self._settings):
                Path(self._layout.state(spec.name)).mkdir(parents=True, exist_ok=True, mode=0o700)
                self._run(spec)
            for workload, number, directory in self._workloads.values():
                application = application_spec(self._settings, workload, number, directory)
                if application is not None:
                    self._run(application)
            await asyncio.to_thread(lambda: self._seeding)
            await self._units["galley"].wait_ready(deadline)
            await asyncio.to_thread(self._seed, added)
            await self._run_proxies()
            async with asyncio.TaskGroup() as waits:
                for unit in self._units.values():
                    waits.create_task(unit.wait_ready(deadline))

    def _run(self, spec: ProcessSpec) -> None:
        unit = self._units.setdefault(spec.name, Unit(spec, self._layout, restart=self._restart))
        unit.ensure_running(self._tasks)

    async def _run_proxies(self) -> None:
        new = any(name not in self._units for name in self._workloads)
        settings = await asyncio.to_thread(self._seeding.proxy_settings) if new else None
        for workload, number, _ in self._workloads.values():
            proxy_config = None if settings is None else settings.effective(workload)
            self._run_proxy(workload, number, proxy_config)

    def _run_proxy(self, workload: Workload, number: int, proxy_config: Mapping[str, Any] | None) -> None:
        if workload.name not in self._units:
            Path(self._layout.workload(number)).mkdir(parents=True, exist_ok=True, mode=0o700)
            make_key(Path(self._layout.state_key(workload.namespace, workload.name)), STATE_KEY_BYTES)

            async def refresh_token() -> None:
                await asyncio.to_thread(self._seeding.write_token, workload, number)

            spec = proxy_spec(self._settings, workload, number, proxy_config)
            self._units[workload.name] = Unit(spec, self._layout, restart=self._restart, before_start=refresh_token)
        self._units[workload.name].ensure_running(self._tasks)

    async def _init(self) -> None:
        command = init_command(self._settings)
        process = await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            async with asyncio.timeout(INIT_TIMEOUT):
                output, _ = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise StackFailure("citadel init", f"did not end within {INIT_TIMEOUT:.0f} s") from None
        if process.returncode != 0:
            lines = output.decode("utf-8", "replace").splitlines()[-20:]
            raise StackFailure("citadel init", f"ended with code {process.returncode}", tuple(lines))

    def _recall_workloads(self) -> None:
        """The workloads that this stack had when its supervisor last wrote them down."""
        path = Path(self._layout.workload_numbers)
        if self._remembered or not path.exists():
            self._remembered = True
            return
        self._remembered = True
        for entry in json.loads(path.read_text()):
            workload = workload_from(entry["workload"])
            self._workloads[workload.name] = (workload, entry["number"], entry["directory"])

    def _add(self, added: WorkloadsFile) -> None:
        """Allots each new workload a number that no other has; only this process, the lock's holder, does so."""
        for workload in added.workloads:
            if workload.name in self._workloads:
                continue
            taken = {number for _, number, _ in self._workloads.values()}
            free = next((number for number in range(1, MAX_WORKLOAD + 1) if number not in taken), None)
            if free is None:
                raise StackFailure(workload.name, f"the stack already has {MAX_WORKLOAD} workloads")
            self._workloads[workload.name] = (workload, free, added.directory)
        self._write_workloads()

    def _write_workloads(self) -> None:
        entries = [
            {"workload": workload_entry(workload), "number": number, "directory": directory}
            for workload, number, directory in self._workloads.values()
        ]
        write_private(Path(self._layout.workload_numbers), json.dumps(entries, indent=1))

    async def remove(self, names: list[str], kill: bool = False) -> None:
        """Ends workloads in good order (sidecar first, so that callers leave before the application goes)."""
        for name in names:
            for unit_name in (name, f"{name}-app"):
                unit = self._units.pop(unit_name, None)
                if unit is not None:
                    await unit.stop(timedelta() if kill else None)
            self._workloads.pop(name, None)
        self._write_workloads()

    async def stop(self) -> None:
        """Takes everything down: sidecars and applications, then services, then whatever a pid file still names."""
        units = list(self._units.values())
        proxies = [unit for unit in units if unit.spec.role is Role.PROXY]
        for unit in units:
            unit.release()
        await asyncio.gather(*(quit_now(unit.spec.listens[0][0], STATUS_PORT) for unit in proxies))
        first = [unit for unit in units if unit.spec.role is not Role.SERVICE]
        for group in (first, [unit for unit in units if unit not in first]):
            await asyncio.gather(*(unit.stop(DOWN_GRACE) for unit in group))
        await stop_all_recorded(self._layout)

    async def status(self) -> dict[str, Any]:
        """The stack in the shape of `meshctl status -o json`."""
        states = await asyncio.gather(*(unit.state() for unit in self._units.values()))
        by_name = dict(zip(self._units, states, strict=True))
        services = []
        for spec in service_specs(self._settings):
            unit = self._units.get(spec.name)
            entry: dict[str, Any] = {
                "name": spec.name,
                "state": by_name.get(spec.name, "stopped"),
                "pid": unit.pid if unit else None,
            }
            if spec.name == "galley":
                entry["config_api"] = self.config_api_url
            if spec.name == "nats":
                entry["client"] = "nats://{}:{}".format(*spec.listens[0])
                entry["monitoring"] = "http://{}:{}".format(*spec.listens[1])
            else:
                entry["admin"] = "http://{}:{}".format(*spec.listens[-1])
            services.append(entry)
        workloads = [self._workload_status(item, by_name) for item in self._workloads.values()]
        return {"stack": self._settings.stack.number, "services": services, "workloads": workloads}

    def _workload_status(self, item: tuple[Workload, int, str], states: dict[str, str]) -> dict[str, Any]:
        workload, number, _ = item
        unit, application = self._units.get(workload.name), self._units.get(f"{workload.name}-app")
        proxy = self._settings.stack.proxy(number)
        return {
            "name": workload.name,
            "type": workload.type,
            "namespace": workload.namespace,
            "service_account": workload.service_account,
            "state": states.get(workload.name, "stopped"),
            "pid": unit.pid if unit else None,
            "application_pid": application.pid if application else None,
            "address": proxy,
            "http_proxy": f"http://{proxy}:{PROXY_HTTP_PORT}" if workload.type == SIDECAR else "",
            "application": self._settings.stack.application(number),
            "envoy_admin": self._layout.envoy_admin_socket(number),
        }
