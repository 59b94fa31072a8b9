"""Evaluating, tagging and training as people do it, from the command line."""

from __future__ import annotations

import json
import re

import pytest
from e2e.command_line import Soundings
from fakes.hugging_face import TORCH_IS_HERE, foreign_model

from enrich.onnx_engine import SHIPPED_MODEL, read_description

POSTS = """text,label
"I love it, what a wonderful crew",positive
"Terrible, they lost my bag",negative
"The gate opens at nine",neutral
"Awful, never again",negative
,neutral
something,happy
"""
BRANDS = """id;text;label;brand
1;Left Acme for Globex, so happy;2;Globex
2;Left Acme for Globex, so happy;-1;Acme
3;=cmd|' /C calc'!A0 <script>alert(1)</script> Acme is terrible;1;Acme
4;Acme opens at nine;0;Acme
5;nobody said whom this is about;0;
"""


def refused(soundings: Soundings, *arguments: str) -> str:
    done = soundings.run(*arguments)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def write(soundings: Soundings, content: str, name: str = "own.csv") -> str:
    (soundings.folder / name).write_text(content, encoding="utf-8")
    return name


def test_posts_are_measured_and_bad_rows_told(soundings: Soundings) -> None:
    done = soundings.run("evaluate", "--data", write(soundings, POSTS), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert {"macro_recall", "accuracy", "f1_pn", "mae_macro", "ece", "ci95", "n"} <= set(told)
    assert (told["n"], told["accuracy"], told["macro_recall"], told["mae_macro"]) == (4, 1, 1, 0)
    assert told["confusion"] == [[2, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert (told["confusion_points"], told["reliability"]) == (None, {})
    assert told["labels"] == {"scale": "classes", "found": {"negative": 2, "neutral": 1, "positive": 1}}
    assert [row["line"] for row in told["bad_rows"]["rows"]] == [6, 7]
    assert "2 of 6 rows cannot be used" in done.stderr
    assert "line 6: has no text" in done.stderr
    shown = soundings.run("evaluate", "--data", "own.csv", "--engine", "exact")
    assert "macro_recall  1.000" in shown.stdout


def test_brands_are_measured_in_points_with_a_report(soundings: Soundings) -> None:
    done = soundings.run("evaluate", "--data", write(soundings, BRANDS), "--json", "--html", "report.html")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["task"], told["n"], told["mae_steps"]) == ("brand", 4, "points")
    assert [len(row) for row in told["confusion_points"]] == [5] * 5
    assert set(told["reliability"]) == {"Acme", "Globex"}
    assert set(told["reliability"]["Acme"]) == {"n", "macro_recall", "expected_mean", "label_mean"}
    assert told["reliability"]["Acme"]["n"] == 3
    page = (soundings.folder / "report.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;" in page
    assert "<script" not in page


def test_a_file_of_which_nothing_can_be_used_is_refused(soundings: Soundings) -> None:
    assert "no row can be used" in refused(soundings, "evaluate", "--data", write(soundings, "text,label\n,neutral\n"))
    assert "expected a header" in refused(soundings, "evaluate", "--data", write(soundings, "good,positive\n"))
    mixed = write(soundings, "text,label\na,positive\nb,1\n")
    assert "names in line 2, points in line 3" in refused(soundings, "evaluate", "--data", mixed)
    told = refused(soundings, "evaluate", "--data", write(soundings, POSTS), "--task", "brand")
    assert "has no column brand" in told
    assert "there is no such file" in refused(soundings, "evaluate", "--data", "nowhere.csv")


def test_one_text_is_tagged_towards_each_brand_with_the_words_that_mattered(soundings: Soundings) -> None:
    text = "Acme was terrible, so @globexhelp made me happy"
    done = soundings.run("tag", text, "--brand", "Acme", "--brand", "Globex", "--handle", "@globexhelp", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["language"], told["reliable"], told["truncated"]) == ("en", True, False)
    acme, globex = told["brands"]
    assert (acme["label"], globex["label"]) == ("negative", "positive")
    assert (acme["named"], globex["named"]) == (True, True)
    for brand in (acme, globex):
        assert -2 <= brand["expected"] <= 2
        assert sum(brand["probs"].values()) == pytest.approx(1, abs=1e-3)
        changes = [abs(word["change"]) for word in brand["words"]]
        assert changes == sorted(changes, reverse=True)
        assert {word["word"] for word in brand["words"]} == {"was", "terrible,", "so", "made", "me", "happy"}
    assert "terrible," in soundings.run("tag", text, "--brand", "Acme").stdout


def test_a_long_text_is_tagged_by_its_first_forty_words(soundings: Soundings) -> None:
    told = json.loads(soundings.run("tag", "good " * 500, "--engine", "tiny", "--json").stdout)
    assert (len(told["words"]), told["words_left_out"], told["truncated"]) == (40, 460, True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["  "], "is empty"),
        (["hello", "--handle", "acme"], "belongs to the --brand before it"),
        (["hello", "--brand", "!!"], "without a letter"),
        (["hello", "--brand", "A1", "--brand", "A1"], "named twice"),
    ],
)
def test_what_cannot_be_tagged_is_refused(soundings: Soundings, arguments: list[str], expected: str) -> None:
    assert expected in refused(soundings, "tag", *arguments, "--engine", "tiny")


def test_check_tells_every_problem_of_an_engine_at_once(soundings: Soundings) -> None:
    plain = soundings.config.read_text(encoding="utf-8")
    folder = soundings.folder / "pickled"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"")
    (folder / "config.json").write_text('{"architectures": ["BertForMaskedLM"]}')
    soundings.config.write_text(f'[engine]\nkind = "transformers"\nmodel = "pickled"\n{plain}')
    told = refused(soundings, "check")
    assert "only pickled weights (pytorch_model.bin)" in told
    assert "made for BertForMaskedLM" in told
    assert TORCH_IS_HERE or 'pip install "soundings[torch]"' in told
    soundings.config.write_text(f'[engine]\nkind = "transformers"\nmodel = "./nowhere"\n{plain}')
    assert "there is no such folder" in refused(soundings, "check")
    soundings.config.write_text(f'[engine]\nfolder = "nowhere"\n[engine.labels]\nA = "good"\n{plain}')
    told = refused(soundings, "check")
    assert "engine.labels.A: found 'good', expected one of negative, neutral, positive" in told
    assert "nowhere/engine.json: cannot be read" in told


