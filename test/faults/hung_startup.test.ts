import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Authority } from '../support/certificates.js';
import { native } from '../support/paths.js';
import { run, startProcess, temporaryDirectory } from '../support/process.js';
import { statusOf } from '../support/silent_process.js';
import { onSimulator } from '../support/simulator.js';
import { until } from '../support/until.js';

/** Makes calls on files hang, by the names of the files. See `cuda/test/file_faults.h`. */
const faults = join(native, 'file_faults.so');
const missing = existsSync(faults) ? onSimulator : { skip: '`make -C cuda build/file_faults.so` has not run' };
const [first, second] = ['first', 'second'].map((word) => `${word}-token-0123456789abcdef0123456789`);

/** A folder in which calls hang while `gate` exists, and the environment of a worker for it. */
function hangingFolder(t: Test, timeoutSeconds: number) {
  const directory = temporaryDirectory(t);
  const gate = join(directory, 'gate');
  const file = (name: string, content: string | Uint8Array = String(first)) => {
    writeFileSync(join(directory, name), content, { mode: 0o600 });
    return join(directory, name);
  };
  const shim = { LD_PRELOAD: faults, VRAM_TEST_GATE: gate };
  const env = { ...shim, WORKER_BIND_ADDR: '127.0.0.1:0', WORKER_FILE_TIMEOUT_SECONDS: `${timeoutSeconds}` };
  return { directory, env, file, hang: () => writeFileSync(gate, ''), recover: () => rmSync(gate) };
}

/** The settings of each file that the worker reads at start, in a folder where a call on that file hangs. */
function settingsOf(t: Test, { directory, file }: ReturnType<typeof hangingFolder>): Record<string, NodeJS.ProcessEnv> {
  const { certFile, keyFile, cert, key } = new Authority(t).issue('one');
  const models = join(directory, 'models-hang-stat');
  mkdirSync(models);
  const tls = { WORKER_TLS_CERT_FILE: certFile, WORKER_TLS_KEY_FILE: keyFile };
  return {
    WORKER_MODEL_DIR: { WORKER_MODEL_DIR: models },
    WORKER_API_TOKEN_FILE: { WORKER_API_TOKEN_FILE: file('token-hang-open') },
    WORKER_READ_TOKEN_FILE: { WORKER_READ_TOKEN_FILE: file('read-hang-read') },
    WORKER_SEAL_KEY_FILE: { WORKER_SEAL_KEY_FILE: file('seal-hang-open') },
    WORKER_TLS_CERT_FILE: { ...tls, WORKER_TLS_CERT_FILE: file('cert-hang-read', cert) },
    WORKER_TLS_KEY_FILE: { ...tls, WORKER_TLS_KEY_FILE: file('key-hang-read', key) },
    WORKER_AUDIT_LOG: { WORKER_AUDIT_LOG: join(directory, 'audit-hang-stat') },
    WORKER_MANIFEST: { WORKER_MANIFEST: file('manifest-hang-open', '') },
  };
}

t.test(
  'the start ends with status 74 if the file system of a setting hangs, and names the setting',
  missing,
  async (t) => {
    const folder = hangingFolder(t, 1);
    folder.hang();
    for (const [name, settings] of Object.entries(settingsOf(t, folder))) {
      const { exited, errors } = run(t, folder.directory, ['serve', '--simulate'], { ...folder.env, ...settings });
      t.equal(await exited, 74, name);
      t.equal(errors(), `vram-worker: ${name}: its file system did not respond within 1 seconds\n`);
    }
  },
);

t.test('another process asks the file system first, so that the worker can end', onSimulator, async (t) => {
  const directory = temporaryDirectory(t);
  writeFileSync(join(directory, 'stat'), '#!/bin/sh\nexec /bin/sleep 60\n', { mode: 0o755 });
  const env = {
    PATH: `${directory}:${process.env.PATH}`,
    WORKER_MODEL_DIR: directory,
    WORKER_FILE_TIMEOUT_SECONDS: '1',
  };
  const { exited, errors } = run(t, directory, ['serve', '--simulate'], { ...env, WORKER_BIND_ADDR: '127.0.0.1:0' });
  t.equal(await exited, 74);
  t.match(errors(), /WORKER_MODEL_DIR: its file system did not respond/);
});

