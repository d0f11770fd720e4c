import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { claimsOf } from '../../support/handles.js';
import { native } from '../../support/paths.js';
import { run, temporaryDirectory } from '../../support/process.js';
import { token } from '../../support/worker.js';

const simulator = join(native, 'libcuda_sim.so');

/** Starts a worker without `--simulate`, commits a shard, and returns the claims of its handle and the log. */
async function claimsWith(t: Test, directory: string, env: NodeJS.ProcessEnv) {
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, token, { mode: 0o600 });
  const worker = run(t, directory, ['serve'], {
    WORKER_BIND_ADDR: '127.0.0.1:0',
    WORKER_API_TOKEN_FILE: tokenFile,
    WORKER_CUDA_KERNELS: join(native, 'vram_kernels.sim'),
    ...env,
  });
  const url = await new Promise<string>((resolve, reject) => {
    worker.child.stdout?.on('data', () => {
      const address = /docs +(https?:\S+)\/docs/.exec(worker.output())?.[1];
      if (address !== undefined) resolve(address);
    });
    void worker.exited.then(() => reject(new Error(worker.errors())));
  });
  const headers = { authorization: `Bearer ${token}` };
  const commit = { method: 'PUT', headers, body: Buffer.alloc(5000, 1) };
  const answer = await fetch(`${url}/v1/commit?shard_id=a&model_ref=m`, commit);
  const { handle } = (await answer.json()) as { handle: string };
  return { claims: claimsOf(handle), log: worker.output() };
}

t.test('a simulator that is installed as libcuda.so.1 is signed as simulated', async (t) => {
  const directory = temporaryDirectory(t);
  symlinkSync(simulator, join(directory, 'libcuda.so.1'));
  const { claims, log } = await claimsWith(t, directory, { LD_LIBRARY_PATH: directory });
  t.match(claims, { driver: 'simulated', simulated: true });
  t.match(log, /the GPU is simulated/);
});

t.test('another library, or another kernel module alone, is signed as an override', async (t) => {
  const directory = temporaryDirectory(t);
  // Without the names of the controls, the library exports only what a CUDA driver does.
  const plain = Buffer.from(readFileSync(simulator).toString('latin1').replaceAll('cuSim', 'cuXim'), 'latin1');
  const library = join(directory, 'libcuda.so.1');
  writeFileSync(library, plain);
  for (const env of [{ WORKER_CUDA_DRIVER: library }, { LD_LIBRARY_PATH: directory }]) {
    const { claims } = await claimsWith(t, directory, env);
    t.match(claims, { driver: 'override', simulated: true });
  }
});
