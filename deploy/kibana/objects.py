"""From a description to Kibana 9.2's saved objects, one JSON document a line.

Every object names the oldest type version that its shape is right for: Kibana lifts older ones by its own migrations
and refuses newer ones. References must all resolve: Kibana imports a dangling one silently and shows a broken panel.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from deploy.kibana.describe import Answers, Board, Bucketing, Mark, Metric, Over, Panel, Search, Shape, View

Object = dict[str, Any]

TAG: Final = "soundings-tag"
_CORE_VERSION: Final = "8.8.0"
_TYPE_VERSIONS: Final = {
    "tag": "8.0.0",
    "index-pattern": "8.0.0",
    "search": "10.5.0",
    "lens": "8.9.0",
    "dashboard": "10.2.0",
}
_LAYER: Final = "layer"
# Lens's name for the view of an annotation layer, without the layer's.
_MARKED: Final = "xy-visualization-layer-"
# A dark red that is neither a brand's nor a feeling's.
_MARK_COLOUR: Final = "#8A1F11"
_VIEW_OF_SEARCH: Final = "kibanaSavedObjectMeta.searchSourceJSON.index"
_DRAWN_AS: Final[dict[Shape, str]] = {
    "number": "lnsMetric",
    "line": "lnsXY",
    "bar_stacked": "lnsXY",
    "bar_horizontal": "lnsXY",
    "donut": "lnsPie",
    "table": "lnsDatatable",
    "cloud": "lnsTagcloud",
}


def ndjson(boards: Iterable[Board], searches: Iterable[Search] = ()) -> str:
    """Give everything that the boards need, and more saved searches, as Kibana imports it."""
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in saved_objects(boards, searches))


def saved_objects(boards: Iterable[Board], searches: Iterable[Search] = ()) -> Iterator[Object]:
    """Give each object once: tag, data views, saved searches, panels, dashboards."""
    boards, more = tuple(boards), tuple(searches)
    views = {view.object_id: view for board in boards for view in board.views()}
    views |= {search.view.object_id: search.view for search in more}
    every_search = {one.object_id: one for board in boards for one in board.searches()}
    every_search |= {search.object_id: search for search in more}
    panels = {one.object_id: one for board in boards for one in board.panels()}
    yield _object("tag", TAG, {"name": "soundings", "description": "Shipped with Soundings", "color": "#0B64DD"}, ())
    yield from map(_view, views.values())
    yield from map(_search, every_search.values())
    yield from map(_lens, panels.values())
    yield from map(_board, boards)


def _object(kind: str, object_id: str, attributes: Object, references: Iterable[Object]) -> Object:
    tag = () if kind in ("tag", "index-pattern") else (_reference("tag", TAG, f"tag-ref-{TAG}"),)
    return {
        "id": object_id,
        "type": kind,
        "attributes": attributes,
        "references": [*references, *tag],
        # Read-only in Kibana: a marketer works on a copy, and the next import overwrites nothing of theirs.
        "managed": True,
        "coreMigrationVersion": _CORE_VERSION,
        "typeMigrationVersion": _TYPE_VERSIONS[kind],
    }


def _reference(kind: str, object_id: str, name: str) -> Object:
    return {"type": kind, "id": object_id, "name": name}


def _query(kql: str) -> Object:
    return {"query": kql, "language": "kuery"}


def _view(view: View) -> Object:
    formats = {field: {"id": "url", "params": {"labelTemplate": "open"}} for field in view.links}
    attributes = {
        "title": view.index,
        "name": view.name,
        "timeFieldName": view.time,
        "fields": "[]",
        "fieldAttrs": "{}",
        "fieldFormatMap": json.dumps(formats),
        "runtimeFieldMap": "{}",
        "sourceFilters": json.dumps([{"value": field} for field in view.hidden]),
        "allowHidden": False,
    }
    return _object("index-pattern", view.object_id, attributes, ())


def _search(search: Search) -> Object:
    source = {"query": _query(search.where), "filter": [], "indexRefName": _VIEW_OF_SEARCH}
    attributes = {
        "title": search.title,
        "description": search.description,
        "columns": list(search.columns),
        "sort": [[search.view.time, "desc"]],
        "grid": {},
        "hideChart": False,
        "isTextBasedQuery": False,
        "timeRestore": False,
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps(source)},
    }
    view = _reference("index-pattern", search.view.object_id, _VIEW_OF_SEARCH)
    return _object("search", search.object_id, attributes, (view,))


# --- panels


def _lens(panel: Panel) -> Object:
    columns = {bucket.key: _bucket_column(bucket, panel) for bucket in panel.buckets}
    columns |= {metric.key: _metric_column(metric) for metric in panel.metrics}
    layer = {
        # Buckets first: their order is the order in which they nest.
        "columnOrder": list(columns),
        "columns": columns,
        "incompleteColumns": {},
        "sampling": 1,
        "ignoreGlobalFilters": False,
    }
    attributes = {
        "title": panel.title,
        "description": panel.description,
        "visualizationType": _DRAWN_AS[panel.shape],
        "state": {
            "visualization": _visualization(panel),
            "query": _query(panel.where),
            "filters": [],
            "datasourceStates": {"formBased": {"layers": {_LAYER: layer}}},
            "internalReferences": [],
            "adHocDataViews": {},
        },
    }
    view = _reference("index-pattern", panel.view.object_id, f"indexpattern-datasource-layer-{_LAYER}")
    marked = (_reference("index-pattern", one.view.object_id, f"{_MARKED}{one.key}") for one in panel.marks)
    return _object("lens", panel.object_id, attributes, (view, *marked))


def _bucket_column(bucket: Bucketing, panel: Panel) -> Object:
    column: Object = {"label": bucket.label, "customLabel": True, "isBucketed": True}
    if isinstance(bucket, Over):
        params: Object = {"interval": "auto", "includeEmptyRows": True, "dropPartials": False}
        return column | {
            "dataType": "date",
            "operationType": "date_histogram",
            "sourceField": bucket.field,
            "scale": "interval",
            "params": params,
        }
    column |= {"scale": "ordinal"}
    if isinstance(bucket, Answers):
        filters = [{"label": label, "input": _query(kql)} for label, kql in bucket.questions]
        return column | {"dataType": "string", "operationType": "filters", "params": {"filters": filters}}
    most = {"type": "column", "columnId": panel.metrics[0].key}
    params = {
        "size": bucket.size,
        "orderBy": {"type": "alphabetical", "fallback": False} if bucket.by_name else most,
        "orderDirection": "asc" if bucket.by_name else "desc",
        "otherBucket": False,
        "missingBucket": False,
        "parentFormat": {"id": "terms"},
    }
    return column | {
        "dataType": bucket.kind,
        "operationType": "terms",
        "sourceField": bucket.field,
        "params": params,
    }


def _metric_column(metric: Metric) -> Object:
    params: Object = {"emptyAsNull": True} if metric.calculation in ("count", "unique_count", "sum") else {}
    if metric.decimals is not None:
        params["format"] = {"id": "number", "params": {"decimals": metric.decimals}}
    column: Object = {
        "label": metric.label,
        "customLabel": True,
        "dataType": metric.kind,
        "operationType": metric.calculation,
        "sourceField": metric.field,
        "isBucketed": False,
        "scale": "ratio",
        "params": params,
    }
    return column | {"filter": _query(metric.where)} if metric.where else column


def _visualization(panel: Panel) -> Object:
    bucket_keys = [bucket.key for bucket in panel.buckets]
    metric_keys = [metric.key for metric in panel.metrics]
    layer: Object = {"layerId": _LAYER, "layerType": "data"}
    if panel.shape == "number":
        return layer | {"metricAccessor": metric_keys[0]}
    if panel.shape == "table":
        return layer | {
            "columns": [{"columnId": key} for key in (*bucket_keys, *metric_keys)],
            "sorting": {"columnId": metric_keys[0], "direction": "desc"},
            "paging": {"size": 10, "enabled": True},
        }
    if panel.shape == "cloud":
        return layer | {
            "tagAccessor": bucket_keys[0],
            "valueAccessor": metric_keys[0],
            "minFontSize": 14,
            "maxFontSize": 56,
            "orientation": "single",
            "showLabel": False,
        }
    if panel.shape == "donut":
        shown = {"numberDisplay": "percent", "categoryDisplay": "default", "legendDisplay": "default"}
        groups = {"primaryGroups": bucket_keys, "metrics": metric_keys, "nestedLegend": False}
        return {"shape": "donut", "layers": [layer | groups | shown]}
    return _axes(panel, layer, metric_keys)


def _axes(panel: Panel, layer: Object, metric_keys: list[str]) -> Object:
    along = next((bucket.key for bucket in panel.buckets if isinstance(bucket, Over)), panel.buckets[0].key)
    by_colour = [bucket.key for bucket in panel.buckets if bucket.key != along]
    layer |= {"seriesType": panel.shape, "accessors": metric_keys, "xAccessor": along}
    if by_colour:
        layer["splitAccessor"] = by_colour[0]
    several = bool(by_colour) or len(metric_keys) > 1
    shown = {"x": True, "yLeft": True, "yRight": True}
    return {
        "preferredSeriesType": panel.shape,
        "legend": {"isVisible": several, "position": "right"},
        "valueLabels": "hide",
        "fittingFunction": "None",
        "axisTitlesVisibilitySettings": shown,
        "tickLabelsVisibilitySettings": shown,
        "gridlinesVisibilitySettings": shown,
        "layers": [layer, *map(_marks, panel.marks)],
    }


def _marks(mark: Mark) -> Object:
    """Give an annotation layer of its own; which view it reads is in the references."""
    drawn: Object = {
        "id": f"{mark.key}-mark",
        "type": "query",
        "label": mark.label,
        "key": {"type": "point_in_time"},
        "timeField": mark.view.time,
        "filter": {"type": "kibana_query", **_query(mark.where)},
        "textVisibility": True,
        "textField": mark.text,
        "extraFields": list(mark.more),
        "icon": "bell",
        "color": _MARK_COLOUR,
        "lineWidth": 1,
        "lineStyle": "dashed",
    }
    return {
        "layerId": mark.key,
        "layerType": "annotations",
        "persistanceType": "byValue",
        # Who chose a brand sees the marks of that brand alone.
        "ignoreGlobalFilters": False,
        "annotations": [drawn],
    }


# --- dashboards


def _board(board: Board) -> Object:
    panels, references = [], []
    for number, place in enumerate(board.placed, start=1):
        index = f"p{number}"
        kind = "lens" if isinstance(place.shown, Panel) else "search"
        panels.append(
            {
                "type": kind,
                "panelIndex": index,
                "gridData": {"x": place.x, "y": place.y, "w": place.width, "h": place.height, "i": index},
                "embeddableConfig": {"enhancements": {}},
                "panelRefName": f"panel_{index}",
            }
        )
        references.append(_reference(kind, place.shown.object_id, f"{index}:panel_{index}"))
    references += [
        _reference("index-pattern", control.view.object_id, f"controlGroup_{control.control_id}:optionsListDataView")
        for control in board.controls
    ]
    attributes = {
        "title": board.title,
        "description": board.description,
        "timeRestore": True,
        "timeFrom": board.span,
        "timeTo": "now",
        "refreshInterval": {"pause": board.refresh_seconds == 0, "value": 1000 * (board.refresh_seconds or 60)},
        "kibanaSavedObjectMeta": {"searchSourceJSON": json.dumps({"query": _query(""), "filter": []})},
        "optionsJSON": json.dumps(
            {
                "useMargins": True,
                # A brand has the same colour in every panel.
                "syncColors": True,
                "syncCursor": True,
                "syncTooltips": False,
                "hidePanelTitles": False,
            }
        ),
        "controlGroupInput": _controls(board),
        "panelsJSON": json.dumps(panels),
    }
    return _object("dashboard", board.object_id, attributes, references)


def _controls(board: Board) -> Object:
    controls = {
        control.control_id: {
            "order": order,
            "width": "medium",
            "grow": True,
            "type": "optionsListControl",
            "explicitInput": {
                "id": control.control_id,
                "fieldName": control.field,
                "title": control.title,
                "searchTechnique": "prefix",
                "selectedOptions": [],
                "sort": {"by": "_count", "direction": "desc"},
                "enhancements": {},
            },
        }
        for order, control in enumerate(board.controls)
    }
    ignored = {f"ignore{what}": False for what in ("Filters", "Query", "Timerange", "Validations")}
    return {
        "controlStyle": "oneLine",
        "chainingSystem": "HIERARCHICAL",
        "showApplySelections": False,
        "ignoreParentSettingsJSON": json.dumps(ignored),
        "panelsJSON": json.dumps(controls),
    }
