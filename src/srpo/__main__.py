"""`python -m srpo` is the `srpo` command."""

import sys

from srpo.cli.main import main

sys.exit(main())
