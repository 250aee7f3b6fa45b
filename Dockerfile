# Segserve for CPUs. Builds with docker, podman and buildah:
#   docker build -t segserve .
#   docker run -p 8000-8002:8000-8002 -v $PWD/model_repository:/models:ro segserve
# The root file system may be read-only (--read-only --tmpfs /tmp).
ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS build
ENV ORT_DISABLE_TELEMETRY=1 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY service ./service
RUN python3 -m venv /opt/segserve \
 && /opt/segserve/bin/pip wheel -q --no-deps -w /wheels . \
 && /opt/segserve/bin/pip install -q --prefer-binary -c constraints.txt "$(ls /wheels/*.whl)[cpu]" \
 && find /opt/segserve -type d -name tests -prune -exec rm -rf {} + \
 && cd /opt/segserve/lib/python3*/site-packages \
 && rm -rf pip pip-* setuptools setuptools-* pkg_resources _distutils_hack distutils-precedence.pth \
 && rm -f /opt/segserve/bin/pip*
# Kernels are compiled now, so that a start need not. Their cache is keyed by the source's time, which an
# image layer keeps in whole seconds only; and numba wants the folder writable, hence the volume below.
ENV NUMBA_CACHE_DIR=/var/cache/segserve
RUN find /opt/segserve/lib/python3*/site-packages/segserve -name '*.py' -exec touch -d '2026-01-01 00:00:00' {} + \
 && mkdir -p "$NUMBA_CACHE_DIR" \
 && /opt/segserve/bin/python -m compileall -q -f /opt/segserve/lib/python3*/site-packages/segserve \
 && /opt/segserve/bin/python -m segserve.execution.kernels \
 && chown -R 10001:10001 "$NUMBA_CACHE_DIR"

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title="segserve" \
      org.opencontainers.image.description="Image segmentation as a service" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/segserve /opt/segserve
COPY --from=build /var/cache/segserve /var/cache/segserve
# Bytecode stays in the image: a read-only root could not keep it, and a start without it takes seconds more.
ENV PATH=/opt/segserve/bin:$PATH \
    HOME=/tmp \
    NUMBA_CACHE_DIR=/var/cache/segserve \
    ORT_DISABLE_TELEMETRY=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
VOLUME /var/cache/segserve
USER 10001:10001
WORKDIR /tmp
EXPOSE 8000 8001 8002
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["python3", "-c", \
  "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/v2/health/live', timeout=2)"]
ENTRYPOINT ["segserve", "serve"]
CMD ["--model-repository", "/models"]