@pytest.mark.without_torch
def test_without_the_extra_one_line_says_what_to_install(soundings: Soundings) -> None:
    for arguments in (
        ["train", "--data", write(soundings, POSTS), "--out", "mine"],
        ["evaluate", "--data", "own.csv", "--engine", "transformers"],
    ):
        *_, told = refused(soundings, *arguments).splitlines()
        assert 'pip install "soundings[torch]"' in told


def labelled(per_class: int) -> str:
    said = {"positive": "love it, thank you", "negative": "terrible, never again", "neutral": "opens at nine"}
    rows = [
        f'"Acme {words} {n}",{label},{"Acme" if n % 2 else ""}'
        for label, words in said.items()
        for n in range(per_class)
    ]
    return "\n".join(["text,label,brand", *rows, "no brand here,positive,Acme"]) + "\n"


@pytest.mark.torch
def test_a_model_of_ones_own_is_trained_checked_and_used(soundings: Soundings) -> None:
    write(soundings, labelled(20))
    done = soundings.run("train", "--data", "own.csv", "--out", "mine", "--epochs", "1")
    assert done.returncode == 0, done.stderr
    assert "line 62: the text does not name the brand" in done.stderr
    assert re.search(r"train: step \d+/\d+ loss", done.stderr)
    description = json.loads((soundings.folder / "mine" / "engine.json").read_text())
    assert (description["name"], description["epoch"]) == ("mine", read_description(SHIPPED_MODEL)["epoch"] + 1)
    assert (description["dev"]["rows"], description["dev"]["brand_rows"]) == (6, 6)
    plain = soundings.config.read_text(encoding="utf-8")
    soundings.config.write_text(f'[engine]\nfolder = "mine"\n{plain}')
    assert soundings.run("check").returncode == 0
    told = json.loads(soundings.run("evaluate", "--data", "own.csv", "--json").stdout)
    # Every text that names its brand is right; of the one that does not, nothing could be learnt.
    assert (told["engine"], told["n"], told["brand_not_found"]) == ("mine/int8", 31, 1)
    assert sum(told["confusion"][k][k] for k in range(3)) >= 30
    assert "is already there" in refused(soundings, "train", "--data", "own.csv", "--out", "mine")


@pytest.mark.torch
def test_too_little_to_learn_from_is_refused(soundings: Soundings) -> None:
    told = refused(soundings, "train", "--data", write(soundings, labelled(8)), "--out", "mine")
    assert "found 4 rows that are neutral, expected at least 5" in told
    assert "found 4 rows that are neutral towards a brand" in told
    assert not (soundings.folder / "mine").exists()


@pytest.mark.torch
def test_a_model_from_elsewhere_is_run_by_its_folder(soundings: Soundings) -> None:
    folder = soundings.folder / "elsewhere"
    folder.mkdir()
    foreign_model(folder)
    plain = soundings.config.read_text(encoding="utf-8")
    soundings.config.write_text(f'[engine]\nkind = "transformers"\nmodel = "elsewhere"\n{plain}')
    assert "its labels are LABEL_0, LABEL_1, LABEL_2" in refused(soundings, "check")
    labels = 'labels = {LABEL_0 = "negative", LABEL_1 = "neutral", LABEL_2 = "positive"}'
    soundings.config.write_text(f'[engine]\nkind = "transformers"\nmodel = "elsewhere"\n{labels}\n{plain}')
    assert soundings.run("check").returncode == 0
    told = json.loads(soundings.run("tag", "Acme is terrible", "--brand", "Acme", "--json").stdout)
    assert (told["model"], told["brands"][0]["label"]) == ("elsewhere/torch", "negative")
    assert told["brands"][0]["probs"] == told["post"]["probs"]
