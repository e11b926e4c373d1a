"""How good a version is: data sets, what is asked of a running model, and the figures that come of its answers."""
