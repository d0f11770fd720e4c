/** llama.cpp on attached shards. `npm ci` in this folder installs it. */
import { closeSync, mkdirSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { buildAttachLibrary } from '../support/attach_library.js';
import { keeperFiles, startKeeperProcess } from '../support/keeper_process.js';
import { startProcess, temporaryDirectory } from '../support/process.js';
import { until } from '../support/until.js';
import { EngineProcess } from './engine_process.js';
import { options, startWithModel, writeModel } from './scene.js';

/** A shard of up to 64 MiB is one part, and only one part is one file. */
const model = writeModel(t, 60 << 20);
/** The tokens of an engine that loads the file. */
let expected: readonly number[] = [];
/** The growth of such an engine's own memory, if it maps the file. */
let usualGrowth = 0;

t.before(buildAttachLibrary);

t.test('an engine reads the file', options, async (t) => {
  const mapping = new EngineProcess(t);
  const { tokens, grown } = await mapping.load({ path: model.path }, true);
  t.equal(tokens.length, 24);
  t.ok(new Set(tokens).size > 3, 'the tokens depend on the weights');
  expected = tokens;
  usualGrowth = grown;
  mapping.kill();

  const copying = new EngineProcess(t);
  const copied = await copying.load({ path: model.path }, false);
  t.same(copied.tokens, expected);
  t.ok(copied.grown > usualGrowth + 0.9 * model.bytes, 'a copy of the model shows in its own memory');
  copying.kill();
});

t.test('tokens from the attached shard equal those from the file, with mmap and without', options, async (t) => {
  const { attach } = await startWithModel(t, model);
  const mapping = new EngineProcess(t);
  const inPlace = await mapping.load({ attach }, true);
  t.same(inPlace.tokens, expected);
  t.ok(inPlace.grown < usualGrowth + model.bytes / 4, `its own memory grew by ${inPlace.grown >> 20} MiB`);
  const { mappedMemfd, state } = await mapping.status();
  t.ok(mappedMemfd >= 2 * model.bytes, 'the lease and the engine map the shard');
  t.equal(state, 'active');
  mapping.kill();

  const copying = new EngineProcess(t);
  t.same((await copying.load({ attach }, false)).tokens, expected);
});

t.test('after kill -9 of the engine, a new one attaches without a reload', options, async (t) => {
  const { http, shard, attach } = await startWithModel(t, model);
  const first = new EngineProcess(t);
  await first.load({ attach }, true);
  const { allocationId } = await first.status();
  t.equal((await http.leases()).leases.length, 1);
  first.kill();
  await until(async () => (await http.leases()).leases.length === 0, 'the lease ends with the process');

  const second = new EngineProcess(t);
  t.same((await second.load({ attach }, true)).tokens, expected);
  t.match(await second.status(), { allocationId });
  t.match(await http.shard('model'), { sealed_at: shard.sealed_at, state: 'sealed' });
});

t.test('after kill -9 of the worker, the engine keeps generating', options, async (t) => {
  const { worker, attach } = await startWithModel(t, model);
  const engine = new EngineProcess(t);
  await engine.load({ attach }, true);
  worker.child.kill('SIGKILL');
  await worker.exited;
  await until(async () => (await engine.status()).state === 'orphaned');
  t.same(await engine.generate(), expected);
});

t.test('a worker with a keeper takes the memory up again after kill -9, and so do engines', options, async (t) => {
  const keeper = keeperFiles(temporaryDirectory(t));
  await startKeeperProcess(t, keeper);
  const env = { ...keeper.env, WORKER_MANIFEST: join(temporaryDirectory(t), 'manifest.json') };
  const { home, settings, worker, attach } = await startWithModel(t, model, env);
  const engine = new EngineProcess(t);
  await engine.load({ attach }, true);
  const { allocationId, handle } = await engine.status();
  worker.child.kill('SIGKILL');
  await worker.exited;
  t.same(await engine.generate(), expected);

  await startProcess(t, home, settings);
  await until(async () => (await engine.status()).events.length >= 2, 'the engine resumes its lease');
  const resumed = await engine.status();
  t.match(resumed, { allocationId, state: 'active', events: ['orphaned', 'resumed'] });
  t.not(resumed.handle, handle, 'the handle is that of the new worker');
  t.same(await engine.generate(), expected);
  const second = new EngineProcess(t);
  t.same((await second.load({ attach }, true)).tokens, expected);
  t.match(await second.status(), { allocationId }, 'a new engine gets the same memory');
});

t.test('after damage and repair, the same engine generates the same tokens', options, async (t) => {
  const memory = join(temporaryDirectory(t), 'memory');
  mkdirSync(memory, { mode: 0o700 });
  const { http, attach } = await startWithModel(t, model, { CUDA_SIM_DIR: memory });
  const engine = new EngineProcess(t);
  t.same((await engine.load({ attach }, true)).tokens, expected);

  damage(join(memory, readdirSync(memory).find((name) => /^gpu0-\d+\.vram$/.test(name)) ?? ''));
  t.notSame(await engine.generate(), expected, 'the engine reads the damage in place');
  t.match(await http.verify('model'), { verified: false });
  await until(async () => (await http.shard('model')).state === 'sealed', 'the worker repairs the shard');
  t.match(await http.ready(), { ready: true });
  t.same(await engine.generate(), expected);
  await until(async () => (await engine.status()).events.length >= 2, 'the engine got no events');
  t.match((await engine.status()).events, ['corrupt', 'repaired']);
});

/** Inverts 8 MiB in the middle of a file: weights of a layer. */
function damage(file: string): void {
  const bytes = Buffer.alloc(8 << 20);
  const descriptor = openSync(file, 'r+');
  const start = Math.floor(model.bytes / 2);
  readSync(descriptor, bytes, 0, bytes.length, start);
  for (let index = 0; index < bytes.length; index++) bytes[index] = (bytes[index] ?? 0) ^ 0x8c;
  writeSync(descriptor, bytes, 0, bytes.length, start);
  closeSync(descriptor);
}
