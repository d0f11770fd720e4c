import { messageDescriptors } from '../ipc/unread_descriptors.js';
import { descriptorShares, maxOpenFiles } from '../runtime/open_files.js';

/** Each needs a descriptor. */
export interface AttachLimits {
  /** Those that have closed with unread memory count too. */
  readonly sessions: number;
  /** So that one user cannot lock out the others. */
  readonly sessionsPerUser: number;
  /** Refused connections that stay open for a moment. */
  readonly refused: number;
  /** Processes that have connections or leases. */
  readonly processes: number;
}

/**
 * Divides the descriptors for attaching processes. One message with memory is sent at a time. With a keeper, as many processes
 * can have leases of an earlier worker, and each of them has a descriptor until it connects.
 */
export function attachLimits({ hasKeeper }: { readonly hasKeeper: boolean }, limit = maxOpenFiles()): AttachLimits {
  const clients = descriptorShares({ attach: true, limit }).attach - messageDescriptors;
  const sessions = Math.min(64, Math.floor(clients / 4));
  const processes = Math.min(16_384, Math.floor((clients - 2 * sessions) / (hasKeeper ? 2 : 1)));
  return { sessions, sessionsPerUser: Math.floor((3 / 4) * sessions), refused: sessions, processes };
}
