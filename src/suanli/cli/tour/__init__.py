"""`suanli tour`: the quickstart's workloads on this machine, from nothing to a served model, told as it happens."""
