import { setTimeout as sleep } from 'node:timers/promises';
import { systemActor } from '../../audit/actor.js';
import { messageOf, WorkerError } from '../../errors.js';
import type { KeeperClient } from '../../keeper/keeper_client.js';
import { ensureExported } from '../lease/first_export.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';

/** How long a shutdown waits for the keeper. */
const confirmMs = 1000;

/**
 * Hands the memory of a sealed shard to the keeper, which is an export. Resolves when the keeper has it, or does not answer; the
 * client then tries again until `drop`. Never rejects: a shard is good without a keeper too.
 */
export async function keepShard(worker: WorkerState, shard: Shard): Promise<void> {
  const { keeper } = worker;
  const { layout } = shard;
  if (keeper === undefined || layout === undefined) return;
  const { allocationId } = shard;
  const gpuUuid = shard.memory.uuid;
  const kept = keeper.keep({ allocationId, gpuUuid, layout, allocation: handOverOf(worker, shard) });
  const done = kept.then(
    () => shard.setKept(keeper.custody(allocationId) === 'kept'),
    (error: unknown) => {
      const { shardId } = shard.identity;
      worker.log('warn', 'shard is not kept yet', { shard_id: shardId, detail: messageOf(error) });
    },
  );
  if (keeper.isConnected) await done;
}

/**
 * Takes the memory of a shard back before it is wiped.
 * @throws WorkerError KEEPER_UNAVAILABLE if the keeper may still have it; then nothing changes
 */
export async function dropKept({ keeper }: WorkerState, shard: Shard): Promise<void> {
  if (keeper === undefined || shard.layout === undefined) return;
  // A shutdown that begins now must wipe the memory.
  shard.isDropping = true;
  try {
    await keeper.drop(shard.allocationId);
    shard.setKept(false);
  } finally {
    shard.isDropping = false;
  }
}

/** As `dropKept`, for memory that is freed in any case. A later start drops what remains. Never rejects. */
export async function tryDropKept(worker: WorkerState, shard: Shard): Promise<void> {
  await dropKept(worker, shard).catch((error: unknown) => {
    const { shardId } = shard.identity;
    worker.log('warn', 'the keeper may still hold released memory', { shard_id: shardId, detail: messageOf(error) });
  });
}

/**
 * After a lost connection, asks the keeper once more what it has, before memory that it may have is wiped. Ends by a deadline, and
 * never rejects.
 */
export async function confirmKept(worker: WorkerState): Promise<void> {
  const { keeper, shards } = worker;
  if (keeper === undefined) return;
  const unknown = shards.all().filter(({ allocationId }) => keeper.custody(allocationId) === 'unknown');
  if (unknown.length === 0) return;
  const connected = keeper.connected(confirmMs).catch(() => undefined);
  const confirmed = connected.then(() => Promise.all(unknown.map((shard) => keepShard(worker, shard))));
  await Promise.race([confirmed, sleep(confirmMs, undefined, { ref: false })]);
}

/** Whether the next process can take the memory over. */
export const isKept = (keeper: KeeperClient | undefined, shard: Shard): boolean =>
  shard.layout !== undefined && !shard.isDropping && keeper?.custody(shard.allocationId) === 'kept';

/** The keeper may connect long after the seal. The handle must say that the memory was exported before the descriptors go. */
function handOverOf(worker: WorkerState, shard: Shard) {
  return {
    handOver: async (...transfer: Parameters<NonNullable<Shard['allocation']>['handOver']>): Promise<number> => {
      await ensureExported(worker, shard, systemActor);
      const { allocation } = shard;
      if (allocation === undefined || shard.state !== 'sealed') {
        throw new WorkerError('SHARD_BUSY', `The shard is ${shard.state}`);
      }
      return allocation.handOver(...transfer);
    },
  };
}
