"""``python -m experiments.cli``: the command line without an installation."""

import sys

from experiments.cli.main import main

sys.exit(main())
