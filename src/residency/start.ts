import { FileCalls } from '../storage/file_calls.js';
import { Driver } from '../vram/driver.js';
import { selfTestBytes } from '../vram/self_test.js';
import { slotsPerCommit } from './commit/ingest.js';
import type { Restore } from './commit/restore.js';
import type { Orphans } from './lease/orphans.js';
import type { KeeperOptions } from './options.js';
import { maxWritersOf } from './options.js';
import { releaseLocks } from './release.js';
import { ReleaseRetries } from './release_retries.js';
import { HashFiles } from './state/hash_files.js';
import { selfTestSlots } from './state/self_tests.js';
import type { WorkerState } from './state/worker_state.js';

/**
 * Opens the audit log, the manifest and the devices of a worker. Returns the restore of the previous process's shards, which
 * has not begun; undefined without a manifest. @throws FileInUseError, FileTimeoutError, ManifestError, VramError; then nothing stays open
 */
export async function start(worker: WorkerState, orphans: Orphans): Promise<Restore | undefined> {
  const files = new FileCalls(worker.options.fileTimeoutSeconds);
  try {
    await worker.openAudit();
    const restore = await openManifest(worker, orphans, files);
    await openDriver(worker, restore?.slots ?? 0);
    // The worker starts even if the audit log cannot be written. Until it can, changes are refused and `ready` gives the reason.
    const { signer } = worker;
    const fields = { worker_id: signer.workerId, boot_id: signer.bootId, driver: signer.driver };
    await worker.audit.appendBestEffort('WorkerStarted', 'info', fields);
    return restore;
  } catch (error) {
    worker.keeper?.close();
    // The locks of a file system that hangs cannot be released: they end with the process.
    await files.run('the locks', () => releaseLocks(worker)).catch(() => undefined);
    throw error;
  }
}

async function openManifest(worker: WorkerState, orphans: Orphans, files: FileCalls): Promise<Restore | undefined> {
  const { manifest, keeper } = worker.options;
  if (manifest === undefined) return undefined;
  const { openRestore } = await import('./commit/restore.js');
  const restore = await files.run('WORKER_MANIFEST', () => openRestore(manifest, worker, orphans));
  if (keeper !== undefined) await openKeeper(worker, manifest, keeper);
  return restore;
}

/** Begins to connect. Only the restore waits for it. */
async function openKeeper(worker: WorkerState, manifest: string, keeper: KeeperOptions): Promise<void> {
  const { KeeperClient } = await import('../keeper/keeper_client.js');
  const { libraryPath } = worker.options;
  worker.hashFiles = new HashFiles(manifest);
  worker.keeper = new KeeperClient({
    ...keeper,
    workerId: worker.signer.workerId,
    libraryPath,
    log: (level, message, fields) => worker.log(level, message, fields),
  });
}

async function openDriver(worker: WorkerState, restoreSlots: number): Promise<void> {
  const { options, driverHealth } = worker;
  const slots = options.commitSlots + restoreSlots;
  const driver = await Driver.open({
    ...options,
    maxAllocationBytes: Math.max(options.maxModelBytes, selfTestBytes),
    stagingSlots: slots * slotsPerCommit + selfTestSlots,
    spareSlots: maxWritersOf(options, false),
    onHang: (error) => driverHealth.markLost(error),
  });
  try {
    await worker.adopt(driver);
  } catch (error) {
    await driver.close().catch(() => undefined);
    throw error;
  }
}

/** Runs the worker's periodic work and that of `parts`. The timer does not keep the process alive. */
export function everySecond(worker: WorkerState, parts: readonly { tick(): unknown }[]): NodeJS.Timeout {
  const all = [worker, new ReleaseRetries(worker), ...parts];
  return setInterval(() => {
    for (const part of all) void part.tick();
  }, 1000).unref();
}
