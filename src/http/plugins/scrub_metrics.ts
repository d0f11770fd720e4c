import { Counter, Gauge, type Registry } from 'prom-client';
import { scrubStates } from '../../residency/integrity/scrubber.js';
import type { ResidencyStats } from '../../residency/status/stats.js';
import { setCounter } from './metric_values.js';

/** Metrics of the scrubber. They are points in time, from which Prometheus computes ages. */
export function scrubMetrics(registry: Registry, stats: () => ResidencyStats): void {
  const registers = [registry];
  const gauge = (name: string, help: string) => new Gauge({ name: `vram_scrub_${name}`, help, registers });
  const counter = (name: string, help: string) => new Counter({ name: `vram_scrub_${name}_total`, help, registers });
  // prom-client collects in the order of registration, so this metric can set the others.
  new Gauge({
    name: 'vram_scrub_state',
    help: 'State of the scrubber: 1 for the current state, 0 for the others',
    labelNames: ['state'],
    registers,
    collect() {
      const { scrub, oldestVerifiedAtMs } = stats();
      for (const state of scrubStates) this.set({ state }, state === scrub.state ? 1 : 0);
      shardsDone.set(scrub.shardsDone);
      passShards.set(scrub.shardsTotal);
      lastPass.set((scrub.lastPassFinishedAtMs ?? 0) / 1000);
      oldest.set((oldestVerifiedAtMs ?? 0) / 1000);
      overdue.set(scrub.overdueShards);
      setCounter(passes, scrub.passes);
      setCounter(bytes, scrub.verifiedBytes);
      setCounter(failures, scrub.failures);
    },
  });
  const shardsDone = gauge('shards_done', 'Shards finished in the current or last scrub pass');
  const passShards = gauge('pass_shards', 'Shards in the current or last scrub pass');
  const lastPass = gauge('last_pass_timestamp_seconds', 'End of the last scrub pass; 0 before the first pass ends');
  const oldest = gauge(
    'oldest_verification_timestamp_seconds',
    'Oldest last verification of all sealed shards; 0 if no shard is sealed',
  );
  const overdue = gauge('overdue_shards', 'Sealed shards whose last verification started more than a scrub period ago');
  const passes = counter('passes', 'Scrub passes over all shards');
  const bytes = counter('bytes', 'Bytes that the scrubber verified');
  const failures = counter('failures', 'Shards that the scrubber found corrupt or could not verify');
}