t.test('a driver or kernels whose file cannot be opened in time end the start', missing, async (t) => {
  const folder = hangingFolder(t, 60);
  const driver = join(folder.directory, 'driver-hang-open.so');
  const kernels = join(folder.directory, 'kernels-hang-open.sim');
  symlinkSync(join(native, 'libcuda_sim.so'), driver);
  symlinkSync(join(native, 'vram_kernels.sim'), kernels);
  const token = folder.file('token');
  const env = { ...folder.env, WORKER_API_TOKEN_FILE: token, WORKER_DRIVER_TIMEOUT_SECONDS: '1' };
  folder.hang();
  for (const names of [
    [driver, join(native, 'vram_kernels.sim')],
    [join(native, 'libcuda_sim.so'), kernels],
  ]) {
    const [WORKER_CUDA_DRIVER, WORKER_CUDA_KERNELS] = names;
    const { exited, errors } = run(t, folder.directory, ['serve'], { ...env, WORKER_CUDA_DRIVER, WORKER_CUDA_KERNELS });
    t.equal(await exited, 69, errors());
    t.match(errors(), /timed out after 1 s/);
  }
});

t.test('SIGTERM ends a start that waits for a file system', missing, async (t) => {
  const folder = hangingFolder(t, 3600);
  folder.hang();
  const { WORKER_MODEL_DIR: modelDir, WORKER_MANIFEST: manifest } = settingsOf(t, folder);
  const early = run(t, folder.directory, ['serve', '--simulate'], { ...folder.env, ...modelDir });
  // The worker creates the token before it reads it, and checks the model directory first.
  const port = '127.0.0.1:0';
  const later = run(t, folder.directory, ['serve', '--simulate'], {
    ...folder.env,
    ...manifest,
    WORKER_BIND_ADDR: port,
  });
  await until(() => /Server listening/.test(later.output()), 'it listens while the manifest hangs');
  for (const { child, exited } of [early, later]) {
    child.kill('SIGTERM');
    t.equal(await exited, 0);
  }
});

t.test('a reload of a file system that hangs keeps the secrets, and blocks nothing', missing, async (t) => {
  const folder = hangingFolder(t, 1);
  const token = folder.file('token-hang-open');
  const worker = await startProcess(t, folder.directory, { ...folder.env, WORKER_API_TOKEN_FILE: token });
  const opens = (word: string | undefined) => statusOf(`${worker.url}/v1/devices`, { authorization: `Bearer ${word}` });
  const lines = (pattern: RegExp) => worker.output().match(pattern)?.length ?? 0;
  t.equal(await opens(first), 200);
  folder.hang();
  writeFileSync(token, String(second));
  for (let n = 0; n < 100; n++) worker.child.kill('SIGHUP');
  await until(() => lines(/reload failed; keeping the previous version/g) >= 2, 'tokens and seal key fail');
  t.match(worker.output(), /did not respond within 1 seconds/);
  for (let n = 0; n < 20; n++) t.equal(await opens(first), 200);
  t.not(await opens(second), 200);
  t.ok(lines(/reloading secrets/g) < 10, 'the signals share reloads');
  folder.recover();
  await until(async () => (await opens(second)) === 200, 'the next tick reads the new token');
  t.not(await opens(first), 200);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});

t.test('SIGTERM ends the worker while a reload hangs', missing, async (t) => {
  const folder = hangingFolder(t, 3600);
  const token = folder.file('token-hang-open');
  const worker = await startProcess(t, folder.directory, { ...folder.env, WORKER_API_TOKEN_FILE: token });
  folder.hang();
  worker.child.kill('SIGHUP');
  await until(() => /reloading secrets/.test(worker.output()));
  t.equal(await statusOf(`${worker.url}/livez`), 200);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});
