"""How a parallel run of the suite spreads its tests over processes."""

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

MEASURING_PROCESS = "gw0"
# Tests that judge by real seconds: one process runs them, one after another, and the others give way to it.
_MEASURING = (
    "tests/faults/",
    "tests/collector_service/test_end_to_end.py",
    "tests/collector_service/live/test_service.py",
    "tests/aws/test_s3_requests.py",
)
# The finished demo is made once: its tests stay in one process.
_ON_THE_DEMO = tuple(f"tests/e2e/test_{name}.py" for name in ("demo", "ui", "atlas_page", "identities"))
# Begun first, since each takes long.
_LONGEST = (
    "demo",
    "tests/aws/test_terraform.py",
    "tests/aws/test_deployment.py",
    "tests/vieweratlas_dagster/test_assets.py",
    "tests/privacy/test_forgetting.py",
    "tests/vieweratlas_dagster/automation/",
    "tests/vieweratlas_dagster/spark/",
    "tests/test_runbook.py",
    "tests/runbook/",
    "tests/aws/",
    "tests/e2e/",
    "tests/browser/",
)


class ByLane(LoadFileScheduling):
    """Tests spread by file: those that measure in one lane, those on the demo in another."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        if file.startswith(_MEASURING):
            return "measuring"
        return "demo" if file.startswith(_ON_THE_DEMO) else file

    def _assign_work_unit(self, node: WorkerController) -> None:
        self.workqueue.move_to_end(self._next_for(node), last=False)
        super()._assign_work_unit(node)

    def _next_for(self, node: WorkerController) -> str:
        if node.gateway.id == MEASURING_PROCESS and "measuring" in self.workqueue:
            return "measuring"
        waiting = [scope for scope in self.workqueue if scope != "measuring"] or ["measuring"]
        return min(waiting, key=_place)


def _place(scope: str) -> int:
    """Where a scope stands among the longest; behind them all if it is short."""
    return next((place for place, begin in enumerate(_LONGEST) if scope.startswith(begin)), len(_LONGEST))
