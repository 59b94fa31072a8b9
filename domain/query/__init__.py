"""The query language: parser, linter, matcher."""
