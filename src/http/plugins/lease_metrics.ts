import { Counter, Gauge, Histogram, type Registry } from 'prom-client';
import type { ResidencyObserver } from '../../residency/state/observer.js';
import type { ResidencyStats } from '../../residency/status/stats.js';
import { bucketsSeconds } from './metric_values.js';

/** Metrics of the memory that other processes have. */
export function leaseMetrics(registry: Registry, stats: () => ResidencyStats): void {
  const registers = [registry];
  new Gauge({
    name: 'vram_leases',
    help: 'Leases of other processes on shards, by state',
    labelNames: ['state'],
    registers,
    collect() {
      const { granted, active, lingering, orphaned } = stats().leasesByState;
      for (const [state, count] of Object.entries({ granted, active, lingering, orphaned })) this.set({ state }, count);
    },
  });
  new Gauge({
    name: 'vram_zombie_bytes',
    help: 'GPU memory of released shards that other processes still have',
    labelNames: ['gpu_device'],
    registers,
    collect() {
      for (const { gpuDevice, bytes } of stats().zombieBytes) this.set({ gpu_device: gpuDevice }, bytes);
    },
  });
}

/** Metrics of hand-overs. */
export function attachMetrics(registry: Registry): Pick<ResidencyObserver, 'attached' | 'attachRefused' | 'readopted'> {
  const registers = [registry];
  const attachSeconds = new Histogram({
    name: 'vram_attach_duration_seconds',
    help: 'Duration of hand-overs to other processes',
    buckets: bucketsSeconds,
    registers,
  });
  const refused = new Counter({
    name: 'vram_attach_refused_total',
    help: 'Refused attaches, and refused connections of attaching processes, by error code',
    labelNames: ['code'],
    registers,
  });
  const readopted = new Counter({
    name: 'vram_readopted_shards_total',
    help: 'Shards whose memory outlived an earlier worker',
    registers,
  });
  return {
    readopted: () => readopted.inc(),
    attached: (seconds) => attachSeconds.observe(seconds),
    attachRefused: (code) => refused.inc({ code }),
  };
}
