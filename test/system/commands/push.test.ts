import { createHash } from 'node:crypto';
import { truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { patternBytes } from '../../support/bytes.js';
import { freePort } from '../../support/free_port.js';
import { run, startProcess, temporaryDirectory, type WorkerProcess } from '../../support/process.js';
import { until } from '../../support/until.js';

const mebibyte = 1024 ** 2;
const digestOf = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** Runs `push` in the directory of the worker. */
function push(t: Test, worker: WorkerProcess, args: readonly string[], url = worker.url) {
  return run(t, worker.directory, ['push', ...args], { VRAM_WORKER_URL: url });
}

interface Listed {
  readonly shards: readonly {
    shard_id: string;
    digest: string;
    state: string;
    model_ref: string;
    gpu_device: number;
  }[];
  readonly devices: readonly { free_bytes: number; total_bytes: number }[];
}

async function get(worker: WorkerProcess, path: 'shards' | 'devices'): Promise<Listed> {
  const answer = await fetch(`${worker.url}/v1/${path}`, { headers: { authorization: worker.authorization } });
  return (await answer.json()) as Listed;
}

interface Proxy {
  readonly url: string;
  /** Bytes that clients sent. */
  readonly sentBytes: () => number;
  /** What the worker answered. */
  readonly answers: () => string;
}

/** A proxy that passes the bytes of clients through `filter`, which may end the connection. */
async function startProxy(t: Test, to: string, filter: (chunk: Buffer, end: () => void) => Buffer): Promise<Proxy> {
  const { port, hostname } = new URL(to);
  const sockets = new Set<Socket>();
  let answers = '';
  let sent = 0;
  const server = createServer((client) => {
    const worker = connect(Number(port), hostname);
    const end = () => {
      client.destroy();
      worker.destroy();
    };
    for (const socket of [client, worker]) {
      sockets.add(socket);
      socket.on('error', end).on('close', end);
    }
    client.on('data', (chunk: Buffer) => {
      sent += chunk.length;
      if (!worker.write(filter(chunk, end))) client.pause();
    });
    worker.on('drain', () => client.resume());
    worker.on('data', (chunk: Buffer) => {
      answers += chunk.toString('latin1');
      client.write(chunk);
    });
  });
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    sentBytes: () => sent,
    answers: () => answers,
  };
}

t.test('files become the shards of one model, with the digest that was computed beforehand', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  const files = [patternBytes(3 * mebibyte), patternBytes(70_000)];
  const names = ['tiny-00001-of-00002.gguf', 'tiny-00002-of-00002.gguf'];
  for (const [index, name] of names.entries()) writeFileSync(join(worker.directory, name), files[index] ?? '');
  const first = push(t, worker, [...names, '--gpu', '1,0']);
  t.equal(await first.exited, 0);
  t.equal(first.output(), files.map((file, i) => `tiny-${i}  sealed  GPU ${1 - i}  ${digestOf(file)}\n`).join(''));
  t.match(first.errors(), /^hashing [\s\S]*hashed tiny-00002[\s\S]*\nsending [\s\S]*sealed tiny-00002/);
  const { shards } = await get(worker, 'shards');
  t.match(
    shards,
    [0, 1].map((index) => ({ shard_id: `tiny-${index}`, model_ref: 'tiny', gpu_device: 1 - index })),
  );
  const again = push(t, worker, [...names, '--gpu', '1,0', '--json']);
  t.equal(await again.exited, 0, 'the same command again');
  const sealed = again
    .output()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === 'sealed');
  t.match(sealed, [{ shard: { shard_id: 'tiny-0' }, handle: /^eyJ/ }, { shard: { shard_id: 'tiny-1' } }]);
  const other = push(t, worker, [names[1] ?? '', '--shard-prefix', 'tiny', '--json']);
  t.equal(await other.exited, 1, 'another file under the same name');
  t.match(other.errors(), /SHARD_CONFLICT: .*vram-worker rm/);
  t.match(other.output(), /"event":"error","problem":{.*"code":"SHARD_CONFLICT"/);
});

t.test('an upload continues after cuts where the worker says that it is', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  const bytes = patternBytes(24 * mebibyte);
  writeFileSync(join(worker.directory, 'm.gguf'), bytes);
  let left = 4 * mebibyte;
  let cuts = 0;
  const offsets: string[] = [];
  const proxy = await startProxy(t, worker.url, (chunk, end) => {
    const [, offset] = /^PATCH .*?upload-offset: (\d+)\r\n/is.exec(chunk.toString('latin1', 0, 1000)) ?? [];
    if (offset !== undefined) offsets.push(offset);
    left -= chunk.length;
    if (left > 0 || cuts === 4) return chunk;
    cuts += 1;
    left = 4 * mebibyte;
    setImmediate(end);
    return chunk;
  });
  const { exited, output, errors } = push(t, worker, ['m.gguf'], proxy.url);
  t.equal(await exited, 0);
  t.match(output(), `m-0  sealed  GPU 0  ${digestOf(bytes)}`);
  t.equal(cuts, 4);
  t.match(errors(), /retrying: the worker at .* ended the connection/);
  t.equal(offsets.length, 5);
  t.ok(Number(offsets.at(-1)) > 0, 'bytes arrived before the last cut');
  const known = proxy.answers().matchAll(/^upload-offset: (\d+)\r\n/gim);
  // The answers to the request that creates the upload, to those after the cuts, and to the last one.
  t.same(
    [...known].map(([, offset]) => offset),
    [...offsets, String(bytes.length)],
  );
});

