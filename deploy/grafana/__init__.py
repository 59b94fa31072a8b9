"""Grafana's dashboard, generated from one description over the metric table."""
