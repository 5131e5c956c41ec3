"""So many bars are held at a time, and nobody is passed by."""

from __future__ import annotations

import threading

from tests.support.processes import wait_until
from webapp.bar_budget import BarBudget


def test_results_share_the_budget_by_their_size() -> None:
    budget = BarBudget(10)
    assert budget.acquire(6)
    assert not budget.acquire(5)
    assert budget.acquire(4)
    budget.release(6)
    assert budget.acquire(5)


def test_what_is_larger_than_the_budget_is_admitted_alone() -> None:
    budget = BarBudget(10)
    assert budget.acquire(25)
    assert not budget.acquire(1)
    budget.release(25)
    assert budget.acquire(1)
    assert not budget.acquire(25)


def test_who_waits_is_not_passed_by_those_who_need_less() -> None:
    budget = BarBudget(10)
    assert budget.acquire(6)
    admitted: list[bool] = []
    large = threading.Thread(target=lambda: admitted.append(budget.acquire(8, timeout=60.0)))
    large.start()
    wait_until(lambda: len(budget._queue) == 1, 10, "it waits")
    assert not budget.acquire(1)
    budget.release(6)
    large.join(10)
    assert admitted == [True]
    assert budget.acquire(2)


def test_who_gives_up_leaves_the_queue() -> None:
    budget = BarBudget(10)
    assert budget.acquire(10)
    assert not budget.acquire(1, timeout=0.01)
    budget.release(10)
    assert budget.acquire(10)
