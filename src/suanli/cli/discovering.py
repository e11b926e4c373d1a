"""`nodes --discover`: what this machine has, as a table for people and as a fleet file for `-f`."""

from typing import TYPE_CHECKING, Any

from suanli.cli.render import Table, clean
from suanli.cli.session import Session
from suanli.reports.quantities import bandwidth, memory

if TYPE_CHECKING:
    from suanli.telemetry.discover import Report


def show_machine(session: Session) -> None:
    """`-o yaml` is a fleet of one node, ready for `suanli apply -f`."""
    import platform

    from suanli.catalog.accelerators import load
    from suanli.telemetry.discover import discover_report

    catalog = load()

    def known(reported: str) -> str:
        entry = catalog.lookup(reported)
        return entry.name if entry else reported

    report = discover_report(known)
    session.show(_fleet(report, platform.node().partition(".")[0] or "local"), lambda: _table(report))


def _table(report: "Report") -> Table:
    cpus = f"{report.cpus:g} usable of {report.machine_cpus}"
    rows = [
        ["cpus", cpus, ""],
        ["memory", f"{memory(report.memory_bytes)} usable of {memory(report.machine_memory_bytes)}", ""],
        ["free disk", memory(report.disk_free_bytes), report.folder],
    ]
    for disk in report.disks:
        kind = "spins" if disk.spins else "solid state"
        here = "; holds the folder above" if disk.holds_folder else ""
        rows.append(["disk", memory(disk.capacity_bytes), clean(f"{disk.name} {disk.model}, {kind}{here}")])
    for interface in report.interfaces:
        speed = bandwidth(interface.speed_bps) if interface.speed_bps else "unknown speed"
        rows.append(["network", speed, f"{interface.name}, packets of up to {interface.mtu_bytes} bytes"])
    rows += [
        ["accelerator", memory(device.memory_bytes), f"{device.index}: {device.model} ({device.reported})"]
        for device in report.accelerators
    ]
    if not report.accelerators:
        rows.append(["accelerator", "none", "NVML reports none"])
    return Table(["WHAT", "HOW MUCH", "WHICH"], rows)


def _fleet(report: "Report", name: str) -> dict[str, Any]:
    models = [device.model for device in report.accelerators]
    node: dict[str, Any] = {"name": name, "cpus": report.cpus, "memory": _size(report.memory_bytes)}
    if models:
        node["accelerators"] = {model: models.count(model) for model in dict.fromkeys(models)}
    node["disk"] = _size(report.disk_free_bytes)
    if report.disks:
        node["storage"] = [
            {"name": disk.name, "capacity": _size(disk.capacity_bytes), "spins": disk.spins}
            for disk in report.disks
        ]
    fastest_bps = max((interface.speed_bps for interface in report.interfaces), default=0.0)
    if fastest_bps:
        node["network"] = bandwidth(fastest_bps)
    return {"kind": "fleet", "name": "this-machine", "nodes": [node]}


def _size(bytes_: int) -> str:
    """Whole MiB: exact enough, and never more than there is."""
    return f"{bytes_ // 2**20}MiB"
