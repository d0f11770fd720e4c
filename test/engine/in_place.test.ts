/** A C++ program that uses libllama, as node-llama-cpp distributes it, on attached shards. */
import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { attachLibrary, buildAttachLibrary } from '../support/attach_library.js';
import { unlessInstalled } from '../support/installed.js';
import { root, tests } from '../support/paths.js';
import { temporaryDirectory } from '../support/process.js';
import { options, packages, startWithModel, writeModel } from './scene.js';

const execute = promisify(execFile);

/** The prebuilt libraries of llama.cpp. */
const libraries = join(packages, '@node-llama-cpp/linux-x64/bins/linux-x64');
/** A bundle of the sources that they were built from, for the headers. */
const sources = join(packages, 'node-llama-cpp/llama/gitRelease.bundle');

/** The tensors of two layers, the embeddings, the output and its norm. */
const allWeights = 2 * 9 + 3;

/** Compiles the program. */
async function compile(directory: string): Promise<string> {
  const clone = join(directory, 'llama.cpp');
  const program = join(directory, 'in_place');
  await execute('git', ['clone', '--quiet', '--no-checkout', sources, clone]);
  await execute('git', ['-C', clone, 'checkout', '--quiet', 'HEAD', '--', 'include', 'ggml/include']);
  const headers = ['-isystem', join(clone, 'include'), '-isystem', join(clone, 'ggml/include')];
  const llama = ['-l:libllama.v0.4.0.so', '-l:libggml.v0.4.0.so', '-l:libggml-base.so'];
  const folders = [libraries, dirname(attachLibrary)].flatMap((folder) => [`-L${folder}`, `-Wl,-rpath,${folder}`]);
  const own = [`-I${join(root, 'clients/c/include')}`, join(tests, 'engine/in_place.cpp'), '-o', program];
  const flags = ['-std=c++17', '-O1', '-Wall', '-Wextra', '-Werror'];
  await execute('g++', [...flags, ...headers, ...own, ...folders, ...llama, '-lvram_attach']);
  return program;
}

interface Result {
  readonly tokens: readonly number[];
  readonly weights: number;
  readonly in_place: number;
}

t.test(
  'libllama takes all tensors of a shard in place',
  { ...unlessInstalled('g++', 'git'), ...options },
  async (t) => {
    await buildAttachLibrary();
    const directory = temporaryDirectory(t);
    const program = await compile(directory);
    const run = async (...args: readonly string[]): Promise<Result> => {
      const env = { ...process.env, CUDA_SIM_DEVICES: '512MiB,512MiB' };
      return JSON.parse((await execute(program, [libraries, ...args], { env })).stdout);
    };

    for (const [mode, mib, title] of [
      ['path', 60, 'by the path of a shard of one part'],
      ['tensors', 140, 'by the addresses of a shard of several parts'],
    ] as const) {
      await t.test(title, async (t) => {
        const model = writeModel(t, mib << 20);
        const { attach } = await startWithModel(t, model);
        const fromFile = await run('file', model.path);
        t.match(fromFile, { weights: allWeights, in_place: 0 });
        const attached = await run(mode, attach.socketPath, attach.driverPath, attach.shardId);
        t.match(attached, { weights: allWeights, in_place: allWeights });
        t.same(attached.tokens, fromFile.tokens);
      });
    }
  },
);
