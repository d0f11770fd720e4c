import { Counter, Gauge, type Registry } from 'prom-client';
import type { PullQueue } from '../../pulls/pull_queue.js';
import { setCounter } from './lease_metrics.js';

/** Metrics of the pulls of whole models. */
export function pullMetrics(registry: Registry, pulls: PullQueue): void {
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
}
