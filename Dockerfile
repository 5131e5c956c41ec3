# One image for every process: page, worker, Job, Flower, maintenance, schema. docs/deployment.md
# says how to build it and how to renew the digest.
#
#   docker build --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" \
#     --build-arg REVISION="$(git rev-parse HEAD)" -t stock-backtest:"$(git rev-parse HEAD)" .

# Python 3.11.16; the digest names an index, so that it is the same for every architecture.
ARG PYTHON_IMAGE=python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

FROM ${PYTHON_IMAGE} AS build
ARG SOURCE_DATE_EPOCH=315532800
# A zip file, which a wheel is, knows no time before 1980; that is the default.
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_COMPILE=1 \
    PIP_ONLY_BINARY=:all: \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /build

# What changes rarely comes first. Everything is locked by hash; nothing is compiled here.
COPY requirements-image.txt requirements-build.txt ./
RUN python -m venv --without-pip /opt/stock-backtest \
    && python -m pip --python /opt/stock-backtest/bin/python install --require-hashes -r requirements-image.txt \
    && python -m pip install --require-hashes -r requirements-build.txt

# The pages' third-party files, into the package that serves them.
COPY requirements-assets.txt ./
COPY scripts/build_assets.py scripts/
RUN PYTHONPATH=/opt/stock-backtest/lib/python3.11/site-packages \
    python scripts/build_assets.py --target /build/vendor

COPY . .
RUN mv vendor webapp/static/vendor \
    && python scripts/build_bundles.py --tools /tmp/bundler \
    && python -m pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m pip --python /opt/stock-backtest/bin/python install --no-deps --no-index /wheels/*.whl

# Bytecode without time stamps; then the kernels, for each processor by name.
RUN /opt/stock-backtest/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash \
        /opt/stock-backtest/lib \
    && /opt/stock-backtest/bin/python -P -m tasks.kernel_warmup /opt/stock-backtest/kernels \
    && find /opt/stock-backtest -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${PYTHON_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Stock Backtest" \
      org.opencontainers.image.description="Backtest trading rules and sweep their parameters" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="python:3.11.16-slim-bookworm"
COPY --from=build /opt/stock-backtest /opt/stock-backtest
# /tmp is the one place that workers and Jobs write to, and it may be memory; the page needs none.
ENV PATH=/opt/stock-backtest/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1 \
    PYTHONUNBUFFERED=1 \
    NUMBA_CACHE_DIR=/opt/stock-backtest/kernels \
    MPLCONFIGDIR=/tmp/matplotlib \
    STOCK_BACKTEST_LOG_FORMAT=json
USER 10001:10001
WORKDIR /opt/stock-backtest
EXPOSE 5000 5555
# Of the page, which is what starts by default; Compose has one for each process.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:5000/health/live', timeout=4)"]
# The init passes signals to its child alone: a worker decides itself when its processes end.
ENTRYPOINT ["dumb-init", "--single-child", "--", "stock-backtest"]
CMD ["web"]
