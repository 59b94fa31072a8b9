"""Every setting, once: parsing, `soundings init`, `soundings check` and docs/configuration.md read these tables."""

from __future__ import annotations

from service.setting import Setting
from service.sources import SOURCE_SETTINGS

SETTINGS: tuple[Setting, ...] = (
    Setting("data.dir", "path", "soundings-data", "folder that holds everything Soundings keeps"),
    # Below this, SQLite and the index can no longer be sure to finish a write and a merge.
    Setting(
        "data.disk_floor_mb",
        "integer",
        200,
        "reading stops, with an error, when less than this is free on the disk (MB)",
        minimum=0,
    ),
    Setting("data.log_retention_days", "integer", 7, "handled records stay in the log for this long (days)", minimum=1),
    Setting(
        "data.retention_days",
        "integer",
        730,
        "posts published longer ago than this are filed under the month they were collected in (days)",
        minimum=1,
    ),
    Setting(
        "web.host", "text", "127.0.0.1", "address that the dashboard listens on; anything but loopback needs `web.auth`"
    ),
    Setting(
        "web.port", "integer", 8000, "port that the dashboard listens on; 0 takes a free one", minimum=0, maximum=65535
    ),
    Setting(
        "web.auth",
        "choice",
        "none",
        "who is let in: none asks nobody (loopback only), token lets in whoever shows `web.token`, proxy believes a "
        "trusted proxy",
        choices=("none", "token", "proxy"),
    ),
    Setting("web.token", "secret", "", "what is shown to be let in: 32 characters or more"),
    Setting("web.token_file", "path", "", "file that holds `web.token`"),
    Setting(
        "web.public_url",
        "text",
        "",
        "address under which people open the dashboard, such as https://soundings.example.org; with https, cookies are "
        "sent over TLS only",
    ),
    Setting(
        "web.proxy_addresses",
        "texts",
        (),
        "addresses or networks of trusted proxies; from the environment, separated by commas",
    ),
    Setting("web.proxy_header", "text", "X-Forwarded-User", "header in which a trusted proxy says who asks"),
    Setting("health.host", "text", "127.0.0.1", "address of `/healthz`, `/readyz` and `/metrics`: no personal text"),
    Setting("health.port", "integer", 0, "their port; 0 takes a free one", minimum=0, maximum=65535),
    Setting(
        "log.kind",
        "choice",
        "embedded",
        "where records wait between stages: embedded is a file in the data folder, kafka and kafka-python are Kafka by "
        "either client",
        choices=("embedded", "kafka", "kafka-python"),
    ),
    Setting(
        "store.kind",
        "choice",
        "embedded",
        "where mentions are kept and found: embedded is a folder in the data folder, elastic is Elasticsearch",
        choices=("embedded", "elastic"),
    ),
    Setting(
        "logging.format",
        "choice",
        "text",
        "what the program's own log looks like: lines for people, or one JSON object a line",
        choices=("text", "json"),
    ),
    Setting(
        "logging.level",
        "choice",
        "info",
        "from which level on it is written; debug may hold what people wrote, the others never do",
        choices=("debug", "info", "warning", "error"),
    ),
    Setting(
        "engine.kind",
        "choice",
        "int8",
        "sentiment engine: int8 is fast, exact is the same model in 32-bit arithmetic, transformers runs any Hugging "
        "Face model, tiny is a word list for tests",
        choices=("int8", "exact", "transformers", "tiny"),
    ),
    Setting(
        "engine.threads", "integer", 0, "threads of one model run; 0 takes one for each core", minimum=0, maximum=256
    ),
    Setting(
        "engine.folder",
        "path",
        "",
        "folder of the model that int8 and exact run, as `soundings train` writes it; the one of Soundings when empty",
    ),
    Setting("engine.model", "text", "", "model that transformers runs: a folder, or the id of a model on Hugging Face"),
    Setting(
        "engine.download",
        "boolean",
        False,
        "whether transformers may fetch a model that is not on this machine yet; else the network is never used",
    ),
    Setting(
        "engine.temperature",
        "number",
        1.0,
        "the scores of the model of transformers are divided by it; above 1 makes its probabilities less sure",
        minimum=0.01,
        maximum=100,
    ),
    Setting(
        "engine.epoch",
        "integer",
        0,
        "number of the model of transformers; mentions scored under a lower one are scored again by a replay",
        minimum=0,
        maximum=65535,
    ),
    Setting(
        "sources.enabled",
        "texts",
        (),
        "live sources to listen to, by name; see the pages under docs/sources",
    ),
    Setting(
        "sources.allow_private",
        "boolean",
        False,
        "whether sources may fetch addresses of private networks; whoever writes a feed could make us ask them",
    ),
    Setting(
        "sources.engagement_hours",
        "number",
        1.0,
        "how long after its collection the likes and replies of a post are looked up again, where that costs nothing "
        "(hours); 0: never",
        minimum=0,
        maximum=720,
    ),
    Setting(
        "sources.engagement_again_hours",
        "number",
        24.0,
        "how long after its collection they are looked up a second time (hours); 0: never",
        minimum=0,
        maximum=720,
    ),
    Setting("alerts.enabled", "boolean", True, "whether rules are looked at; see docs/alerts.md"),
    Setting(
        "alerts.look_seconds",
        "number",
        60.0,
        "how often everything that is watched is looked at (seconds)",
        minimum=1,
        maximum=300,
    ),
    Setting(
        "alerts.group_wait_seconds",
        "number",
        30.0,
        "how long the first alert of a brand waits for others, so that they come in one message (seconds)",
        minimum=0,
        maximum=3600,
    ),
    Setting(
        "alerts.group_interval_minutes",
        "number",
        5.0,
        "how long after a message of a brand the next may follow when something new begins or ends (minutes)",
        minimum=0,
        maximum=1440,
    ),
    Setting(
        "alerts.repeat_hours",
        "number",
        4.0,
        "how often it is said again that an alert goes on, until somebody acknowledges it (hours)",
        minimum=0.1,
        maximum=720,
    ),
    Setting(
        "alerts.heartbeat_url",
        "secret",
        "",
        "address that is asked now and then, so that somebody notices when alerts no longer are looked at",
    ),
    Setting("alerts.heartbeat_url_file", "path", "", "file that holds `alerts.heartbeat_url`"),
    Setting(
        "alerts.heartbeat_private",
        "boolean",
        False,
        "whether that address may be one of a private network",
    ),
    Setting("alerts.heartbeat_minutes", "number", 5.0, "how often (minutes)", minimum=0.5, maximum=1440),
    Setting("source.file.name", "text", "file", "source of a row that names none"),
    Setting(
        "source.file.format",
        "choice",
        "auto",
        "what a file is; auto tells by its name and content",
        choices=("auto", "jsonl", "csv", "tsv"),
    ),
    Setting("source.file.encoding", "text", "auto", "encoding of a file; auto is UTF-8, or UTF-16 with its mark"),
    Setting(
        "source.file.delimiter",
        "text",
        "auto",
        "what stands between the cells of a table: one character; auto finds it in the header line",
    ),
    Setting("source.file.header", "texts", (), "the columns of a table that has no header line"),
    Setting(
        "source.file.quoting",
        "choice",
        "auto",
        "whether cells may be quoted; auto is yes for CSV, no for TSV",
        choices=("auto", "yes", "no"),
    ),
    Setting(
        "source.file.html",
        "choice",
        "auto",
        "whether text is HTML; auto tells by its tags",
        choices=("auto", "always", "never"),
    ),
    Setting("source.file.timezone", "text", "UTC", "zone of dates that name none, such as Europe/Berlin"),
    Setting("source.file.date_formats", "texts", (), "formats of dates, as of strptime, tried before the usual ones"),
)