t.test('an upload waits for a paused worker', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  const bytes = patternBytes(64 * mebibyte);
  writeFileSync(join(worker.directory, 'm.gguf'), bytes);
  const { exited, errors } = push(t, worker, ['m.gguf', '--no-digest']);
  await until(() => /sending/.test(errors()));
  worker.child.kill('SIGSTOP');
  await new Promise((resolve) => setTimeout(resolve, 1500));
  worker.child.kill('SIGCONT');
  t.equal(await exited, 0);
});

t.test('an upload begins again if the worker restarted', async (t) => {
  const directory = temporaryDirectory(t);
  const address = { WORKER_BIND_ADDR: `127.0.0.1:${await freePort()}` };
  const worker = await startProcess(t, directory, address);
  const bytes = patternBytes(32 * mebibyte);
  writeFileSync(join(directory, 'm.gguf'), bytes);
  let isSlow = true;
  const proxy = await startProxy(t, worker.url, (chunk, end) => {
    if (isSlow && proxy.sentBytes() > 8 * mebibyte) {
      isSlow = false;
      worker.child.kill('SIGKILL');
      end();
    }
    return chunk;
  });
  const { exited, errors, output } = push(t, worker, ['m.gguf'], proxy.url);
  t.equal(await worker.exited, 'SIGKILL');
  await startProcess(t, directory, address);
  t.equal(await exited, 0);
  t.match(errors(), /the worker no longer has the upload; it begins again/);
  t.match(output(), digestOf(bytes));
});

t.test('bytes that change on the way are refused', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  writeFileSync(join(worker.directory, 'm.gguf'), patternBytes(mebibyte));
  const proxy = await startProxy(t, worker.url, (chunk) => {
    if (chunk.length > 16_384) chunk[chunk.length - 1] = (chunk.at(-1) ?? 0) ^ 1;
    return chunk;
  });
  const { exited, errors } = push(t, worker, ['m.gguf'], proxy.url);
  t.equal(await exited, 1);
  t.match(errors(), /DIGEST_MISMATCH: /);
  t.same((await get(worker, 'shards')).shards, []);
});

t.test('Ctrl-C ends the upload, and the worker frees its memory', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  writeFileSync(join(worker.directory, 'm.gguf'), patternBytes(32 * mebibyte));
  const isBeginning = (chunk: Buffer) => /^[A-Z]+ \/v1\//.test(chunk.toString('latin1', 0, 20));
  // The upload cannot end.
  const proxy = await startProxy(t, worker.url, (chunk) =>
    proxy.sentBytes() < 4 * mebibyte || isBeginning(chunk) ? chunk : Buffer.alloc(0),
  );
  const { child, exited, errors } = push(t, worker, ['m.gguf'], proxy.url);
  await until(() => proxy.sentBytes() > 2 * mebibyte);
  child.kill('SIGINT');
  t.equal(await exited, 130);
  t.match(errors(), /canceled: the worker frees the memory of the upload\n$/);
  const { shards } = await get(worker, 'shards');
  t.same(shards, []);
});

t.test('a file that cannot be read during the upload gives status 66, and frees the memory', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  const path = join(worker.directory, 'm.gguf');
  const faults: readonly (readonly [RegExp, () => void])[] = [
    [/m\.gguf changed while it was read/, () => truncateSync(path, 100)],
    [/ENOENT.*m\.gguf/, () => unlinkSync(path)],
  ];
  for (const [message, damage] of faults) {
    writeFileSync(path, patternBytes(mebibyte));
    const proxy = await startProxy(t, worker.url, (chunk) => {
      if (chunk.includes('POST /v1/uploads')) damage();
      return chunk;
    });
    const { exited, errors } = push(t, worker, ['m.gguf', '--no-digest'], proxy.url);
    t.equal(await exited, 66);
    t.match(errors(), message);
    t.notMatch(errors(), /worker at|retrying/);
    t.same((await get(worker, 'shards')).shards, []);
  }
});

t.test('files that cannot be read give status 66, and invalid usage 64', async (t) => {
  const worker = await startProcess(t, temporaryDirectory(t));
  writeFileSync(join(worker.directory, 'empty'), '');
  const unreadable = [
    ['none', /ENOENT.*none/],
    ['empty', /empty is empty/],
    ['.', /\. is not a regular file/],
  ] as const;
  for (const [path, message] of unreadable) {
    const { exited, errors } = push(t, worker, [path]);
    t.equal(await exited, 66, path);
    t.match(errors(), message);
  }
  t.equal(await push(t, worker, []).exited, 64);
  t.equal(await push(t, worker, ['m', '--retry-seconds', 'x']).exited, 64);
});
