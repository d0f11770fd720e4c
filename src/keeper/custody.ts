import type { DescriptorSocket } from '../vram/descriptor_socket.js';
import type { KeptMemory } from './messages.js';

/**
 * - `absent`: no keeper has the memory.
 * - `unknown`: a keeper may have it, because a connection ended before it said so, or afterwards.
 * - `kept`: the keeper has said that it has all parts, and is connected.
 */
export type Custody = 'absent' | 'unknown' | 'kept';

/** Memory that this process can hand to the keeper. */
export interface KeepableMemory extends KeptMemory {
  /** `Allocation.handOver` of the memory. */
  readonly allocation: { handOver(socket: DescriptorSocket, frame: Uint8Array): Promise<number> };
}

/** What the keeper should hold, and does, of one allocation. */
export class CustodyEntry {
  readonly allocationId: string;
  custody: Custody = 'absent';
  /** Undefined if this process does not have the memory, so that it cannot hand it over again. */
  memory: KeepableMemory | undefined;
  /** A drop is in progress: the memory must not be handed over again. */
  isDropping = false;
  /** Settles when the attempt to hand it over in progress has ended. */
  offer: Promise<void> | undefined;

  constructor(allocationId: string) {
    this.allocationId = allocationId;
  }
}
