"""The program of a pool worker: `core.process.pool` starts it with a socket and shared memory.

    python -m core.process.pool_main SOCKET MEMORY

Not part of `core.process.pool_worker`: pickled objects name that module.
"""

import sys

from core.process.pool_worker import help_with

if __name__ == "__main__":
    help_with(int(sys.argv[1]), int(sys.argv[2]))
