"""Kibana's objects: described once (`describe`, `marketing`, `operations`), written as `soundings.ndjson`."""
