# Two images: `api` (API, migrations, command line; no torch) and `worker` (the same with torch).
#
#   docker build --target api .
#   docker build --target worker .                                     CUDA, the wheels of PyPI
#   docker build --target worker --build-arg TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu .
#
# No BuildKit feature is used, so the older builder works too. Any base with Python 3.11 to 3.13 and
# its venv module will do. The CUDA libraries come with torch's wheels: the host brings the driver
# and the NVIDIA container toolkit, nothing else.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS base
ENV PATH=/opt/babylm/bin:$PATH \
    PYTHONUNBUFFERED=1

# One wheel, built once for both images: only this stage and the last layer depend on the sources.
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

# What pyproject.toml declares, as lists that change only when a dependency does.
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

# Dependencies before the program: a change of the sources leaves these layers alone. pip removes
# itself at the end, because nothing is installed later.
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
# A user with a name, since Celery takes a group without one for an attack. A new named volume takes
# over owner and content of the folder that it is mounted on.
RUN groupadd -o -g "$GID" babylm && useradd -o -u "$UID" -g "$GID" -M -d /tmp babylm \
    && mkdir -p /data /runs && chown "$UID:$GID" /data /runs
COPY --from=api-environment /opt/babylm /opt/babylm
# PYTHONSAFEPATH: python3 never imports from /tmp, in health checks and `docker compose exec` too.
ENV BABYLM_DATA_DIR=/data \
    BABYLM_RUNS_DIR=/runs \
    PYTHONSAFEPATH=1 \
    HOME=/tmp
WORKDIR /tmp
USER ${UID}:${GID}
EXPOSE 8000
ENTRYPOINT ["babylm"]
CMD ["api"]

# torch first: it is most of the image and changes least. The index, if one is given, is asked
# beside the usual one; a build such as 2.13.0+cpu counts as newer than 2.13.0 and is taken.
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

# torch.compile builds small C++ libraries on a CPU, and Triton a launcher in C for each kernel on a
# GPU, while a job runs: so this image keeps a compiler, and python3-dev where the base's own Python
# has no headers.
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
# The driver's libraries for computing and for nvidia-smi's figures; no graphics.
ENV BABYLM_DATA_DIR=/data \
    BABYLM_RUNS_DIR=/runs \
    PYTHONSAFEPATH=1 \
    HOME=/tmp \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /tmp
USER ${UID}:${GID}
ENTRYPOINT ["babylm"]
CMD ["worker"]
