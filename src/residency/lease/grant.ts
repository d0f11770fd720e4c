import { randomUUID } from 'node:crypto';
import { WorkerError } from '../../errors.js';
import type { Transfer } from '../../ipc/outbox.js';
import { signReceipt } from '../../seal/lease_receipt.js';
import type { Allocation } from '../../vram/allocation.js';
import type { DescriptorSocket } from '../../vram/descriptor_socket.js';
import { type PartLayout, partsOf } from '../../vram/part_layout.js';
import type { Lease } from '../state/lease.js';
import type { Signer } from '../state/signer.js';
import { requireUsable } from './usable.js';

/** What a process is handed, and the documents about it. */
export interface LeaseTerms {
  readonly leaseId: string;
  readonly shardId: string;
  readonly handle: string;
  readonly receipt: string;
  readonly vramBytes: number;
  readonly granularityBytes: number;
  readonly allocationId: string;
  /** In the order of the descriptors. */
  readonly parts: readonly { readonly offset: number; readonly length: number }[];
}

/** The right of one process to get the memory of a shard. It is used once, or canceled. */
export class LeaseGrant {
  readonly lease: Lease;
  readonly #allocation: Allocation;
  readonly #layout: PartLayout;
  readonly #signer: Signer;

  constructor(lease: Lease, memory: { allocation: Allocation; layout: PartLayout }, signer: Signer) {
    this.lease = lease;
    this.#allocation = memory.allocation;
    this.#layout = memory.layout;
    this.#signer = signer;
  }

  /**
   * Sends the memory with a frame that describes it. Sends nothing if the socket takes no byte now: the caller may then try
   * again. @throws WorkerError if the shard can no longer be handed over, or the connection failed; nothing was sent then
   */
  async handOver(socket: DescriptorSocket, encode: (terms: LeaseTerms) => Uint8Array): Promise<Transfer> {
    const { lease } = this;
    requireUsable(lease.shard);
    if (lease.state !== 'granted') throw new WorkerError('SHARD_BUSY', 'The lease has ended');
    const frame = encode(this.#terms());
    const transfer = this.#send(socket, frame);
    lease.delivery = transfer.then(ignore, ignore);
    return { frame, sentBytes: await transfer };
  }

  /** How many descriptors the memory has. */
  get descriptorCount(): number {
    return partsOf(this.#layout).length;
  }

  /** The memory was not sent, and will not be. */
  cancel(): void {
    if (this.lease.state === 'granted') this.lease.end('not_delivered');
  }

  async #send(socket: DescriptorSocket, frame: Uint8Array): Promise<number> {
    const { lease } = this;
    const sentBytes = await this.#allocation.handOver(socket, frame);
    // The process may have ended during the call, and the lease with it.
    if (sentBytes > 0 && lease.state === 'granted') lease.markDelivered();
    return sentBytes;
  }

  #terms(): LeaseTerms {
    const { leaseId, shard } = this.lease;
    const { identity, seal, vramBytes, allocationId, memory } = shard;
    return {
      leaseId,
      shardId: identity.shardId,
      handle: seal?.handle ?? '',
      receipt: receiptOf(this.lease, this.#signer),
      vramBytes,
      granularityBytes: memory.granularityBytes,
      allocationId,
      parts: partsOf(this.#layout),
    };
  }
}

/** The signed receipt of a lease, as of now. @throws WorkerError SHARD_BUSY if the shard has no seal */
export function receiptOf({ leaseId, shard, peer, notes }: Lease, { workerId, bootId, key }: Signer): string {
  const { seal, identity, memory } = shard;
  if (seal === undefined) throw new WorkerError('SHARD_BUSY', `The shard is ${shard.state}`);
  const claims = {
    iss: workerId,
    boot_id: bootId,
    jti: randomUUID(),
    iat: Math.floor(Date.now() / 1000),
    lease_id: leaseId,
    handle_jti: seal.jti,
    shard_id: identity.shardId,
    tree_digest: seal.treeDigest,
    gpu_uuid: memory.uuid,
    peer: { uid: peer.uid, gid: peer.gid, pid: peer.pid },
    nonce: notes.nonce,
    last_verified_at: new Date(seal.verifiedAt.wallMs).toISOString(),
  };
  return signReceipt(claims, key);
}

const ignore = (): void => undefined;
