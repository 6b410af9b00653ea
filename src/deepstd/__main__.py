"""``python -m deepstd`` is the command ``deepstd``."""

import sys

from deepstd.cli.app import main

sys.exit(main())
