"""The program of a helper process: `core.process.pool` starts it with a socket and a file in memory.

    python -m core.process.pool_main SOCKET MEMORY

Apart from `core.process.pool_worker`, because what is pickled between two processes names that module.
"""

import sys

from core.process.pool_worker import help_with

if __name__ == "__main__":
    help_with(int(sys.argv[1]), int(sys.argv[2]))
