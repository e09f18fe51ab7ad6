# syntax=docker/dockerfile:1
# The CUDA column. From the repository's root: docker build -f docker/cuda.Dockerfile -t vcn-trt:cuda .
# What can be chosen, and pip's own configuration as the secret "pip": docs/docker.md.
ARG CUDA=13.0.2

FROM nvidia/cuda:${CUDA}-devel-ubuntu24.04 AS build
ENV PIP_CACHE_DIR=/cache/pip PIP_DISABLE_PIP_VERSION_CHECK=1
# The base image pins the distribution; its security updates are wanted.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python3 -m venv /venv
# A check alone: a kernel that does not compile fails here and not on a card, where NVRTC compiles it anew.
COPY kernels kernels
RUN for kernel in kernels/*.cu; do \
        nvcc -std=c++17 -Werror all-warnings -fatbin -o /tmp/kernel.fatbin "$kernel" \
            -gencode=arch=compute_80,code=sm_80 -gencode=arch=compute_90,code=sm_90 \
            -gencode=arch=compute_100,code=sm_100 -gencode=arch=compute_120,code=sm_120 || exit 1; \
    done
# torch goes first and alone, as in the Makefile; PyPI's is for CUDA 13. For 12: TORCH_INDEX=<PyTorch's CUDA 12 index>.
ARG TORCH_INDEX=
COPY constraints.txt ./
RUN --mount=type=cache,target=/cache --mount=type=secret,id=pip,target=/etc/pip.conf \
    PIP_INDEX_URL="$TORCH_INDEX" /venv/bin/pip install --constraint constraints.txt torch
# Extras by comma: gpu-cu12 with CUDA=12.9.1, and what else pyproject.toml names.
ARG EXTRAS=gpu-cu13
COPY pyproject.toml README.md ./
COPY engines engines
COPY models models
COPY vcn_trt vcn_trt
RUN --mount=type=cache,target=/cache --mount=type=secret,id=pip,target=/etc/pip.conf \
    /venv/bin/pip wheel --no-deps --wheel-dir /dist . \
    && /venv/bin/pip install --constraint constraints.txt "$(echo /dist/vcn_trt-*.whl)[$EXTRAS]"

# "base" and not "runtime": the CUDA libraries are in the wheels that torch and CuPy asked for.
FROM nvidia/cuda:${CUDA}-base-ubuntu24.04
LABEL org.opencontainers.image.title="vcn-trt" \
      org.opencontainers.image.description="Who is on screen, when: face clustering for films and series, on an NVIDIA GPU."
# Without "video" the driver's libnvcuvid stays outside, and PyAV decodes on the CPU.
# HOME is the volume as well, so that caches of libraries work for whichever user `docker run --user` names.
# ONNX Runtime's builds report to their maker unless told not to; footage is nobody's business.
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility,video \
    PATH=/venv/bin:$PATH HOME=/var/lib/vcn VCN_HOME=/var/lib/vcn ORT_DISABLE_TELEMETRY=1
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends python3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --home-dir /var/lib/vcn vcn \
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
HEALTHCHECK --interval=5m --timeout=2m --start-period=5m CMD ["vcn", "doctor", "--device", "cuda:0"]
ENTRYPOINT ["vcn"]
CMD ["--help"]
