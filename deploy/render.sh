#!/bin/sh
# Renders each overlay into deploy/rendered. Needs kubectl.
set -eu
cd "$(dirname "$0")"
for overlay in overlays/*; do
  kubectl kustomize "$overlay" > "rendered/$(basename "$overlay").yaml"
done
