#!/bin/sh
# Makes sure that a Chromium and fonts for every script stand on the machine; the browser tests drive it by its path.
set -eu
for name in chromium chromium-browser google-chrome; do
  if command -v "$name" >/dev/null 2>&1; then exit 0; fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -qq -y --no-install-recommends chromium fonts-dejavu-core fonts-noto-cjk fonts-noto-color-emoji >/dev/null
else
  echo "The browser tests need Chromium: none of chromium, chromium-browser, google-chrome was found." >&2
  echo "Install it (Debian: apt-get install chromium) and run the command again." >&2
  exit 2
fi
