# Two stages: pip and its caches stay in the first. The second runs as a user without a name for anyone else's files,
# writes to /data and /tmp alone, and needs no capability.
FROM python:3.11.14-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
RUN python -m venv /opt/soundings
WORKDIR /build
# What is seldom changed first: the packages are fetched again only when these two files change.
COPY pyproject.toml constraints.txt ./
RUN /opt/soundings/bin/python -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print('\n'.join(p['dependencies'] + p['optional-dependencies']['cluster'] + p['optional-dependencies']['sources']))" >needed.txt \
 && /opt/soundings/bin/pip install --constraint constraints.txt --requirement needed.txt
COPY README.md LICENSE ./
COPY domain domain
COPY net net
COPY stream stream
COPY ingest ingest
COPY enrich enrich
COPY search search
COPY alerts alerts
COPY dashboard dashboard
COPY service service
RUN /opt/soundings/bin/pip install --constraint constraints.txt --no-deps .

FROM python:3.11.14-slim-bookworm
# Group 0 too: Elasticsearch's image reads the certificates through it.
RUN useradd --uid 10001 --gid 0 --no-create-home --home-dir /data --shell /usr/sbin/nologin soundings \
 && install -d -o 10001 -g 0 -m 750 /data /certificates
COPY --from=build /opt/soundings /opt/soundings
COPY deploy /app/deploy
# Two heaps of the C library: with one for every thread, what threads gave back lies about in all of them, as
# service/supervisor.py says.
ENV PATH=/opt/soundings/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=2 \
    SOUNDINGS_DATA_DIR=/data
WORKDIR /app
USER 10001:0
VOLUME /data
ENTRYPOINT ["soundings"]
CMD ["--help"]
