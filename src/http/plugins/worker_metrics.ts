import { Gauge, type Registry } from 'prom-client';
import { packageVersion } from '../../config/version.js';
import type { Residency } from '../../residency/residency.js';
import type { ResidencyStats } from '../../residency/status/stats.js';

/** Metrics of the worker as a whole: which one it is, and whether it can serve. */
export function workerMetrics(registry: Registry, residency: Residency, stats: () => ResidencyStats): void {
  const registers = [registry];
  const version = packageVersion();
  new Gauge({
    name: 'vram_worker_info',
    help: 'Always 1. The labels describe the worker',
    labelNames: ['worker_id', 'version', 'driver'],
    registers,
    collect() {
      this.set({ worker_id: residency.identity.workerId, version, driver: residency.driver }, 1);
    },
  });
  new Gauge({
    name: 'vram_boot_timestamp_seconds',
    help: 'Start of the process, since the Unix epoch',
    registers,
  }).set(Math.round(performance.timeOrigin) / 1000);
  modelMetrics(registers, stats);
}

function modelMetrics(registers: Registry[], stats: () => ResidencyStats): void {
  const flag = (name: string, help: string, isOn: (stats: ResidencyStats) => boolean) =>
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(isOn(stats()) ? 1 : 0);
      },
    });
  flag('vram_ready', '1 if GET /v1/ready would be true, else 0', ({ isReady }) => isReady);
  flag('vram_audit_writable', '1 if the audit log can be written, else 0', ({ isAuditWritable }) => isAuditWritable);
  new Gauge({
    name: 'vram_models',
    help: 'Models of which a shard exists, by whether they are ready',
    labelNames: ['ready'],
    registers,
    collect() {
      const { ready, other } = stats().models;
      this.set({ ready: 'true' }, ready);
      this.set({ ready: 'false' }, other);
    },
  });
  new Gauge({
    name: 'vram_lost_shards',
    help: 'Shards that a restart could not restore, until a client commits or releases them',
    registers,
    collect() {
      this.set(stats().lostShards);
    },
  });
}
