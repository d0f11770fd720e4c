import { encodeFrame } from '../ipc/frame.js';
import type { LeaseTerms } from '../residency/lease/grant.js';
import type { ResumedLease } from '../residency/lease/lease_service.js';
import type { Residency } from '../residency/residency.js';
import type { LeaseEvent } from '../residency/state/lease.js';
import type { ShardPage } from '../residency/state/shards.js';
import type { ShardSnapshot } from '../residency/state/snapshot.js';

/** The frames that the worker sends. */
export const answers = {
  welcome: ({ identity, driver, simulated, ...residency }: Welcome): Buffer =>
    encodeFrame('welcome', {
      version: 1,
      worker_id: identity.workerId,
      boot_id: identity.bootId,
      driver,
      simulated,
      device: residency.devices.map(({ gpuDevice, uuid }) => `${gpuDevice} ${uuid}`),
    }),

  shards: (id: number, { shards, nextCursor }: ShardPage): Buffer =>
    encodeFrame('shards', { id, shard: shards.map(shardLine), next_cursor: nextCursor }),

  attached: (id: number, terms: LeaseTerms): Buffer =>
    encodeFrame('attached', {
      id,
      lease_id: terms.leaseId,
      shard_id: terms.shardId,
      handle: terms.handle,
      receipt: terms.receipt,
      vram_bytes: terms.vramBytes,
      granularity_bytes: terms.granularityBytes,
      allocation_id: terms.allocationId,
      part: terms.parts.map(({ offset, length }) => `${offset} ${length}`),
    }),

  detached: (id: number): Buffer => encodeFrame('detached', { id }),

  resumed: (id: number, documents: Pick<ResumedLease, 'handle' | 'receipt'>): Buffer =>
    encodeFrame('resumed', { id, ...documents }),

  event: ({ event, leaseId, shardId, handle, deadlineMs }: LeaseEvent): Buffer =>
    encodeFrame('event', {
      event,
      lease_id: leaseId,
      shard_id: shardId,
      ...(handle === undefined ? {} : { handle }),
      ...(deadlineMs === undefined ? {} : { deadline_ms: deadlineMs }),
    }),

  draining: (): Buffer => encodeFrame('event', { event: 'draining' }),
};

/** What a welcome says about the worker. */
export type Welcome = Pick<Residency, 'identity' | 'driver' | 'simulated'> & {
  readonly devices: readonly { readonly gpuDevice: number; readonly uuid: string }[];
};

const shardLine = (shard: ShardSnapshot): string =>
  [
    shard.shardId,
    shard.shardIndex,
    shard.totalShards,
    shard.vramBytes,
    shard.treeDigest ?? '',
    shard.state,
    shard.exportable,
    shard.modelRef,
  ].join(' ');
