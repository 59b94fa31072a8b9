"""From text to labels: language, sentiment, mentions."""
