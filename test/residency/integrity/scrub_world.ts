import type { Test } from 'tap';
import { Scrubber } from '../../../src/residency/integrity/scrubber.js';
import type { ScrubThrottle } from '../../../src/residency/integrity/throttle.js';
import { DeviceMemory } from '../../../src/residency/state/device_memory.js';
import { MemoryGrant } from '../../../src/residency/state/memory_grant.js';
import { Shard } from '../../../src/residency/state/shard.js';
import { Shards } from '../../../src/residency/state/shards.js';
import type { VerifyReport } from '../../../src/residency/state/verify_report.js';
import { sealOf } from '../../support/seal.js';
import { until } from '../../support/until.js';

/** Of each shard. */
export const vramBytes = 5;
const figures = { name: 'device', uuid: 'GPU-0', totalBytes: 1e9, freeBytes: 1e9, granularityBytes: 1 };

type Answer = Partial<VerifyReport> | undefined;

/** A scrubber, and a verifier that gives the answers of the test. */
export class ScrubWorld {
  readonly shards = new Shards();
  /** The shards that the scrubber verified, in order. */
  readonly calls: string[] = [];
  readonly entries: string[][] = [];
  readonly ingests = new Set<string>();
  /** How many callers wait for a verification. */
  requested = 0;
  revision = 0;
  answer = async (shard: Shard, _throttle: ScrubThrottle): Promise<Answer> => this.verify(shard);
  readonly scrubber: Scrubber;

  constructor(t: Test, scrubSeconds: number) {
    const verifier = {
      scrub: (shard: Shard, throttle: ScrubThrottle) => {
        this.calls.push(shard.identity.shardId);
        return this.answer(shard, throttle);
      },
    };
    Object.defineProperty(verifier, 'requested', { get: () => this.requested });
    const worker = {
      options: { scrubSeconds, scrubBytesPerSecond: 1024 ** 4 },
      shards: this.shards,
      ingests: this.ingests,
      audit: { appendBestEffort: async (...entry: string[]) => this.entries.push(entry.slice(0, 2)) },
      lifecycle: { bumpRevision: () => this.revision++ },
      driverHealth: { report: (error: unknown) => t.error(error) },
    };
    this.scrubber = new Scrubber(worker as never, verifier as never);
    t.teardown(() => this.scrubber.stop());
  }

  /** Adds a shard that a commit receives. */
  ingest(shardId = 'new'): Shard {
    this.ingests.add(shardId);
    const memory = new DeviceMemory(0, figures, async () => figures);
    const identity = { shardId, modelRef: 'm', shardIndex: 0, totalShards: 1 };
    const shard = new Shard(identity, vramBytes, new MemoryGrant(memory, memory.claim(vramBytes)));
    this.shards.add(shard);
    return shard;
  }

  /** Adds a sealed shard that was verified this long ago. */
  seal(shardId: string, ageMs: number): Shard {
    const shard = this.ingest(shardId);
    this.ingests.clear();
    shard.beginSealing();
    shard.markSealed({ ...sealOf('key'), verifiedAt: { wallMs: 0, monotonicMs: performance.now() - ageMs } });
    return shard;
  }

  verify(shard: Shard): Answer {
    shard.markVerified({ wallMs: 0, monotonicMs: performance.now() });
    return { verified: true, bytes: shard.vramBytes };
  }

  pass = (): Promise<void> => until(() => this.scrubber.status.passes > 0);
}
