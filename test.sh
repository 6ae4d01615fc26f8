#!/bin/sh
# Sets up (Chromium and ffmpeg too) and runs every check: format, lint, types, tests. Extra arguments go to pytest.
set -eu
cd "$(dirname "$0")"
./setup.sh test
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
.venv/bin/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
# Two at a time: unit tests beside the end-to-end ones (tests/e2e/conftest.py says which stay among themselves).
exec .venv/bin/python -m pytest -n 2 --dist loadgroup "$@"
