import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { PullQueue } from '../../pulls/pull_queue.js';
import type { Residency } from '../../residency/residency.js';
import type { ResidencyObserver } from '../../residency/state/observer.js';
import type { ResidencyStats } from '../../residency/status/stats.js';
import type { Uploads } from '../../uploads/uploads.js';
import { NoQuery } from '../schemas/common.js';
import type { Connections } from '../server/connections.js';
import { connectionMetrics, longPollMetrics } from './connection_metrics.js';
import type { DroppedLines } from './dropped_lines.js';
import { attachMetrics, leaseMetrics } from './lease_metrics.js';
import { bucketsSeconds } from './metric_values.js';
import { scrubMetrics } from './scrub_metrics.js';
import { transferMetrics } from './transfer_metrics.js';
import { workerMetrics } from './worker_metrics.js';

export interface MetricsOptions {
  readonly residency: Residency;
  readonly pulls: PullQueue;
  readonly uploads: Uploads;
  readonly connections: Connections;
  readonly droppedLines: DroppedLines;
  /** The long polls of `ready`. */
  readonly waiters: { readonly count: number };
  /** All long polls. */
  readonly slots: { readonly count: number };
}

/** `GET /metrics` for Prometheus. Each worker has its own registry. No label has values that clients choose. */
export const metrics = fp(async (app: FastifyInstance, options: MetricsOptions) => {
  const { residency, pulls, uploads, connections, droppedLines, waiters, slots } = options;
  const registry = new Registry();
  droppedLines.register(registry);
  const scrape = new Scrape(residency);
  workerMetrics(registry, residency, () => scrape.stats);
  memoryMetrics(registry, scrape);
  connectionMetrics(app, registry, connections);
  longPollMetrics(registry, { waiters, slots });
  scrubMetrics(registry, () => scrape.stats);
  leaseMetrics(registry, () => scrape.stats);
  transferMetrics(registry, pulls, uploads);
  const failures = new Counter({
    name: 'vram_failures_total',
    help: 'Failures by operation and error code',
    labelNames: ['operation', 'code'],
    registers: [registry],
  });
  residency.observe(operationMetrics(registry, failures));
  requestMetrics(app, registry, failures);
  metricsRoute(app, registry, scrape);
});

/** The figures of one scrape. All gauges share them. */
class Scrape {
  readonly #residency: Residency;
  #stats: ResidencyStats | undefined;

  constructor(residency: Residency) {
    this.#residency = residency;
  }

  begin(): void {
    this.#stats = undefined;
  }

  get stats(): ResidencyStats {
    this.#stats ??= this.#residency.stats();
    return this.#stats;
  }
}

function memoryMetrics(registry: Registry, scrape: Scrape): void {
  const registers = [registry];
  new Gauge({
    name: 'vram_device_bytes',
    help: 'GPU memory by device and state',
    labelNames: ['gpu_device', 'state'],
    registers,
    collect() {
      for (const { gpuDevice, state, bytes } of scrape.stats.bytesByDeviceAndState) {
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
      for (const [state, count] of Object.entries(scrape.stats.shardsByState)) this.set({ state }, count);
    },
  });
  new Gauge({
    name: 'vram_commits_waiting',
    help: 'Admitted commits that wait for a commit slot',
    registers,
    collect() {
      this.set(scrape.stats.commitsWaiting);
    },
  });
}

/** Metrics of commits, verifications and repairs. */
function operationMetrics(registry: Registry, failures: Counter): ResidencyObserver {
  const registers = [registry];
  const duration = (name: string, help: string) =>
    new Histogram({ name, help, labelNames: ['outcome'], buckets: bucketsSeconds, registers });
  const repairs = new Counter({
    name: 'vram_repairs_total',
    help: 'Repairs of corrupt shards from their sources, by outcome',
    labelNames: ['outcome'],
    registers,
  });
  const commitBytes = new Counter({ name: 'vram_commit_bytes_total', help: 'Bytes sealed', registers });
  const verifyBytes = new Counter({ name: 'vram_verify_bytes_total', help: 'Bytes verified', registers });
  const commitSeconds = duration('vram_commit_duration_seconds', 'Duration of commits, by outcome');
  const verifySeconds = duration('vram_verify_duration_seconds', 'Duration of verifications, by outcome');
  return {
    committed(outcome, bytes, seconds) {
      commitSeconds.observe({ outcome }, seconds);
      if (outcome === 'ok') commitBytes.inc(bytes);
    },
    verified(outcome, bytes, seconds) {
      verifySeconds.observe({ outcome }, seconds);
      if (outcome === 'ok') verifyBytes.inc(bytes);
      // A corrupt shard is a normal response, so the request hook below does not count it.
      if (outcome === 'SEAL_VERIFICATION_FAILED') failures.inc({ operation: 'verifyShard', code: outcome });
    },
    repaired(outcome) {
      repairs.inc({ outcome });
    },
    ...attachMetrics(registry),
  };
}

function requestMetrics(app: FastifyInstance, registry: Registry, failures: Counter): void {
  const requestSeconds = new Histogram({
    name: 'vram_http_request_duration_seconds',
    help: 'Duration of HTTP requests',
    labelNames: ['method', 'route', 'status'],
    buckets: bucketsSeconds,
    registers: [registry],
  });
  app.decorate('observeRequest', (labels: RequestLabels, durationMs: number) =>
    requestSeconds.observe({ ...labels }, durationMs / 1000),
  );
  app.decorateRequest('waitedMs', 0);
  app.onRequestEnd((request, reply) => {
    const { url = 'none', schema } = request.routeOptions;
    const method = request.is404 ? 'any' : request.method;
    app.observeRequest({ method, route: url, status: reply.statusCode }, reply.elapsedTime - request.waitedMs);
    if (request.errorCode !== undefined) {
      failures.inc({ operation: schema?.operationId ?? 'none', code: request.errorCode });
    }
  });
}

interface RequestLabels {
  readonly method: string;
  readonly route: string;
  readonly status: number;
}

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts a request and its duration. */
    observeRequest(labels: RequestLabels, durationMs: number): void;
  }
  interface FastifyRequest {
    /** How long it waited because its client asked for it. That does not count as its duration. */
    waitedMs: number;
  }
}

function metricsRoute(app: FastifyInstance, registry: Registry, scrape: Scrape): void {
  let rendered: Promise<string> | undefined;
  /** Requests that arrive in one turn of the event loop share the text. */
  const render = async (): Promise<string> => {
    await nextTurn();
    rendered = undefined;
    scrape.begin();
    return registry.metrics();
  };
  app.get(
    '/metrics',
    {
      schema: {
        operationId: 'metrics',
        summary: 'Get Prometheus metrics',
        tags: ['probes'],
        security: [],
        querystring: NoQuery,
        response: {
          200: {
            description: 'Metrics in the Prometheus text format.',
            content: { 'text/plain': { schema: { type: 'string' } } },
          },
        },
      },
      config: { access: 'public', quiet: true },
    },
    async (_request, reply) => {
      rendered ??= render();
      return reply.header('content-type', registry.contentType).send(await rendered);
    },
  );
}
