#!/bin/sh
# Makes sure that promtool stands on the machine: it checks and tests the alert rules. Prometheus itself is not installed,
# so that nothing starts to listen.
set -eu
if command -v promtool >/dev/null 2>&1; then exit 0; fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
  # apt fetches as a user of its own, who must be able to write here.
  chmod 777 "$folder"
  apt-get update -qq
  (cd "$folder" && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb files)
  install -m 755 "$folder/files/usr/bin/promtool" /usr/local/bin/promtool
else
  echo "The tests of the alert rules need promtool, which was not found." >&2
  echo "Install it (Debian: package prometheus) and run the command again." >&2
  exit 2
fi
