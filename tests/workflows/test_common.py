"""What the workflows share: how many trials wait."""

from study.execution.queue import Progress
from study.workflows.common import STOCK, stocked


def trials(state: str, number: int) -> list[Progress]:
    return [Progress(slot, f"trial {slot}", state, 0, 5, None, None) for slot in range(number)]


def test_a_stock_waits_and_more_where_many_workers_take_from_it():
    assert stocked([]) == STOCK
    assert stocked(trials("WAITING", 500)) == STOCK
    assert stocked(trials("FAIL", 3) + trials("PRUNED", 4) + trials("COMPLETE", 5) + trials("RUNNING", 2)) == 14 + STOCK
    assert stocked(trials("COMPLETE", 10) + trials("RUNNING", 64) + trials("WAITING", 7)) == 10 + 64 + 128
