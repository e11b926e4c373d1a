"""`doctor`: whether this machine and this home are fit for Suanli, and what to do where not. Changes nothing."""

from dataclasses import asdict

import typer

from suanli.cli.checks import CHECKS, FAIL
from suanli.cli.render import Table
from suanli.cli.session import Session, command


@command
def doctor(session: Session) -> None:
    """Check whether this machine is fit for Suanli.

    Looks at versions, disk, memory, ports, rights, accelerators and the database; ends with 1 if something fails.
    """
    findings = [finding for check in CHECKS for finding in check(session.home)]
    rows = [[f.level, f.check, f.seen + (f" → {f.remedy}" if f.remedy else "")] for f in findings]
    data = {"checks": [asdict(finding) for finding in findings]}
    session.show(data, lambda: Table(["", "CHECK", "FOUND"], rows))
    if any(finding.level == FAIL for finding in findings):
        raise typer.Exit(1)
