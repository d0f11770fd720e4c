# The worker in a container.
#
#   docker build --target cpu -t vram-residency:cpu .   simulated GPU; runs anywhere
#   docker build --target gpu -t vram-residency:gpu .   NVIDIA GPU; the container runtime provides the driver

ARG NODE_IMAGE=node:26-bookworm-slim
ARG CUDA_IMAGE=nvidia/cuda:13.0.2-devel-ubuntu24.04

# The build uses the distribution of the runtime image, so that glibc and libstdc++ match.
FROM ${NODE_IMAGE} AS build
RUN apt-get update \
  && apt-get install -y --no-install-recommends g++ make \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY cuda cuda
RUN make -C cuda -j "$(nproc)"
COPY tsconfig.json ./
COPY scripts scripts
COPY openapi openapi
COPY ui ui
COPY src src
RUN npm run build && npm prune --omit=dev --ignore-scripts

# The kernels contain only GPU code, so this image's libraries do not matter.
FROM ${CUDA_IMAGE} AS kernels
COPY cuda /cuda
RUN make -C /cuda gpu

FROM ${NODE_IMAGE} AS runtime
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/openapi/openapi.json openapi/
COPY --from=build /app/ui ui
COPY --from=build /app/cuda/build/libvram.so cuda/build/
# A new volume for the attach socket gets this owner and mode.
RUN install -d -o node -g root -m 755 /run/vram-residency
# Group 0, because OpenShift runs images with an arbitrary uid in that group.
RUN install -d -o node -g root -m 770 /var/lib/vram-worker
WORKDIR /var/lib/vram-worker
# The image's user `node`. Orchestrators can verify by the number that it is not root.
USER 1000:1000
ENV NODE_ENV=production WORKER_BIND_ADDR=0.0.0.0:8001
EXPOSE 8001
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 \
  CMD ["node", "/app/dist/main.cjs", "health"]
ENTRYPOINT ["node", "/app/dist/main.cjs"]
CMD ["serve"]

FROM runtime AS gpu
COPY --from=kernels /cuda/build/vram_kernels.fatbin /app/cuda/build/
# CUDA 13 needs driver 580 or later. The container runtime checks it before the container starts.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility NVIDIA_REQUIRE_CUDA="cuda>=13.0"

# The last stage is the default target.
FROM runtime AS cpu
COPY --from=build /app/cuda/build/libcuda_sim.so /app/cuda/build/vram_kernels.sim /app/cuda/build/
CMD ["serve", "--simulate"]
