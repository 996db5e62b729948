"""Entities that many tests use."""

from __future__ import annotations

from typing import Any

from durabletask.entities import DurableEntity, EntityContext


def counter(ctx: EntityContext, input: Any) -> Any:
    """A counter written as a function."""
    state = ctx.get_state(int, 0)
    if ctx.operation == "add":
        ctx.set_state(state + input)
        return state + input
    if ctx.operation == "get":
        return state
    if ctx.operation == "set":
        ctx.set_state(input)
        return None
    if ctx.operation == "delete":
        ctx.set_state(None)
        return None
    if ctx.operation == "fail":
        ctx.set_state(input)
        raise ValueError(f"cannot {input}")
    raise AttributeError(f"a counter has no operation '{ctx.operation}'")


class Account(DurableEntity):
    """An account written as a class."""

    def deposit(self, amount: int) -> int:
        balance = self.get_state(int, 0) + amount
        self.set_state(balance)
        return balance

    def withdraw(self, amount: int) -> int:
        balance = self.get_state(int, 0)
        if amount > balance:
            self.set_state(-1)
            raise ValueError(f"{amount} is more than {balance}")
        self.set_state(balance - amount)
        return balance - amount

    def balance(self) -> int:
        return self.get_state(int, 0)
