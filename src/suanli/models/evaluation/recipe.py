"""A model is made anew for each fold by a program of the user, which never sees the samples it is judged by."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from suanli.domain.errors import Conflict, UsageError
from suanli.models.evaluation.datasets import DataSet, write
from suanli.models.evaluation.replica import end
from suanli.models.evaluation.splits import Fold

END_S = 20.0


def trained(argv: Sequence[str], data: DataSet, fold: Fold, folder: Path) -> Path:
    """The folder of the model that `argv` left for this fold, below `folder`, which must be empty.

    It finds the samples in SUANLI_TRAIN_FILE and SUANLI_TEST_FILE, in the data set's own format, and leaves the model
    in SUANLI_OUTPUT_DIR. What it writes goes to stderr. Raises UsageError, Conflict where it fails or leaves nothing.
    """
    train, test, output = folder / f"train{data.suffix}", folder / f"test{data.suffix}", folder / "model"
    write(train, data.part(fold.train))
    write(test, data.part(fold.test))
    output.mkdir()
    places = {"SUANLI_TRAIN_FILE": train, "SUANLI_TEST_FILE": test, "SUANLI_OUTPUT_DIR": output}
    environment = {**os.environ, **{name: str(path) for name, path in places.items()}}
    try:
        process = subprocess.Popen(list(argv), env=environment, stdin=subprocess.DEVNULL, stdout=2)
    except OSError as error:
        raise UsageError(f"The recipe cannot be run: {argv[0]}: {error.strerror}.") from error
    try:
        code = process.wait()
    finally:
        end(process, END_S)
    if code != 0 or not any(output.iterdir()):
        sentence = (
            f"The recipe ended with {code}." if code else "The recipe left nothing in SUANLI_OUTPUT_DIR."
        )
        raise Conflict(
            sentence,
            remedy="Its own words are above. It must end with 0 and leave a model's files in $SUANLI_OUTPUT_DIR.",
            code="SL-EVALUATE-RECIPE",
        )
    return output
