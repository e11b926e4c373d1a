"""SI numbers as people write them."""

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def memory(bytes_: float) -> str:
    """`8GiB`: the largest binary unit that leaves at least 1."""
    value, unit = float(bytes_), 0
    while value >= 1024 and unit < len(_BINARY) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.3g}{_BINARY[unit]}" if value < 1000 else f"{value:.0f}{_BINARY[unit]}"


def bandwidth(bits_per_s: float) -> str:
    """`25Gbps`."""
    for unit, size in (("Tbps", 1e12), ("Gbps", 1e9), ("Mbps", 1e6), ("kbps", 1e3)):
        if bits_per_s >= size:
            return f"{bits_per_s / size:.3g}{unit}"
    return f"{bits_per_s:.0f}bps"


def duration(seconds: float) -> str:
    """`3s`, `4m05s`, `2h10m`, `3d4h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def amount(resource: str, quantity: float) -> str:
    """A quantity of a resource by its name: `4 cpus`, `8GiB of memory`, `2 H100`."""
    if resource == "memory_bytes":
        return f"{memory(quantity)} of memory"
    if resource == "disk_bytes":
        return f"{memory(quantity)} of disk"
    if resource == "network_bps":
        return f"{bandwidth(quantity)} of network"
    if resource == "cpus":
        return f"{quantity:g} cpu{'' if quantity == 1 else 's'}"
    return f"{quantity:g} {resource}"
