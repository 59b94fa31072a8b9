"""A real Kafka broker and a real Elasticsearch for tests and for developers without containers."""
