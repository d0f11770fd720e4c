import type { Seal } from './seal.js';
import type { ByteRange, ShardState } from './snapshot.js';

/** The phase of a shard. `repairStatus` completes `Shard … is corrupt: …`. */
export type Phase =
  | { readonly state: 'receiving' }
  /** `seal` is issued, but does not take effect before the manifest lists the shard. */
  | { readonly state: 'sealing'; readonly seal?: Seal }
  | { readonly state: 'sealed'; readonly seal: Seal }
  | {
      readonly state: 'corrupt';
      readonly seal: Seal;
      readonly ranges: readonly ByteRange[];
      readonly repairStatus: string;
    }
  /** `attempt` is null after the driver refused to free the memory: `ReleaseRetries` or a DELETE tries again. */
  | { readonly state: 'releasing'; readonly attempt: Promise<void> | null };

/** A shard's state, its current seal, and the key that signed its handle. */
export interface PhaseKeys {
  readonly state: ShardState;
  readonly seal: Seal | undefined;
  readonly kid: string | undefined;
}

/** The allowed source states and the target state of each transition. Any other call throws INTERNAL. */
export const shardTransitions = {
  receiveAgain: { from: ['receiving', 'sealing'], to: 'receiving' },
  beginSealing: { from: ['receiving'], to: 'sealing' },
  markIssued: { from: ['sealing'], to: 'sealing' },
  markSealed: { from: ['sealing'], to: 'sealed' },
  replaceHandle: { from: ['sealed'], to: 'sealed' },
  markVerified: { from: ['sealed'], to: 'sealed' },
  markCorrupt: { from: ['sealed', 'corrupt'], to: 'corrupt' },
  setRepairStatus: { from: ['corrupt'], to: 'corrupt' },
  markRepaired: { from: ['corrupt'], to: 'sealed' },
  beginRelease: { from: ['receiving', 'sealing', 'sealed', 'corrupt', 'releasing'], to: 'releasing' },
  releaseFailed: { from: ['releasing'], to: 'releasing' },
} as const satisfies Record<string, { from: readonly ShardState[]; to: ShardState }>;

export type Transition = keyof typeof shardTransitions;

/** The current seal. A corrupt shard still has one. */
export const sealIn = (phase: Phase): Seal | undefined =>
  phase.state === 'sealed' || phase.state === 'corrupt' ? phase.seal : undefined;
