"""What the tests of reading look at."""

from suanli.domain.workload import Workload
from suanli.spec import Declarations


def workload(declarations: Declarations) -> Workload:
    """The only one that is declared."""
    (only,) = declarations.workloads
    return only
