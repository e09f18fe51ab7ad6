# syntax=docker/dockerfile:1
# The CPU column. From the repository's root: docker build -f docker/cpu.Dockerfile -t vcn-trt:cpu .
# What can be chosen, and pip's own configuration as the secret "pip": docs/docker.md.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim-bookworm AS build
ENV PIP_CACHE_DIR=/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
RUN python3 -m venv /venv
# torch goes first and alone, as in the Makefile. PyPI's carries CUDA; TORCH_INDEX=<PyTorch's CPU index> saves 4 GB.
ARG TORCH_INDEX=
COPY constraints.txt ./
RUN --mount=type=cache,target=/cache --mount=type=secret,id=pip,target=/etc/pip.conf \
    PIP_INDEX_URL="$TORCH_INDEX" /venv/bin/pip install --constraint constraints.txt torch
COPY pyproject.toml README.md ./
COPY engines engines
COPY kernels kernels
COPY models models
COPY vcn_trt vcn_trt
RUN --mount=type=cache,target=/cache --mount=type=secret,id=pip,target=/etc/pip.conf \
    /venv/bin/pip wheel --no-deps --wheel-dir /dist . \
    && /venv/bin/pip install --constraint constraints.txt "$(echo /dist/vcn_trt-*.whl)[cpu]"

FROM python:${PYTHON}-slim-bookworm
LABEL org.opencontainers.image.title="vcn-trt" \
      org.opencontainers.image.description="Who is on screen, when: face clustering for films and series, on the CPU."
# HOME is the volume as well, so that caches of libraries work for whichever user `docker run --user` names.
# ONNX Runtime's builds report to their maker unless told not to; footage is nobody's business.
ENV PATH=/venv/bin:$PATH HOME=/var/lib/vcn VCN_HOME=/var/lib/vcn ORT_DISABLE_TELEMETRY=1
RUN useradd --uid 10001 --no-create-home --home-dir /var/lib/vcn vcn \
    && install --directory --owner vcn --mode 1777 /var/lib/vcn /data
COPY --from=build /venv /venv
COPY --chmod=755 docker/night.sh /usr/local/bin/vcn-night
USER 10001:10001
# WEIGHTS=1 brings the default weights into the image (12 MB); without it the first run brings them into the volume.
ARG WEIGHTS=
RUN --mount=type=secret,id=pip,target=/etc/pip.conf,uid=10001 \
    if [ -n "$WEIGHTS" ]; then vcn models fetch; fi
VOLUME /var/lib/vcn
WORKDIR /data
HEALTHCHECK --interval=5m --timeout=1m --start-period=5m CMD ["vcn", "doctor", "--device", "cpu"]
ENTRYPOINT ["vcn"]
CMD ["--help"]
