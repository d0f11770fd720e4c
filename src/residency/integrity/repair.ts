import { WorkerError } from '../../errors.js';
import { type ModelFile, openBeneath } from '../../vram/file.js';
import { issueSeal, replaceSeal } from '../handle/issue.js';
import type { FileSource, Shard } from '../state/shard.js';
import type { WorkerState } from '../state/worker_state.js';
import { damage, toldRanges } from './verify.js';

/**
 * Repairs a corrupt shard from the file that it came from. Only the damaged ranges are read and written, and only bytes
 * with the hashes that were sealed; then the whole shard is digested where it lies, and sealed anew: a new handle, whose
 * `prev` names the old one. After an error the shard is corrupt still.
 * @throws WorkerError NOT_FOUND, LENGTH_MISMATCH, DIGEST_MISMATCH (the file is gone, or another now),
 * SEAL_VERIFICATION_FAILED (the memory does not keep what is written), POLICY_VIOLATION, AUDIT_UNAVAILABLE, SHARD_BUSY
 * (released meanwhile), and the driver's errors
 */
export async function repairShard(record: Shard, source: FileSource, inventory: WorkerState): Promise<void> {
  const { allocation, phase, vramBytes } = record;
  if (phase.state !== 'corrupt' || allocation === undefined) throw released();
  const { seal, ranges } = phase;
  const goOn = (): void => {
    if (record.phase.state !== 'corrupt') throw released();
  };

  const file = openSource(inventory, source);
  try {
    if (file.bytes !== vramBytes) throw new WorkerError('LENGTH_MISMATCH', 'the file has another length now');
    await allocation.ensureSealed();
    await allocation.attest();
    goOn();
    inventory.appendRequired('RepairStarted', record, { jti: seal.jti, ...toldRanges(ranges) });
    for (const range of ranges) await allocation.repair(file.descriptor, range, seal.groupHashes, goOn);
  } catch (error) {
    await allocation.ensureSealed().catch((unsealed: unknown) => inventory.reportDriverError(unsealed));
    throw error;
  } finally {
    file.close();
  }

  await allocation.attest();
  const hashes = await allocation.groupHashes();
  goOn();
  const left = damage(seal.groupHashes, hashes, vramBytes);
  if (left.length > 0 || allocation.treeDigest(hashes) !== seal.treeDigest) {
    record.phase = { ...phase, ranges: left };
    throw new WorkerError('SEAL_VERIFICATION_FAILED', 'the memory is damaged still, or again');
  }
  replaceSeal(record, issueSeal(record, seal, inventory.signer, seal), seal, inventory);
}

/** Opens the file that a shard comes from. @throws WorkerError INVALID_PARAMS, NOT_FOUND */
export function openSource({ options: { modelDir } }: Pick<WorkerState, 'options'>, { path }: FileSource): ModelFile {
  if (modelDir === undefined) throw new WorkerError('INVALID_PARAMS', 'this worker has no model directory');
  return openBeneath(modelDir, path);
}

const released = (): WorkerError => new WorkerError('SHARD_BUSY', 'the shard is not corrupt any more');
