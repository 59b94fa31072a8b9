#!/bin/sh
# Makes sure that a Go of 1.24 or newer stands on the machine: compose files are checked with Docker Compose's own loader.
set -eu
enough() {
  command -v go >/dev/null 2>&1 || PATH=$PATH:/usr/local/go/bin
  version=$(go env GOVERSION 2>/dev/null | sed 's/^go//') || return 1
  [ -n "$version" ] && [ "$(printf '1.24\n%s\n' "$version" | sort -V | head -n 1)" = 1.24 ]
}

if ! enough && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends golang-go >/dev/null
fi
enough || {
  echo "Compose files are checked with Go 1.24 or newer: none was found. Install it and put it on PATH." >&2
  exit 2
}
