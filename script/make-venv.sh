#!/bin/sh
# Makes .venv with the first Python on this machine that can, or says in one line what is missing.
# PYTHON=/path/to/python makes it take that one.
set -eu

here=$(pwd -P)

fits() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# A folder that was copied or moved, or whose Python is gone, is made anew: the paths inside it are absolute.
if fits .venv/bin/python && [ "$(cat .venv/.made-for 2>/dev/null || true)" = "$here" ]; then
  exit 0
fi

fitting=
chosen=
for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3 python3.14 python3.15 python}; do
  fits "$candidate" || continue
  : "${fitting:=$candidate}"
  if can_make_venv "$candidate"; then
    chosen=$candidate
    break
  fi
done

if [ -z "$fitting" ]; then
  {
    echo "No Python 3.11 or newer was found${PYTHON:+ at $PYTHON}. Install one, then say make again:"
    echo "  Debian, Ubuntu:  sudo apt-get install python3 python3-venv   (Debian 12, Ubuntu 24.04 or later)"
    echo "  macOS:           brew install python@3.13                    (or the installer of python.org)"
    echo "Or name one that is not on the PATH:  make PYTHON=/path/to/python3.12 ..."
  } >&2
  exit 1
fi

if [ -z "$chosen" ]; then
  version=$("$fitting" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  {
    echo "$fitting ($version) has no working venv module. Install the package it comes in, then say make again:"
    echo "  Debian, Ubuntu:  sudo apt-get install python$version-venv"
  } >&2
  exit 1
fi

echo "making .venv with $("$chosen" --version)"
"$chosen" -m venv --clear .venv
printf '%s\n' "$here" >.venv/.made-for
