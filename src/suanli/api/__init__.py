"""The HTTP API: thin routes over what `control` offers, behind one guard that denies by default."""
