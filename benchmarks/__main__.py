"""Runs the benchmarks: `python -m benchmarks [NAME or prefix]`, or `make bench ONLY=NAME`.

Each module `bench_<area>.py` lists its benchmarks in `NAMES`. Its function `run(only)` runs the
benchmarks that `benchmarks.report.wanted` selects, and prints their figures.
"""

import argparse
import pkgutil
import signal
import sys
from importlib import import_module

import benchmarks
from benchmarks.report import wanted


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("only", nargs="?", help="a benchmark, or a prefix of several names")
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    options = parser.parse_args(arguments)
    # SIGTERM acts as Ctrl-C, so that each benchmark ends the processes that it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    only = options.only or None
    modules = [
        import_module(f"benchmarks.{found.name}")
        for found in pkgutil.iter_modules(benchmarks.__path__)
        if found.name.startswith("bench_")
    ]
    chosen = [(module, wanted(module.NAMES, only)) for module in modules]
    if not any(names for _, names in chosen):
        known = [name for module in modules for name in module.NAMES]
        print(f"no benchmark is called {only!r}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    for module, names in chosen:
        if options.list:
            print("\n".join(names), end="\n" if names else "")
        elif names:
            module.run(only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
