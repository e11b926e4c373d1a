"""Scalar loops, interpreted on small fleets and compiled on large ones. The same functions either way.

A loop that is to be compiled is a plain function over arrays and numbers, in a module that holds nothing but such
functions; those that it calls are in the same module, since a change elsewhere would not be noticed by the compiler's
cache on disk.
"""

import functools
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

COMPILED_FROM = 64
"""Nodes from which it is worth the half second that loading the compiler takes."""


def loop(module: ModuleType, name: str, nodes: int) -> Callable[..., Any]:
    """A function of a module of loops, for a fleet of that size."""
    return _compiled(module)[name] if nodes >= COMPILED_FROM else vars(module)[name]


@functools.cache
def _compiled(module: ModuleType) -> dict[str, Any]:
    """Twins of all functions of a module, which call each other's compiled form."""
    from numba import njit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    scope: dict[str, Any] = dict(vars(module))
    loops = [name for name, value in scope.items() if isinstance(value, FunctionType)]
    for name in loops:
        plain = vars(module)[name]
        twin = FunctionType(plain.__code__, scope, name)
        twin.__module__, twin.__qualname__ = plain.__module__, name
        scope[name] = njit(cache=True)(twin)
    return scope
