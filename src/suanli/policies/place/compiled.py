"""The loops of `rating`, compiled. Imported only where a fleet is large enough to be worth the half second it takes."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba import njit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

from suanli.policies.place import rating


def _compiled(names: list[str]) -> dict[str, Callable[..., Any]]:
    """Twins of these functions that call each other's compiled form instead of the interpreted one."""
    scope: dict[str, Any] = dict(vars(rating))
    for name in names:
        loop = vars(rating)[name]
        twin = FunctionType(loop.__code__, scope, name)
        twin.__module__, twin.__qualname__ = loop.__module__, name
        scope[name] = njit(cache=True)(twin)
    return {name: scope[name] for name in names}


LOOPS = _compiled([name for name, value in vars(rating).items() if isinstance(value, FunctionType)])
choose: Callable[..., int] = LOOPS["choose"]
