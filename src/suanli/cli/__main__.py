"""`python -m suanli.cli`: how `suanli up --detach` starts its own background process."""

from suanli.cli.main import app

app()
