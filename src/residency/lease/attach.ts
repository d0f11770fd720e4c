import type { Actor } from '../../audit/actor.js';
import { WorkerError } from '../../errors.js';
import type { Digest } from '../../seal/digest.js';
import { earlier, isNotBefore, type Moment } from '../../vram/moment.js';
import type { Verifier } from '../integrity/verifier.js';
import type { LeaseHolder, LeaseNotes } from '../state/lease.js';
import type { Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { ensureExported } from './first_export.js';
import { LeaseGrant } from './grant.js';
import { listLease } from './listed_leases.js';
import { leaseFields } from './snapshot.js';
import { requireUsable } from './usable.js';

/** A shard: by its id, or by its place in a model. */
export type ShardName = { readonly shardId: string } | { readonly modelRef: string; readonly shardIndex: number };

/** A request to attach a shard, and what must be true of it. */
export interface AttachRequest extends LeaseNotes {
  readonly name: ShardName;
  readonly gpuUuid?: string | undefined;
  readonly expectedTreeDigest?: Digest | undefined;
  /** The shard is verified first if its last verification is older, counted from `askedAt`. */
  readonly maxAgeSeconds?: number | undefined;
  readonly askedAt: Moment;
  readonly actor: Actor;
}

/**
 * Grants a process a lease on a shard. The first lease makes the shard an exported one, with a new handle.
 * @throws WorkerError NOT_FOUND, SHARD_BUSY, SHARD_CONFLICT, DEVICE_MISMATCH, DIGEST_MISMATCH, NOT_EXPORTABLE,
 * SEAL_VERIFICATION_FAILED, RATE_LIMITED, AUDIT_UNAVAILABLE, STARTING, DRAINING, and the driver's errors
 */
export async function attach(
  worker: WorkerState,
  verifier: Verifier,
  holder: LeaseHolder,
  request: AttachRequest,
): Promise<LeaseGrant> {
  worker.requireOpenToClients();
  if (holder.peer.hasEnded) throw new WorkerError('FORBIDDEN', 'The process that connected has ended');
  const shard = find(worker, request);
  requireWanted(shard, request);
  await refresh(shard, verifier, request);
  worker.requireOpenToClients();
  requireWanted(shard, request);
  const { nonce, label } = request;
  const lease = worker.leases.grant(shard, holder, { nonce, label });
  try {
    const memory = await memoryOf(shard);
    await ensureExported(worker, shard, request.actor);
    const fields = { ...leaseFields(lease), nonce };
    const entry = worker.shardAudit.appendRequired('LeaseGranted', shard, fields, request.actor);
    // Neither waits for the other. Both are on disk before the memory is sent.
    await Promise.all([entry, listLease(worker, lease)]);
    return new LeaseGrant(lease, memory, worker.signer);
  } catch (error) {
    if (lease.state === 'granted') lease.end('not_delivered');
    throw worker.driverHealth.report(error);
  }
}

/** The named shard. Of several replicas, one that can be attached. @throws WorkerError NOT_FOUND */
function find({ shards }: WorkerState, { name, gpuUuid }: AttachRequest): Shard {
  if ('shardId' in name) return shards.require(name.shardId);
  const replicas = shards.ofModel(name.modelRef).filter(({ identity }) => identity.shardIndex === name.shardIndex);
  const onDevice = replicas.filter(({ memory }) => gpuUuid === undefined || memory.uuid === gpuUuid);
  const usable = onDevice.find((shard) => shard.state === 'sealed' && shard.exportable && !shard.releaseRequested);
  const found = usable ?? onDevice[0] ?? replicas[0];
  if (found !== undefined) return found;
  throw new WorkerError('NOT_FOUND', 'The shard does not exist');
}

function requireWanted(shard: Shard, { gpuUuid, expectedTreeDigest }: AttachRequest): void {
  const { treeDigest } = requireUsable(shard);
  if (gpuUuid !== undefined && gpuUuid !== shard.memory.uuid) {
    throw new WorkerError('DEVICE_MISMATCH', `The shard is on the GPU ${shard.memory.uuid}`);
  }
  if (expectedTreeDigest !== undefined && expectedTreeDigest !== treeDigest) {
    throw new WorkerError('DIGEST_MISMATCH', `The shard has the tree digest ${treeDigest}, not the expected one`);
  }
  if (shard.exportable) return;
  throw new WorkerError('NOT_EXPORTABLE', 'The memory of this shard cannot be shared');
}

async function refresh(shard: Shard, verifier: Verifier, request: AttachRequest): Promise<void> {
  const { maxAgeSeconds, askedAt, actor } = request;
  if (maxAgeSeconds === undefined) return;
  const notBefore = earlier(askedAt, maxAgeSeconds * 1000);
  const isRecent = () => shard.phase.state === 'sealed' && isNotBefore(shard.phase.seal.verifiedAt, notBefore);
  if (isRecent()) return;
  await verifier.run(shard, actor, notBefore);
  if (!isRecent()) throw new WorkerError('SEAL_VERIFICATION_FAILED', 'The shard could not be verified');
}

async function memoryOf(shard: Shard) {
  const { allocation } = shard;
  if (allocation === undefined) throw new WorkerError('SHARD_BUSY', `The shard is ${shard.state}`);
  return { allocation, layout: await allocation.layout() };
}
