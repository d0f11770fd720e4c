import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemActor } from '../../src/audit/actor.js';
import { momentNow } from '../../src/vram/moment.js';
import { patternBytes } from '../support/bytes.js';
import { flip, locate, memoryOf } from '../support/damage.js';
import { mebibyte, post, upload } from '../support/requests.js';
import { onSimulator } from '../support/simulator.js';
import { until } from '../support/until.js';
import { startWorker } from '../support/worker.js';
import { scale } from './scale.js';
import { patient } from './shed.js';

// Read by the simulator when the first worker starts.
const directory = t.testdir({ memory: {}, models: {} });
process.env.CUDA_SIM_DIR = join(directory, 'memory');
process.env.CUDA_SIM_ENGINE = 'fast';

const blockBytes = 4096;
const groupBytes = 512 * 1024;
const bytes = patternBytes(mebibyte + 5);
const blocks = Math.ceil(bytes.length / blockBytes);
const total = scale(100, 10_000);

interface Flip {
  readonly offset: number;
  readonly bit: number;
}

/** Yields pseudo-random integers in [0, limit), the same in every run. */
function* numbers(): Generator<number, never, number> {
  let state = 7;
  for (let limit = yield 0; ; ) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    limit = yield Math.floor((state / 2 ** 32) * limit);
  }
}
const source = numbers();
source.next(0);
const below = (limit: number): number => source.next(limit).value;
const anywhere = (): Flip => ({ offset: below(bytes.length), bit: below(8) });

/** The damage of one round: the first and the last byte, then every block in turn, then 1, 2 or 8 bits anywhere. */
function damageOf(round: number): readonly Flip[] {
  if (round === 0) return [{ offset: 0, bit: 0 }];
  if (round === 1) return [{ offset: bytes.length - 1, bit: 7 }];
  const block = Math.floor(((round - 2) * blocks) / Math.min(blocks, total / 2));
  if (block < blocks) {
    const offset = block * blockBytes;
    return [{ offset: offset + below(Math.min(blockBytes, bytes.length - offset)), bit: below(8) }];
  }
  if (round % 4 === 3) return Array.from({ length: 8 }, (_, bit) => ({ offset: round % bytes.length, bit }));
  const distinct = new Map<string, Flip>();
  for (const count = [1, 2, 8][round % 3] ?? 1; distinct.size < count; ) {
    const one = anywhere();
    distinct.set(`${one.offset}.${one.bit}`, one);
  }
  return [...distinct.values()];
}

/** The ranges that a verification must report: the 512 KiB groups of these bytes, with adjacent ones merged. */
function rangesOf(flips: readonly Flip[]): { offset: number; length: number }[] {
  const groups = [...new Set(flips.map(({ offset }) => Math.floor(offset / groupBytes)))].sort((a, b) => a - b);
  const ranges: { offset: number; length: number }[] = [];
  for (const group of groups) {
    const offset = group * groupBytes;
    const length = Math.min(groupBytes, bytes.length - offset);
    const last = ranges.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else ranges.push({ offset, length });
  }
  return ranges;
}

t.test(
  'every flipped bit is detected, located, and repaired if the shard has a source file',
  onSimulator,
  async (t) => {
    const models = join(directory, 'models');
    mkdirSync(models, { recursive: true });
    writeFileSync(join(models, 'model.bin'), bytes);
    const worker = await startWorker(t, { env: { ...patient, WORKER_MODEL_DIR: models } });
    const from = { type: 'file', path: 'model.bin' };
    await post(worker, '/v1/commit', { shard_id: 'file', model_ref: 'm', source: from });
    await upload(worker, 'upload', bytes, { gpu_device: '1' });
    const starts = [locate(bytes, 0), locate(bytes, 1)] as const;
    const whole = () =>
      readFileSync(memoryOf(0))
        .subarray(starts[0], starts[0] + bytes.length)
        .equals(bytes);
    let [handle, found, ranges, repaired] = ['', 0, 0, 0];
    for (let round = 0; round < total; round++) {
      const flips = damageOf(round);
      flip(starts[0], flips, 0);
      const report = await worker.residency.verify('file', systemActor);
      if (!report.verified && report.reason === 'damaged') found++;
      if (JSON.stringify(report.corruptRanges) === JSON.stringify(rangesOf(flips))) ranges++;
      await until(() => worker.residency.shard('file').state === 'sealed');
      const reporter = await worker.residency.ready({ withHandles: true, actor: systemActor, askedAt: momentNow() });
      const [current] = (await reporter()).handles;
      if (current === undefined || current.seal.handle === handle) continue;
      handle = current.seal.handle;
      if (whole() && worker.residency.verifyHandle(handle).valid) repaired++;
    }
    t.comment(`figure: flips detected ${found} of ${total}`);
    t.comment(`figure: ranges correct ${ranges} of ${total}`);
    t.comment(`figure: repaired from the file ${repaired} of ${total}`);
    t.same({ found, ranges, repaired }, { found: total, ranges: total, repaired: total });

    // An uploaded shard has no source file, so its damage is detected and not repaired.
    flip(starts[1], damageOf(0), 1);
    t.match(await worker.residency.verify('upload', systemActor), { verified: false, reason: 'damaged' });
    t.equal(worker.residency.shard('upload').state, 'corrupt');
  },
);
