"""The page of a Pilot with workers: one sum that never falls, whatever becomes of them."""

import pytest
from meshcore import metrics
from pilot.adapters.answers import Gathered
from pilot.adapters.worker_metrics import WorkerMetrics


class Workers:
    """Stands for the pool: each worker is a pid with what it counts."""

    def __init__(self):
        self.pids = {"w0": 100, "w1": 101}
        self.silent = set()
        self.values = {}

    def count(self, worker, pushes, services=1000, connected=0, memory=0):
        self.values[worker] = (pushes, services, connected, memory)

    async def ask(self, what, parameters, seconds):
        assert what == "metrics"
        answers = {f"pilot-1/{one}": self._answer(one) for one in self.pids if one not in self.silent}
        return Gathered(answers)

    def _answer(self, worker):
        pushes, services, connected, memory = self.values[worker]

        def family(name, kind, *samples):
            return {"name": name, "help": "", "type": kind, "samples": list(samples)}

        return {
            "pid": self.pids[worker],
            "families": [
                family("pilot_xds_pushes", "counter", ["pilot_xds_pushes", {"type": "cds"}, pushes]),
                family("pilot_xds_send_time", "histogram", ["pilot_xds_send_time_count", {}, pushes]),
                family("pilot_services", "gauge", ["pilot_services", {}, services]),
                family("pilot_xds", "gauge", ["pilot_xds", {"version": "1.28"}, connected]),
            ],
            "process": [
                family(
                    "process_resident_memory_bytes", "gauge", ["process_resident_memory_bytes", {}, memory],
                )
            ],
        }  # fmt: skip


@pytest.fixture
def workers():
    made = Workers()
    made.count("w0", pushes=10, connected=3, memory=50)
    made.count("w1", pushes=5, connected=4, memory=60)
    return made


def shown(page):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in page.collect()
        for sample in family.samples
    }


async def test_what_all_know_alike_is_shown_once_and_what_each_has_is_added_up(workers):
    page = WorkerMetrics(workers)
    await page.look()
    found = shown(page)
    assert found["pilot_services",] == 1000
    assert found["pilot_xds", "1.28"] == 7
    assert found["pilot_xds_pushes", "cds"] == 15
    assert found["pilot_xds_send_time_count",] == 15


async def test_what_each_process_takes_of_the_machine_is_shown_with_its_name(workers):
    page = WorkerMetrics(workers)
    await page.look()
    found = shown(page)
    assert found["process_resident_memory_bytes", "pilot-1/w0"] == 50
    assert found["process_resident_memory_bytes", "pilot-1/w1"] == 60
    own = {sample.name: sample.value for family in metrics.PROCESS.collect() for sample in family.samples}
    assert found["process_start_time_seconds",] == own["process_start_time_seconds"]


async def test_a_silent_worker_counts_as_it_did_last(workers):
    page = WorkerMetrics(workers)
    await page.look()
    workers.silent.add("w0")
    workers.count("w1", pushes=6, connected=4)
    await page.look()
    assert shown(page)["pilot_xds_pushes", "cds"] == 16
    assert shown(page)["pilot_xds", "1.28"] == 7


async def test_what_a_worker_counted_outlives_it_and_its_streams_do_not(workers):
    page = WorkerMetrics(workers)
    await page.look()
    del workers.pids["w0"]
    await page.look()
    assert shown(page)["pilot_xds_pushes", "cds"] == 15
    assert shown(page)["pilot_xds", "1.28"] == 4
    workers.pids["w0"] = 200
    workers.count("w0", pushes=1, connected=1)
    await page.look()
    assert shown(page)["pilot_xds_pushes", "cds"] == 16
    assert shown(page)["pilot_xds_send_time_count",] == 16
    assert shown(page)["pilot_xds", "1.28"] == 5
    assert shown(page)["pilot_services",] == 1000


async def test_a_worker_that_was_replaced_between_two_looks_counts_with_its_successor(workers):
    page = WorkerMetrics(workers)
    await page.look()
    workers.pids["w1"] = 201
    workers.count("w1", pushes=2)
    await page.look()
    assert shown(page)["pilot_xds_pushes", "cds"] == 17
