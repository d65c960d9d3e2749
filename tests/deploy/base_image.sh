#!/usr/bin/env bash
# Builds, without a registry, the images that docker-compose.yml would pull. `babylm-base` is a
# Debian with Python and replaces python:3.12-slim. The image of the Redis-compatible server is
# built on the same layers and gets its usual tag. Needs root, debootstrap and a Docker daemon.
#
#   tests/deploy/base_image.sh [OVERLAY]
#
# OVERLAY is a folder that is copied over the root of the image. It has the files that `pip install`
# needs in your network, such as an /etc/pip.conf, certificates or wheels.
set -euo pipefail

overlay=${1:-}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

debootstrap --variant=minbase \
  --include=python3,python3-venv,ca-certificates,redis-server bookworm "$folder/root" >&2
rm -rf "$folder"/root/var/cache/apt/archives/*.deb "$folder"/root/var/lib/apt/lists/*
if [ -n "$overlay" ]; then cp -a "$overlay/." "$folder/root/"; fi
tar -C "$folder/root" -c . | docker import - babylm-base

cat > "$folder/Dockerfile" <<'END'
FROM babylm-base
RUN useradd --system valkey && mkdir /data && chown valkey /data \
    && ln -s "$(command -v redis-server)" /usr/local/bin/valkey-server \
    && ln -s "$(command -v redis-cli)" /usr/local/bin/valkey-cli
VOLUME /data
WORKDIR /data
END
DOCKER_BUILDKIT=0 docker build --network none -q -t valkey/valkey:8-alpine \
  -f "$folder/Dockerfile" "$folder/root/etc/opt"
