#!/bin/sh
# Writes .env.example to standard output with a random value for whatever is empty.
set -eu
example=$(dirname "$0")/../.env.example
# Letters and digits alone: no program takes one for an option, a variable or a separator.
random() { head -c "$1" /dev/urandom | base64 | tr -d '\n=' | tr '+/' 'ab'; }

umask 077
while IFS= read -r line || [ -n "$line" ]; do
  case $line in
  KAFKA_CLUSTER_ID=) echo "$line$(random 16)" ;;
  [A-Z]*=) echo "$line$(random 30)" ;;
  *) printf '%s\n' "$line" ;;
  esac
done <"$example"
