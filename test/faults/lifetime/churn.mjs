// Run by lifetime.test.ts under AddressSanitizer: commits, verifies and releases shards for some seconds, and collects
// garbage as often as possible. AddressSanitizer reports native code that uses freed memory.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemActor } from '../../../dist/audit/actor.js';
import { loadConfig } from '../../../dist/config/load.js';
import { Residency } from '../../../dist/residency/residency.js';
import { Library } from '../../../dist/vram/library.js';

const [native, seconds] = process.argv.slice(2);
const mebibyte = 1024 * 1024;
const lengths = [1, 4096, mebibyte, 3 * mebibyte + 5, 6 * mebibyte];
const directory = mkdtempSync(join(tmpdir(), 'vram-lifetime-'));
for (const length of lengths) writeFileSync(join(directory, `${length}`), Buffer.alloc(length, 7));

const tokenFile = join(directory, 'token');
writeFileSync(tokenFile, 't'.repeat(32), { mode: 0o600 });
const env = { WORKER_API_TOKEN_FILE: tokenFile, WORKER_MODEL_DIR: directory, WORKER_COMMIT_SLOTS: '16' };
const residency = new Residency({
  ...(await loadConfig({ ...env, WORKER_MAX_MODEL_BYTES: `${64 * mebibyte}` }, { simulate: true, directory })),
  driverKind: 'simulated',
  minCudaVersion: 0,
  attach: false,
  libraryPath: join(native, 'libvram.so'),
  driverPath: join(native, 'libcuda_sim.so'),
  kernelsPath: join(native, 'vram_kernels.sim'),
  onLost: (error) => {
    throw error;
  },
});
await residency.start();

const ends = performance.now() + Number(seconds) * 1000;
let cycles = 0;

/** Collects garbage and reuses the freed memory immediately. */
let churned = [];
function churn() {
  globalThis.gc({ type: cycles % 4 === 0 ? 'major' : 'minor' });
  churned = Array.from({ length: 64 }, (_, index) => new Uint8Array(8 << (index % 12)));
  if (performance.now() < ends) setImmediate(churn);
}

async function upload(identity, bytes) {
  const { ingest } = residency.admit({ ...identity, vramBytes: bytes, flatDigest: true }, systemActor);
  await ingest.start();
  for (let sent = 0; sent < bytes; sent += 65536) await ingest.write(Buffer.alloc(Math.min(65536, bytes - sent), 7));
  return ingest.finish();
}

async function client(index) {
  for (let turn = 0; performance.now() < ends; turn++) {
    const bytes = lengths[turn % lengths.length];
    const identity = { shardId: `s-${index}`, modelRef: 'm', shardIndex: 0, totalShards: 1 };
    if (turn % 3 === 0) await upload(identity, bytes);
    else {
      const reference = { type: 'file', path: `${bytes}` };
      await residency.commitSource({ request: { ...identity, flatDigest: true }, reference, actor: systemActor });
    }
    if (turn % 7 === 0) await upload(identity, bytes);
    const { verified } = await residency.verify(identity.shardId, systemActor);
    if (!verified) throw new Error('an untouched shard is damaged');
    await residency.release(identity.shardId, systemActor);
    cycles++;
  }
}

const library = new Library(join(native, 'libvram.so'), { driverTimeoutSeconds: 60, onHang: () => undefined });
const groups = 4096;

/** Calls with buffers that only `Library` refers to. An async function would keep them until the call returns. */
const fold = () =>
  library
    .run('vram_tree_digest', Buffer.alloc(groups * 32), groups, groups * 512 * 1024, Buffer.alloc(32))
    .then(() => (performance.now() < ends ? fold() : undefined));

churn();
await Promise.all(Array.from({ length: 16 }, (_, index) => client(index)).concat(fold()));
await residency.stop();
rmSync(directory, { recursive: true });
console.log(`cycles ${cycles}, and ${churned.length} pieces of garbage`);
