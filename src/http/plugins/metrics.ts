import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Residency } from '../../residency/residency.js';
import { NoQuery } from '../schemas/common.js';
import { scrubMetrics } from './scrub_metrics.js';

const seconds = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800];

/** `GET /metrics` for Prometheus. A registry for each worker, and no label that grows with what clients send. */
export const metrics = fp(async (app: FastifyInstance, { residency }: { residency: Residency }) => {
  const registry = new Registry();
  const registers = [registry];

  new Gauge({
    name: 'vram_device_bytes',
    help: 'GPU memory by device and state',
    labelNames: ['gpu_device', 'state'],
    registers,
    collect() {
      for (const { gpuDevice, state, bytes } of residency.stats().bytesByDeviceAndState) {
        this.set({ gpu_device: gpuDevice, state }, bytes);
      }
    },
  });
  new Gauge({
    name: 'vram_shards',
    help: 'Shards by state',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(residency.stats().shardsByState)) this.set({ state }, count);
    },
  });
  new Gauge({
    name: 'vram_commits_waiting',
    help: 'Admitted commits that wait for a slot',
    registers,
    collect() {
      this.set(residency.stats().commitsWaiting);
    },
  });
  scrubMetrics(registers, residency);
  const repairs = new Counter({
    name: 'vram_repairs_total',
    help: 'Repairs of corrupt shards from their files, by outcome',
    labelNames: ['outcome'],
    registers,
  });
  const failures = new Counter({
    name: 'vram_failures_total',
    help: 'Failures by operation and error code',
    labelNames: ['operation', 'code'],
    registers,
  });
  const commitBytes = new Counter({ name: 'vram_commit_bytes_total', help: 'Bytes sealed', registers });
  const verifyBytes = new Counter({ name: 'vram_verify_bytes_total', help: 'Bytes verified', registers });
  const timed = (name: string, help: string) =>
    new Histogram({ name, help, labelNames: ['outcome'], buckets: seconds, registers });
  const commitSeconds = timed('vram_commit_seconds', 'How long commits took');
  const verifySeconds = timed('vram_verify_seconds', 'How long verifications took');
  const httpSeconds = new Histogram({
    name: 'vram_http_request_seconds',
    help: 'How long HTTP requests took',
    labelNames: ['method', 'route', 'status'],
    buckets: seconds,
    registers,
  });

  residency.observer = {
    committed(outcome, bytes, took) {
      commitSeconds.observe({ outcome }, took);
      if (outcome === 'ok') commitBytes.inc(bytes);
    },
    verified(outcome, bytes, took) {
      verifySeconds.observe({ outcome }, took);
      if (outcome === 'ok') verifyBytes.inc(bytes);
      // A shard found corrupt is an answer, not an error of the request: it is counted here.
      if (outcome === 'SEAL_VERIFICATION_FAILED') failures.inc({ operation: 'verifyShard', code: outcome });
    },
    repaired(outcome) {
      repairs.inc({ outcome });
    },
  };

  app.addHook('onResponse', (request, reply, done) => {
    const { url = 'none', schema } = request.routeOptions;
    const method = request.is404 ? 'any' : request.method;
    httpSeconds.observe({ method, route: url, status: reply.statusCode }, reply.elapsedTime / 1000);
    if (request.errorCode !== undefined) {
      failures.inc({ operation: schema?.operationId ?? 'none', code: request.errorCode });
    }
    done();
  });

  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'metrics',
        summary: 'Figures for Prometheus',
        tags: ['probes'],
        security: [],
        querystring: NoQuery,
        response: {
          200: { description: 'Text exposition.', content: { 'text/plain': { schema: { type: 'string' } } } },
        },
      },
      config: { access: 'public', quiet: true },
    },
    async (_request, reply) => reply.header('content-type', registry.contentType).send(await registry.metrics()),
  );
});
