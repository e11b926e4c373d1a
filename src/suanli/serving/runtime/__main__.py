"""`python -m suanli.serving.runtime`."""

import sys

from suanli.serving.runtime.start import main

if __name__ == "__main__":
    sys.exit(main())
