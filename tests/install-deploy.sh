#!/bin/sh
# Makes sure that what the tests of deploy/ need stands on the machine: Go 1.24 or newer, by which compose files are read as
# Docker Compose reads them, and openssl, which makes certificates.
set -eu

go_is_here() {
  command -v go >/dev/null 2>&1 || PATH=$PATH:/usr/local/go/bin
  version=$(go env GOVERSION 2>/dev/null | sed 's/^go//') || return 1
  [ -n "$version" ] && [ "$(printf '1.24\n%s\n' "$version" | sort -V | head -n 1)" = 1.24 ]
}

missing=
go_is_here || missing="$missing golang-go"
command -v openssl >/dev/null 2>&1 || missing="$missing openssl"
if [ -n "$missing" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get update -qq
  # shellcheck disable=SC2086  # one word a package
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing >/dev/null
fi
go_is_here || {
  echo "Compose files are checked with Go 1.24 or newer: none was found. Install it and put it on PATH." >&2
  exit 2
}
command -v openssl >/dev/null 2>&1 || {
  echo "Certificates are made by openssl: none was found. Install it (Debian: apt-get install openssl)." >&2
  exit 2
}
