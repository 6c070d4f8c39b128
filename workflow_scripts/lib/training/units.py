"""What a system takes in turn: items, or groups that hold items."""

from collections.abc import Callable
from typing import Any

from models.systems.interface import Item


def prepared(unit: Any, prepare: Callable[[Item], Item]) -> Any:
    """Apply a function to every item of a unit: an item, or a tuple or list that may hold items."""
    if isinstance(unit, Item):
        return prepare(unit)
    if isinstance(unit, tuple | list):
        return type(unit)(prepared(part, prepare) for part in unit)
    return unit


def n_items(unit: Any) -> int:
    """Return how many items a unit holds."""
    if isinstance(unit, Item):
        return 1
    return sum(map(n_items, unit)) if isinstance(unit, tuple | list) else 0
