import { Counter, Gauge, type Registry } from 'prom-client';
import { type ScrubStatus, scrubStates } from '../../residency/integrity/scrubber.js';

/** What the figures are made of. */
interface ScrubSource {
  stats(): { readonly scrub: ScrubStatus; readonly oldestVerifiedAtMs: number | null };
}

/** Figures of the background verification. Times are points in time: ages are the monitor's to compute. */
export function scrubMetrics(registers: Registry[], source: ScrubSource): void {
  const gauge = (name: string, help: string) => new Gauge({ name: `vram_scrub_${name}`, help, registers });
  const counter = (name: string, help: string) => new Counter({ name: `vram_scrub_${name}_total`, help, registers });
  // The first to be registered is the first to be read, and sets the others.
  new Gauge({
    name: 'vram_scrub_state',
    help: 'What the background verification does: 1 for the state that it is in',
    labelNames: ['state'],
    registers,
    collect() {
      const { scrub, oldestVerifiedAtMs } = source.stats();
      for (const state of scrubStates) this.set({ state }, state === scrub.state ? 1 : 0);
      shardsDone.set(scrub.shardsDone);
      shardsTotal.set(scrub.shardsTotal);
      lastPass.set((scrub.lastPassFinishedAtMs ?? 0) / 1000);
      oldest.set((oldestVerifiedAtMs ?? 0) / 1000);
      for (const [total, value] of [
        [passes, scrub.passes],
        [bytes, scrub.verifiedBytes],
        [failures, scrub.failures],
      ] as const) {
        total.reset();
        total.inc(value);
      }
    },
  });
  const shardsDone = gauge('shards_done', 'Shards that had their turn in the pass under way, or in the last one');
  const shardsTotal = gauge('shards_total', 'Shards of that pass');
  const lastPass = gauge('last_pass_timestamp_seconds', 'When the last pass ended; 0: none has yet');
  const oldest = gauge(
    'oldest_verification_timestamp_seconds',
    'The last verification of the sealed shard that has waited longest; 0: no shard is sealed',
  );
  const passes = counter('passes', 'Passes over all shards');
  const bytes = counter('bytes', 'Bytes found right');
  const failures = counter('failures', 'Shards that were found damaged, or could not be verified');
}
