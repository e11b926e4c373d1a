"""The imperative shell: the lease, the loop, and the one place that wires adapters together."""
