"""The measures of an evaluation are those of the literature, and its report shows text without running it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix

from enrich.engine import POINTS
from enrich.evaluation import MEASURES, document, evaluate
from enrich.own_data import OwnData, OwnRow, Scale
from enrich.quality import mae_macro
from enrich.tiny_engine import TinyEngine
from service.evaluation_page import evaluation_page

HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)> "quoted" \u202eturned\x1b[31m awful'
ALIKE = (1.0,) * len(POINTS)


def data_of(rows: list[tuple[str, int, str]], scale: Scale) -> OwnData:
    own = tuple(OwnRow(line, str(line), *row) for line, row in enumerate(rows, start=2))
    return OwnData(own, (), scale, True)


POSTS = [("lovely Acme", 1, ""), ("awful Acme", -1, ""), ("Acme opens", 0, ""), ("sad", 1, ""), ("great", 0, "")] * 9
BRANDS = [
    ("lovely Acme", 2, "Acme"),
    ("awful Acme", -2, "Acme"),
    ("Acme opens", 0, "Acme"),
    ("great Globex", -1, "Globex"),
    ("nobody is named here", 1, "Globex"),
]


def test_measures_of_posts_agree_with_scikit_learn() -> None:
    data = data_of(POSTS, "classes")
    found = evaluate(TinyEngine(), data, "post", ALIKE)
    gold = [row.label + 1 for row in data.rows]
    labels = TinyEngine().predict([row.passage() for row in data.rows]).probs.argmax(axis=1)
    assert found.measures["macro_recall"] == pytest.approx(balanced_accuracy_score(gold, labels))
    assert found.measures["accuracy"] == pytest.approx(accuracy_score(gold, labels))
    assert np.array(found.confusion).tolist() == confusion_matrix(gold, labels, labels=[0, 1, 2]).tolist()
    assert found.counts == {"negative": 9, "neutral": 18, "positive": 18}
    for name in MEASURES:
        low, high = found.ci95[name]
        assert low <= found.measures[name] <= high or name == "ece"
    assert found.confusion_points is None


def test_points_are_measured_brand_by_brand() -> None:
    """Of Acme -2, 0, 2 the word list says -1, 0, 1; of Globex -1 and 1 it says 1 and 0."""
    found = evaluate(TinyEngine(), data_of(BRANDS, "points"), "brand", ALIKE)
    assert found.measures["mae_macro"] == pytest.approx((2 / 3 + 1.5) / 2)
    assert found.confusion_points is not None
    assert sum(map(sum, found.confusion_points)) == found.n == 5
    assert found.unnamed == 1
    assert list(found.brands) == ["Acme", "Globex"]
    assert found.brands["Acme"].label_mean == 0
    assert found.brands["Acme"].macro_recall == 1
    assert found.brands["Globex"].macro_recall == 0
    assert found.mistakes[0].row.text == "great Globex"


def test_the_error_in_points_is_averaged_over_classes_then_topics() -> None:
    rng = np.random.default_rng(3)
    gold, said, topics = rng.integers(0, 5, 200), rng.integers(0, 5, 200), rng.integers(0, 7, 200)
    by_topic = []
    for topic in range(7):
        here = topics == topic
        by_class = [np.abs(gold - said)[here & (gold == label)].mean() for label in np.unique(gold[here])]
        by_topic.append(np.mean(by_class))
    assert mae_macro(gold, said, topics) == pytest.approx(np.mean(by_topic))


def test_the_document_is_json_without_any_text_of_a_row() -> None:
    data = data_of([(HOSTILE, 1, "Acme"), *BRANDS], "points")
    told = json.dumps(document(evaluate(TinyEngine(), data, "brand", ALIKE), data, "tiny"))
    assert {*MEASURES, "ci95", "n", "confusion", "reliability"} <= set(json.loads(told))
    assert "script" not in told


def test_the_report_shows_hostile_text_and_runs_none_of_it() -> None:
    hostile_brand = '"><script>x</script>'
    data = data_of([(HOSTILE, 1, hostile_brand), *BRANDS], "points")
    page = evaluation_page(evaluate(TinyEngine(), data, "brand", ALIKE), data, file="<b>.csv", engine="<i>tiny")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert not any(sign in page for sign in ("\x1b", "\u202e"))
    assert page.count("<svg") == 3
    # Self-contained: nothing names another place, and the page's own policy lets nothing load.
    assert not re.search(r"(?:src|href|url)\s*[=(]\s*[\"']?(?:https?:|//)", page.replace("&quot;", ""))
    assert "default-src 'none'" in page


def test_the_report_is_well_formed(tmp_path: Path) -> None:
    from xml.etree import ElementTree

    data = data_of(POSTS, "classes")
    page = evaluation_page(evaluate(TinyEngine(), data, "post", ALIKE), data, file="a.csv", engine="tiny")
    for drawing in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(drawing)
