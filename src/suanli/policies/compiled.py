"""Scalar loops, interpreted on small fleets and compiled on large ones. The same functions either way.

A loop that is to be compiled is a plain function over arrays and numbers, in a module that holds nothing but such
functions, and imports none but such.
"""

import functools
import sys
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any
from zlib import crc32

COMPILED_FROM = 64
"""Nodes from which it is worth the half second that loading the compiler takes."""


_from = [COMPILED_FROM]


def always() -> None:
    """Compile for small fleets too from now on: whoever decides ten thousand times can wait for the compiler once."""
    _from[0] = 0


def loop(module: ModuleType, name: str, nodes: int) -> Callable[..., Any]:
    """A function of a module of loops, for a fleet of that size."""
    return _compiled(module)[name] if nodes >= max(_from[0], 1) else vars(module)[name]


@functools.cache
def _compiled(module: ModuleType) -> dict[str, Any]:
    """Twins of all functions of a module, which call each other's compiled form."""
    from numba import njit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

    scope: dict[str, Any] = dict(vars(module))
    loops = {name: value for name, value in scope.items() if isinstance(value, FunctionType)}
    imported = {name: f for name, f in loops.items() if f.__module__ != module.__name__}
    scope.update({name: _compiled(sys.modules[f.__module__])[name] for name, f in imported.items()})
    for name in loops.keys() - imported.keys():
        twin = FunctionType(loops[name].__code__, scope, name)
        twin.__module__ = module.__name__
        twin.__qualname__ = f"{name}_{_fingerprint(f.__module__ for f in imported.values()):x}"
        scope[name] = njit(cache=True)(twin)
    return scope


def _fingerprint(modules: Iterable[str]) -> int:
    """Of these modules with what they import, since the compiler's cache on disk looks at one file only."""
    mark = 0
    for name in sorted(set(modules)):
        for value in vars(sys.modules[name]).values():
            if isinstance(value, FunctionType):
                code = value.__code__
                mark = crc32(code.co_code + repr((code.co_consts, code.co_names)).encode(), mark)
            elif isinstance(value, int | float):
                mark = crc32(repr(value).encode(), mark)
    return mark
