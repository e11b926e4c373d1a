"""Carries plans out. `ray` is the default; what is not about Ray (processes, limits, logs) lies beside it."""
