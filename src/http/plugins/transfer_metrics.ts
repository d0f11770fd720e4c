import { Counter, Gauge, type Registry } from 'prom-client';
import type { PullQueue } from '../../pulls/pull_queue.js';
import type { Uploads } from '../../uploads/uploads.js';
import { setCounter } from './metric_values.js';

/** Metrics of the pulls of whole models, and of resumable uploads. */
export function transferMetrics(registry: Registry, pulls: PullQueue, uploads: Uploads): void {
  const registers = [registry];
  new Gauge({
    name: 'vram_pulls',
    help: 'Pulls by state, with those that ended lately',
    labelNames: ['state'],
    registers,
    collect() {
      for (const [state, count] of Object.entries(pulls.stats.byState)) this.set({ state }, count);
    },
  });
  new Counter({
    name: 'vram_pulls_ended_total',
    help: 'Pulls that ended, by outcome',
    labelNames: ['outcome'],
    registers,
    collect() {
      this.reset();
      for (const [outcome, count] of pulls.stats.outcomes) this.inc({ outcome }, count);
    },
  });
  new Counter({
    name: 'vram_pull_fetched_bytes_total',
    help: 'Bytes of files received for pulls; a file that is fetched twice counts twice',
    registers,
    collect() {
      setCounter(this, pulls.stats.fetchedBytes);
    },
  });
  new Gauge({
    name: 'vram_uploads_open',
    help: 'Resumable uploads that hold memory, by state',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      for (const [state, count] of Object.entries(uploads.openByState)) this.set({ state }, count);
    },
  });
}
