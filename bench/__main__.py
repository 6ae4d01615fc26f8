"""`python -m bench NAME [options]`: prints a table. Costs are CPU time and ratios, never a pass or a fail."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path


def names() -> list[str]:
    folder = Path(__file__).parent
    return sorted(m.name for m in pkgutil.iter_modules([str(folder)]) if not m.name.startswith("_"))


def main() -> int:
    if len(sys.argv) < 2 or sys.argv[1] not in names():
        print(f"usage: python -m bench {{{','.join(names())}}} [options]", file=sys.stderr)
        return 2
    module = importlib.import_module(f"bench.{sys.argv[1]}")
    parser = argparse.ArgumentParser(prog=f"python -m bench {sys.argv[1]}", description=module.__doc__)
    if hasattr(module, "add_arguments"):
        module.add_arguments(parser)
    module.run(parser.parse_args(sys.argv[2:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
