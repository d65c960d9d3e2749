# Two images: `api` (API, migrations, command line; no torch) and `worker` (the same with torch).
#
#   docker build --target api .
#   docker build --target worker .                                     CUDA, with the wheels of PyPI
#   docker build --target worker --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu .
#
# The file uses no BuildKit feature, so it also works with the older builder. BASE_IMAGE can be any
# image with Python 3.11 to 3.13 and the venv module. The CUDA libraries are in the wheels of torch,
# so the host needs only the driver and the NVIDIA container toolkit.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS base
ENV PATH=/opt/babylm/bin:$PATH \
    PYTHONUNBUFFERED=1

# Builds one wheel for both images. Only this stage and the layers that copy and install the wheel
# depend on the sources.
FROM base AS wheel
RUN python3 -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir 'hatchling==1.27.0'
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY api api
COPY babylm babylm
COPY core core
COPY dashboard dashboard
COPY jobs jobs
COPY migrations migrations
COPY worker worker
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheel .

# Writes the dependencies of pyproject.toml into requirements files. The files change only if a
# dependency changes, not with every change of pyproject.toml.
FROM base AS requirements
WORKDIR /requirements
COPY pyproject.toml ./
RUN python3 -c 'import pathlib, tomllib; \
project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]; \
extras = project["optional-dependencies"]; \
api = project["dependencies"] + extras["postgres"] + extras["webhooks"]; \
worker = api + extras["train"]; \
pathlib.Path("api.txt").write_text("\n".join(api)); \
pathlib.Path("worker.txt").write_text("\n".join(worker))'

# Installs the dependencies before the program, so that a change of the sources does not rebuild the
# layers of the dependencies. pip removes itself at the end, because nothing is installed later.
FROM base AS api-environment
WORKDIR /src
RUN python3 -m venv /opt/babylm
COPY constraints.txt ./
COPY --from=requirements /requirements/api.txt ./
RUN pip install --no-cache-dir -c constraints.txt -r api.txt
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl && pip uninstall -q -y pip setuptools

FROM base AS api
ARG UID=1000
ARG GID=1000
# The group needs a name, because Celery treats a group without a name as a security problem. The
# user owns /data and /runs, because a new named volume copies the owner of the folder on which it
# is mounted.
RUN groupadd -o -g "$GID" babylm && useradd -o -u "$UID" -g "$GID" -M -d /tmp babylm \
    && mkdir -p /data /runs && chown "$UID:$GID" /data /runs
COPY --from=api-environment /opt/babylm /opt/babylm
# PYTHONSAFEPATH: python3 imports no modules from the working folder /tmp, for example in a health
# check.
ENV BABYLM_DATA_DIR=/data \
    BABYLM_RUNS_DIR=/runs \
    PYTHONSAFEPATH=1 \
    HOME=/tmp
WORKDIR /tmp
USER ${UID}:${GID}
EXPOSE 8000
ENTRYPOINT ["babylm"]
CMD ["api"]

# Installs torch first, because it is the largest part of the image and changes least often. If
# TORCH_INDEX_URL is set, pip searches that index in addition to PyPI. pip then installs 2.13.0+cpu,
# for example, because this version counts as newer than 2.13.0.
FROM base AS worker-environment
WORKDIR /src
ARG TORCH_INDEX_URL=
RUN python3 -m venv /opt/babylm
COPY constraints.txt ./
RUN pip install --no-cache-dir -c constraints.txt \
    ${TORCH_INDEX_URL:+--extra-index-url "$TORCH_INDEX_URL"} torch==2.13.0
COPY --from=requirements /requirements/worker.txt ./
RUN pip install --no-cache-dir -c constraints.txt -r worker.txt
COPY --from=wheel /wheel /wheel
RUN pip install --no-cache-dir --no-deps /wheel/*.whl && pip uninstall -q -y pip

# This image has a compiler, because code is compiled while a job runs: torch.compile builds C++
# libraries on a CPU, and Triton builds a launcher in C for each kernel on a GPU. The image also has
# python3-dev, if the Python of the base image has no headers.
FROM base AS worker
RUN apt-get update \
    && if [ -e "$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h" ]; \
        then headers=; else headers=python3-dev; fi \
    && apt-get install -y --no-install-recommends g++ $headers \
    && rm -rf /var/lib/apt/lists/*
ARG UID=1000
ARG GID=1000
RUN groupadd -o -g "$GID" babylm && useradd -o -u "$UID" -g "$GID" -M -d /tmp babylm \
    && mkdir -p /data /runs && chown "$UID:$GID" /data /runs
COPY --from=worker-environment /opt/babylm /opt/babylm
# NVIDIA_DRIVER_CAPABILITIES: the container gets the libraries of the driver for CUDA and for
# nvidia-smi, but none for graphics.
ENV BABYLM_DATA_DIR=/data \
    BABYLM_RUNS_DIR=/runs \
    PYTHONSAFEPATH=1 \
    HOME=/tmp \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /tmp
USER ${UID}:${GID}
ENTRYPOINT ["babylm"]
CMD ["worker"]
