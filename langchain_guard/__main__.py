"""``python -m langchain_guard``; see `langchain_guard.cli`."""

import sys

from langchain_guard.cli import main

if __name__ == "__main__":
    sys.exit(main())
