"""The program of a pool worker: `core.process.pool` starts it with a socket and shared memory.

    python -m core.process.pool_main SOCKET MEMORY

The program is separate from `core.process.pool_worker`, because pickled objects refer to that
module by its name. A module that Python runs as a program has the name `__main__` instead.
"""

import sys

from core.process.pool_worker import run_pool_worker

if __name__ == "__main__":
    run_pool_worker(int(sys.argv[1]), int(sys.argv[2]))