# Of the dataclasses `stream.kafka_settings.KafkaSettings` and `search.elastic_settings.ElasticSettings`: the names and
# defaults are the same, which a test holds.
CLUSTER_SETTINGS: tuple[Setting, ...] = (
    Setting("kafka.bootstrap_servers", "text", "127.0.0.1:9092", "brokers to begin with: host:port, by commas"),
    Setting("kafka.prefix", "text", "soundings-", "beginning of every topic and group"),
    Setting("kafka.client_id", "text", "soundings", "name of this client in the brokers' logs and quotas"),
    Setting(
        "kafka.partitions",
        "integer",
        6,
        "partitions of new topics: how many workers of a stage can share the work; never change it afterwards",
        minimum=1,
        maximum=10_000,
    ),
    Setting(
        "kafka.source_partitions",
        "integer",
        8,
        "how many workers can share the sources; never change it afterwards",
        minimum=1,
        maximum=10_000,
    ),
    Setting(
        "kafka.replication", "integer", 0, "replicas of new topics; 0 is the brokers' default", minimum=0, maximum=100
    ),
    Setting(
        "kafka.retention_hours",
        "number",
        24.0,
        "how long posts and mentions stay in new topics, handled or not: longer than any stage may stand still (hours)",
        minimum=0.1,
    ),
    Setting("kafka.events_retention_hours", "number", 168.0, "how long events stay (hours)", minimum=0.1),
    Setting(
        "kafka.dead_retention_hours",
        "number",
        720.0,
        "how long dead letters stay in a new topic, dealt with or not, with what they hold of people (hours)",
        minimum=0.1,
    ),
    Setting(
        "kafka.security_protocol",
        "choice",
        "PLAINTEXT",
        "how brokers are talked to",
        choices=("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    ),
    Setting(
        "kafka.sasl_mechanism",
        "choice",
        "SCRAM-SHA-512",
        "how a user signs in",
        choices=("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"),
    ),
    Setting("kafka.sasl_username", "text", "", "user"),
    Setting("kafka.sasl_password", "secret", "", "password of the user"),
    Setting("kafka.sasl_password_file", "path", "", "file that holds `kafka.sasl_password`"),
    Setting("kafka.ca_file", "path", "", "certificates (PEM) to trust instead of the system's"),
    Setting(
        "kafka.certificate_file", "path", "", "certificate (PEM) by which this client signs in, its chain below it"
    ),
    Setting("kafka.key_file", "path", "", "its key (PEM)"),
    Setting("kafka.key_password", "secret", "", "password of the key"),
    Setting("kafka.key_password_file", "path", "", "file that holds `kafka.key_password`"),
    Setting(
        "kafka.session_seconds",
        "number",
        15.0,
        "a worker that was not heard of for so long is replaced by another (seconds)",
        minimum=1,
        maximum=300,
    ),
    Setting(
        "kafka.max_poll_seconds",
        "number",
        660.0,
        "so is one that works on one batch for longer; more than the ten minutes that a stage tries again (seconds)",
        minimum=1,
    ),
    Setting("kafka.request_seconds", "number", 10.0, "how long a broker may take to answer (seconds)", minimum=0.1),
    Setting(
        "kafka.max_lag",
        "integer",
        50_000,
        "reading pauses while a stage is further behind: work for some minutes, far below `kafka.retention_hours`",
        minimum=1,
    ),
    Setting("elastic.hosts", "texts", ("http://127.0.0.1:9200",), "addresses of Elasticsearch"),
    Setting("elastic.api_key", "secret", "", "API key; or user and password"),
    Setting("elastic.api_key_file", "path", "", "file that holds `elastic.api_key`"),
    Setting("elastic.user", "text", "", "user"),
    Setting("elastic.password", "secret", "", "password of the user"),
    Setting("elastic.password_file", "path", "", "file that holds `elastic.password`"),
    Setting("elastic.ca_file", "path", "", "certificates (PEM) to trust beside the system's"),
    Setting("elastic.verify_certificates", "boolean", True, "whether a certificate must be valid for its host"),
    Setting("elastic.prefix", "text", "soundings-", "beginning of every index and template"),
    Setting("elastic.request_timeout_seconds", "number", 30.0, "how long one request may take (seconds)", minimum=0.1),
    Setting("elastic.retry_seconds", "number", 30.0, "how long a write tries by itself (seconds)", minimum=0.1),
    Setting("elastic.bulk_bytes", "integer", 4_000_000, "most bytes of one bulk", minimum=100_000, maximum=50_000_000),
    Setting("elastic.bulks_in_flight", "integer", 2, "bulks sent at once", minimum=1, maximum=16),
    Setting("elastic.refresh_seconds", "number", 1.0, "how soon what was written is found (seconds)", minimum=0.01),
    Setting("elastic.replicas", "integer", 1, "replicas of new indices; 0 on a single node", minimum=0, maximum=10),
)
SETTINGS += SOURCE_SETTINGS + CLUSTER_SETTINGS

BRAND_SETTINGS: tuple[Setting, ...] = (
    Setting("id", "text", None, "slug of the brand: a-z, 0-9 and inner hyphens; it never changes"),
    Setting("name", "text", None, "name as people read it; the id when left out"),
    Setting("query", "text", None, "what to listen for, in the query language"),
    Setting("query_revision", "integer", 1, "raise it with each change of the query", minimum=1, maximum=1_000_000),
    Setting("handles", "texts", (), "the brand's own handles, without @"),
    Setting("competitors", "texts", (), "ids of brands to compare it with"),
)

# Which column of a file holds which field of a post: `[source.file.columns]`, field = "column".
COLUMNS_KEY = "source.file.columns"
# What the labels of a model from elsewhere mean: `[engine.labels]`, LABEL_0 = "negative".
LABELS_KEY = "engine.labels"
