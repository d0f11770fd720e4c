import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { attachLibrary, buildAttachLibrary } from '../../support/attach_library.js';
import { installNodeClient } from '../../support/node_package.js';
import { native, root } from '../../support/paths.js';
import { startProcess, temporaryDirectory } from '../../support/process.js';
import { trimmedLinesAs } from '../../support/trimmed.js';

const execute = promisify(execFile);
const directory = temporaryDirectory(t);
let files: string[] = [];

t.before(async () => {
  files = await installNodeClient(directory);
});

const readme = readFileSync(join(root, 'clients/node/README.md'), 'utf8');
const typescript = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
const strict = ['--strict', '--exactOptionalPropertyTypes', '--module', 'nodenext', '--target', 'es2023'];

/** Compiles a program that uses the package. */
async function compile(name: string, program: string, flags: readonly string[] = []): Promise<string> {
  writeFileSync(join(directory, `${name}.mts`), program);
  await execute(process.execPath, [typescript, ...strict, '--types', 'node', ...flags, `${name}.mts`], {
    cwd: directory,
  });
  return join(directory, `${name}.mjs`);
}

t.test('the package has the compiled files and the README, and no sources or tests', async (t) => {
  const expected = ['README.md', 'package.json', 'dist', 'dist/index.js', 'dist/index.d.ts', 'dist/http/api.d.ts'];
  for (const file of expected) t.ok(files.includes(file), file);
  t.same(
    files.filter((file) => /^(src|test|node_modules)|generate|tsconfig/.test(file)),
    [],
  );
});

t.test('the types say which calls and fields are wrong', async () => {
  await compile(
    'types',
    `import { type AttachEvent, attach, connect, type ErrorCode, WorkerClient } from '@vram-residency/client';
    const client = new WorkerClient({ url: 'http://127.0.0.1:8001', token: async () => 'x' });
    export async function use(): Promise<void> {
      const plan = await client.plan({ model_ref: 'm', model_bytes: 1, shard_layout: 'single' });
      const needed: number | undefined = plan.reason?.needed_bytes;
      // @ts-expect-error: a typo
      await client.plan({ model_ref: 'm', model_byte: 1, shard_layout: 'single' });
      // @ts-expect-error: model_ref is missing
      await client.upload({ shard_id: 'a' }, new Uint8Array(1));
      await client.upload({ shard_id: 'a', model_ref: 'm', exportable: true }, new Blob(['x']));
      // @ts-expect-error: an unknown state
      if ((await client.shard('a')).state === 'seald') return;
      const code: ErrorCode = 'SHARD_BUSY';
      // @ts-expect-error: an unknown code
      const other: ErrorCode = 'BUSY';
      await using lease = await attach({ shardId: 'a', timeoutMs: 100 });
      const address: bigint = lease.address;
      // @ts-expect-error: read-only
      lease.handle = '';
      for await (const { type, lease: one } of lease.events()) if (type === 'corrupt') console.log(one?.leaseId);
      // @ts-expect-error: an unknown option
      await using connection = await connect({ socket: '/x' });
      connection.on('event', (event: AttachEvent) => console.log(event.deadlineMs, needed, code, other, address));
      const { data } = await client.http.GET('/v1/shards', { params: { query: { limit: 1 } } });
      const total: number | undefined = data?.shards[0]?.vram_bytes;
      console.log(total);
    }`,
    ['--noEmit'],
  );
});

t.test('the README programs print the documented output', async (t) => {
  await buildAttachLibrary();
  const socket = join(directory, 'attach.sock');
  const { url } = await startProcess(t, directory, { WORKER_ATTACH_SOCKET: socket });
  const numbers = Array.from({ length: 200_000 }, (_, index) => `${index + 1}\n`);
  writeFileSync(join(directory, 'weights.bin'), numbers.join(''));
  // The commands that the tests ran before.
  t.match(readme, /^npm pack -w clients\/node .*\nmake -C clients\/c /m);
  const programs = [...readme.matchAll(/```js\n(.*?)```\n```text\n(.*?)```/gs)];
  t.equal(programs.length, 2);
  for (const [index, [, program = '', shown = '']] of programs.entries()) {
    const here = program
      .replaceAll('http://127.0.0.1:8001', url)
      .replaceAll('/run/vram-residency/attach.sock', socket)
      .replaceAll('cuda/build/libcuda_sim.so', join(native, 'libcuda_sim.so'))
      .replaceAll('clients/c/build/libvram_attach.so.1', attachLibrary);
    const compiled = await compile(`readme${index}`, here);
    const env = { PATH: process.env.PATH, CUDA_SIM_DEVICES: '256MiB,256MiB' };
    const { stdout } = await execute(process.execPath, [compiled], { cwd: directory, env });
    t.equal(trimmedLinesAs(shown, stdout), shown);
  }
});
