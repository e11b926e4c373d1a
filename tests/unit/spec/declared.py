"""What the tests of reading look at."""

from typing import Any

from suanli.spec import Declarations


def workload(declarations: Declarations) -> Any:
    """The only one that is declared."""
    (only,) = declarations.workloads
    return only
