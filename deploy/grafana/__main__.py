"""`python -m deploy.grafana` writes dashboards/soundings.json from the description."""

from __future__ import annotations

from deploy.grafana.dashboard import DASHBOARD, written

if __name__ == "__main__":
    DASHBOARD.write_text(written(), encoding="utf-8")
