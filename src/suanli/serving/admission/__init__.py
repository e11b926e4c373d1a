"""Who may use a gateway, how much, and what it used: keys, limits, budgets and metering over all its workers.

A worker admits by slices that it leases (`worker`, `slices`); one ledger for each gateway, in its supervisor, grants
them (`server`, `ledger`), by windows for limits by time and by durable books for money.
"""
