#!/bin/sh
# Pins the dependencies of pyproject.toml with hashes, for every platform, naming no index: lock.sh UV [--upgrade]
set -eu

uv=$1
shift

pin() {
  "$uv" pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header \
    --no-annotate "$@"
}

"$uv" --version
# The backend's bound stands in [build-system] of pyproject.toml, which pip compile does not read.
sed -n 's/^requires = \["\(.*\)"\]$/\1/p' pyproject.toml | pin "$@" - -o requirements/build.txt
pin "$@" pyproject.toml --extra native -o requirements/runtime.txt
# The whole service with the client of every engine: what the container image holds.
pin "$@" pyproject.toml --extra native --extra mysql --extra redis --extra rocketmq --extra mongo --extra nacos --extra otel \
  -c requirements/runtime.txt -o requirements/engines.txt
pin "$@" --group dev -c requirements/engines.txt -c requirements/build.txt -o requirements/dev.txt
