/** The types of `vram_attach.h`, in the order of their numbers, which begin with 1. */
const types = [
  'corrupt',
  'repaired',
  'superseded',
  'releasing',
  'draining',
  'verified',
  'orphaned',
  'resumed',
  'stale',
] as const;

/**
 * - `corrupt`: the worker found damage in the shard, so do not trust its bytes;
 * - `repaired`: the shard has its sealed bytes again;
 * - `superseded`: the shard has a new handle;
 * - `releasing`: the worker releases the shard, so close the lease before the deadline;
 * - `draining`: the worker shuts down;
 * - `verified`: the worker verified the shard;
 * - `orphaned`: the connection ended, and the client reconnects;
 * - `resumed`: the worker took the lease up again;
 * - `stale`: the worker no longer has this memory.
 */
export type AttachEventType = (typeof types)[number];

/** The type with a number of the C library; undefined for one of a later version. */
export function typeOf(value: number): AttachEventType | undefined {
  return types[value - 1];
}
