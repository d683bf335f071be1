# The collector and the simulated Twitch, and only what these need: no Dagster, no data frames.
# Built from the repository's root: make images, or docker build -f infrastructure/docker/collector.Dockerfile .

# The base; may be given by its digest or from a mirror.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends "tini=0.19.0-*" \
    && rm -rf /var/lib/apt/lists/*
COPY infrastructure/dependencies/locks/requirements-collector.lock /tmp/
RUN python3 -m venv --without-pip /opt/venv \
    && python3 -m pip --python /opt/venv/bin/python3 install --no-cache-dir --no-deps --only-binary :all: \
        --require-hashes --requirement /tmp/requirements-collector.lock
COPY config /app/config
COPY collector_service /app/collector_service
# Its user may not write there, and a health check runs every half minute.
RUN python3 -m compileall -q /app/collector_service

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --home-dir /var/lib/vieweratlas --create-home --shell /usr/sbin/nologin vieweratlas
COPY --from=build /usr/bin/tini-static /usr/bin/tini
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    COLLECTOR_STATE_DIR=/var/lib/vieweratlas
WORKDIR /app
USER 10001
# -s: also where a different process is the first, such as the init of ECS.
ENTRYPOINT ["tini", "-s", "--"]
CMD ["python", "-m", "collector_service"]
HEALTHCHECK --interval=30s --timeout=20s --retries=3 --start-period=120s \
    CMD ["python", "-m", "collector_service", "health"]
