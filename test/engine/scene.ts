import { existsSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Test } from 'tap';
import { WorkerClient } from '../../clients/node/src/index.js';
import { attachLibrary } from '../support/attach_library.js';
import { native, tests } from '../support/paths.js';
import { startProcess, temporaryDirectory } from '../support/process.js';
import { writeRandomModel } from './random_model.js';
import { smallVocabulary, vocabularyOf } from './vocabulary.js';

/** The packages of this folder. */
export const packages = join(tests, 'engine', 'node_modules');
const isInstalled = existsSync(join(packages, 'node-llama-cpp'));

/** Options of a test that needs the engine. */
export const options = { timeout: 120_000, ...(isInstalled ? {} : { skip: 'run npm ci in test/engine' }) };

export interface Model {
  readonly path: string;
  readonly bytes: number;
}

/** Writes a random model of about `bytes`. The vocabulary is that of the GGUF file `ENGINE_VOCABULARY`, or a small one. */
export function writeModel(t: Test, bytes: number): Model {
  const { ENGINE_VOCABULARY } = process.env;
  const vocabulary = ENGINE_VOCABULARY ? vocabularyOf(ENGINE_VOCABULARY) : smallVocabulary();
  const path = join(temporaryDirectory(t), 'random.gguf');
  writeRandomModel(path, { vocabulary, bytes, seed: 7 });
  return { path, bytes: statSync(path).size };
}

/** Starts a worker that has a model in one shard. */
export async function startWithModel(t: Test, { path }: Model, env: NodeJS.ProcessEnv = {}) {
  const home = temporaryDirectory(t);
  const socketPath = join(home, 'attach.sock');
  const settings = {
    WORKER_ATTACH_SOCKET: socketPath,
    WORKER_MODEL_DIR: dirname(path),
    CUDA_SIM_DEVICES: '512MiB,512MiB',
    ...env,
  };
  const worker = await startProcess(t, home, settings);
  const http = new WorkerClient({ url: worker.url, token: worker.authorization.replace('Bearer ', '') });
  const source = { type: 'file', path: basename(path) } as const;
  const { shard } = await http.commit({ shard_id: 'model', model_ref: 'random', source, gpu_device: 0 });
  const driverPath = join(native, 'libcuda_sim.so');
  const attach = { shardId: 'model', socketPath, driverPath, libraryPath: attachLibrary };
  return { home, settings, worker, http, shard, attach };
}
