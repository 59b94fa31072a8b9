"""The query language: parser, linter, matcher, anchors."""

from domain.query.anchors import Anchors, anchors, check_live
from domain.query.leaves import QueryWarning
from domain.query.lint import lint
from domain.query.matcher import Matcher, compile_matcher
from domain.query.parser import parse
from domain.query.subject import Subject, subject_of, subject_of_mention

__all__ = [
    "Anchors",
    "Matcher",
    "QueryWarning",
    "Subject",
    "anchors",
    "check_live",
    "compile_matcher",
    "lint",
    "parse",
    "subject_of",
    "subject_of_mention",
]
