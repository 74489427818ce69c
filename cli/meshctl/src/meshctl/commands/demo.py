"""meshctl demo: the bookshop on a stack of its own, from nothing to its traffic moving between versions."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

import typer
from meshcore.errors import ErrorCode, MeshError
from rich.console import Console
from rich.live import Live
from rich.table import Table

from meshctl.adapters.config_files import read_documents
from meshctl.adapters.demo_stack import SHOP_URL, Changes, DemoStack, temporary_state_root
from meshctl.adapters.loopback import lock_free_stack
from meshctl.adapters.peer_certificate import plaintext_answer, presented_certificate
from meshctl.adapters.stack_files import bookshop_workloads, stack_from, stack_settings
from meshctl.adapters.traffic import Reply, Traffic
from meshctl.commands.options import StackOption, failing_clearly
from meshctl.core.demo_story import ADA, CALLERS, MEASURED_CHANGES, OTHERS, STEPS, Step, measured_change
from meshctl.core.receipts import Convergence
from meshctl.core.topology import Stack
from meshctl.core.traffic_split import VERSIONS, Answer, Split, median_and_max, milliseconds

SPLIT_TIMEOUT = 60.0
REDRAW = 0.2


@failing_clearly
def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the stack running at the end.")] = False,
    stack: StackOption = None,
    rate: Annotated[float, typer.Option("--rate", min=1, help="Requests per second of each of the two callers.")] = 60,
    changes: Annotated[
        int, typer.Option("--changes", min=1, help="VirtualService changes to time.")
    ] = MEASURED_CHANGES,
) -> None:
    """Run the bookshop, move its traffic, show identities and receipts, and end."""
    chosen = stack_from(stack) if stack is not None or "MESHCORE_STACK" in os.environ else _free_stack()
    temporary = None if keep else temporary_state_root()
    if temporary is not None:
        os.environ["XDG_STATE_HOME"] = str(temporary)
    shop = DemoStack(stack_settings(chosen), bookshop_workloads(), temporary)
    asyncio.run(Demo(shop, Console(highlight=False), rate, changes, keep).run())


def _free_stack() -> Stack:
    """Held until the demo ends; its supervisor holds it as well."""
    lock = lock_free_stack(first=1)
    os.environ.update(lock.environment)
    return Stack(lock.number)


class Demo:
    """One run. Every promise that it makes on screen is checked; a broken one ends it with an error."""

    def __init__(self, shop: DemoStack, console: Console, rate: float, changes: int, keep: bool) -> None:
        self._shop, self._console, self._rate, self._changes, self._keep = shop, console, rate, changes, keep
        self._split, self._since = Split(), 0.0
        self._traffic: list[Traffic] = []

    async def run(self) -> None:
        """The whole story. The stack goes down at the end, also when something fails."""
        try:
            await self._story()
        except BaseException as error:  # noqa: BLE001 - raised again once the stack is down
            await self._shop.stop()
            raise _cause(error) from None
        if self._keep:
            number = self._shop.settings.stack.number
            self._say(f"\nThe stack keeps running: `MESHCORE_STACK={number} meshctl status`, `... meshctl down`.")
        else:
            await self._shop.stop()

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)

    def _head(self, text: str) -> None:
        self._console.print(f"\n[bold]{text}[/bold]", soft_wrap=True)

    async def _story(self) -> None:
        self._head(
            f"Starting stack {self._shop.settings.stack.number}: NATS, galley, citadel, pilot, injector, 8 proxies"
        )
        status, seconds, reply = await self._shop.start()
        for service in status["services"]:
            self._say(f"  {service['name']:<10} {service['state']:<8} pid {service['pid']}")
        self._say(f"  {len(status['workloads'])} workloads, each with its own Envoy")
        self._say(f"First mTLS 200 after {seconds:.1f} s: front saw its caller as {reply.body['caller']}")
        await self._from_outside()
        config, pilot = self._shop.config_api(), self._shop.pilot_api()
        with config, pilot:
            changes = Changes(config, pilot)
            async with self._customers():
                for number, step in enumerate(STEPS, 1):
                    await self._step(number, step, changes)
                await self._certificate()
                await self._strict(changes)
                await self._measure(changes)
        sent = sum(traffic.sent for traffic in self._traffic)
        failures = [reply for traffic in self._traffic for reply in traffic.failures]
        self._head(f"{sent} requests, {len(failures)} failed")
        if failures:
            self._fail(f"requests failed, the first with {failures[0].status} {failures[0].error}")

    async def _from_outside(self) -> None:
        """Somebody without a proxy, at the gateway."""
        url = self._shop.gateway_url
        answer = await self._shop.outside_answer()
        self._say(f"Through the gateway, no proxy set: curl {url} -> front saw its caller as {answer.body['caller']}")
        if not str(answer.body["caller"]).endswith("/ns/default/sa/ingress"):
            self._fail("the gateway did not call for the customer outside")

    @asynccontextmanager
    async def _customers(self) -> AsyncIterator[None]:
        """Traffic of both callers while the body runs."""

        def noting(caller: str) -> "Traffic":
            headers = {"end-user": ADA} if caller == ADA else {}

            def note(reply: Reply) -> None:
                if reply.at < self._since:  # it was on its way when the change came
                    return
                reviews = reply.body.get("reviews", {}) if reply.good else {}
                self._split.add(Answer(caller, reply.status, str(reviews.get("version", "?"))))

            return Traffic(self._shop.shopper_proxy, SHOP_URL, rate=self._rate, headers=headers, on_reply=note)

        self._traffic = [noting(caller) for caller in CALLERS]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(traffic.run()) for traffic in self._traffic]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def _step(self, number: int, step: Step, changes: Changes) -> None:
        self._head(f"Step {number}: {step.title}")
        (document,) = read_documents([str(self._shop.directory / step.file)])
        applied, receipt = await changes.apply(document.body)
        self._say(f"  {applied}")
        self._receipt(receipt)
        self._split, self._since = Split(), asyncio.get_running_loop().time()
        await self._watch(step)
        wrong = self._split.contradicts(step.promise)
        if wrong:
            self._fail("; ".join(wrong))

    async def _watch(self, step: Step) -> None:
        """Shows the split until every caller has had answers enough to judge."""
        with Live(console=self._console, auto_refresh=False) as live:
            async with asyncio.timeout(SPLIT_TIMEOUT):
                while not self._split.enough(CALLERS):
                    await asyncio.sleep(REDRAW)
                    live.update(self._table(step), refresh=self._console.is_terminal)
            live.update(self._table(step), refresh=True)
        if not self._console.is_terminal:
            self._say("")  # a table that is printed once ends without a line end

    def _table(self, step: Step) -> Table:
        table = Table("caller", *(f"reviews {version}" for version in VERSIONS), "answers", "failed", title=step.title)
        for caller in (ADA, OTHERS):
            failed = self._split.counts.get(caller, Counter())["failed"]
            shares = [f"{self._split.share(caller, version):>5.0%}" for version in VERSIONS]
            table.add_row(caller, *shares, str(self._split.total(caller)), str(failed))
        return table

    def _receipt(self, receipt: Convergence) -> None:
        if not receipt.complete or receipt.failed:
            out = ", ".join((*receipt.waiting, *receipt.failed, *receipt.silent))
            left_out = f"; left out: {', '.join(receipt.left_out)}" if receipt.left_out else ""
            self._fail(f"revision {receipt.revision} did not converge; still out: {out or 'nobody'}{left_out}")
        took = milliseconds(receipt.took)
        self._say(f"  receipt: revision {receipt.revision}, commit to last ACK {took}, {receipt.proxies} proxies")

    async def _certificate(self) -> None:
        self._head("The certificate that reviews presents to its callers")
        address = self._shop.workload("reviews-v3")["address"]
        identity = Path(self._shop.settings.layout.identities) / "meshctl"
        shown = await asyncio.to_thread(presented_certificate, address, 9080, identity)
        self._say(f"  SPIFFE id  {shown.spiffe_id}")
        self._say(f"  issuer     {shown.issuer}")
        self._say(f"  valid      {shown.not_before:%Y-%m-%d %H:%M:%S} to {shown.not_after:%Y-%m-%d %H:%M:%S} UTC")
        self._say(f"  serial     {shown.serial}, {shown.tls}, chain verified up to the mesh root")
        if not shown.spiffe_id.endswith("/ns/default/sa/reviews"):
            self._fail("reviews presents the identity of somebody else")

    async def _strict(self, changes: Changes) -> None:
        self._head("A caller without TLS")
        address = self._shop.workload("ratings")["address"]
        before = await asyncio.to_thread(plaintext_answer, address, 9080, "ratings:9080")
        self._say(f"  ratings, PERMISSIVE: {before}")
        (document,) = read_documents([str(self._shop.directory / "strict-ratings.yaml")])
        applied, receipt = await changes.apply(document.body)
        self._say(f"  {applied}")
        self._receipt(receipt)
        after = await asyncio.to_thread(plaintext_answer, address, 9080, "ratings:9080")
        self._say(f"  ratings, STRICT:     {after}")
        if " 200 " not in before or not after.startswith("refused"):
            self._fail("the policy made no difference")

    async def _measure(self, changes: Changes) -> None:
        self._head(f"{self._changes} VirtualService changes, Galley's commit to the last Envoy's ACK")
        took = []
        for number in range(self._changes):
            _, receipt = await changes.apply(measured_change(number))
            if not receipt.complete or receipt.failed:
                self._receipt(receipt)
            took.append(receipt.took)
        median, longest = median_and_max(took)
        self._say(f"  p50 {milliseconds(median)}, max {milliseconds(longest)}")

    def _fail(self, what: str) -> None:
        raise MeshError(ErrorCode.INTERNAL, f"the demo broke a promise: {what}")


def _cause(error: BaseException) -> BaseException:
    """The first error that a group of tasks came to."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
