import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { copyAll } from '../../../src/sources/copy_all.js';
import type { HttpSource } from '../../../src/sources/http/http_source.js';
import { patternBytes } from '../../support/bytes.js';
import { anySignal, httpSource } from '../../support/http_sources.js';
import { RangedIngests } from '../../support/ranged_ingests.js';
import { partialHead, type RawHandler, type RawServer, rawServer, servePartial } from '../../support/raw_source.js';
import { onSimulator, simulator } from '../../support/simulator.js';

const mebibyte = 1024 * 1024;
const bytes = patternBytes(40 * mebibyte + 4097);
const tree = referenceTreeDigest(bytes);

async function serve(
  t: Test,
  handler: RawHandler,
): Promise<{ readonly server: RawServer; readonly source: HttpSource }> {
  const server = await rawServer(t, (socket, request) =>
    request.range?.[1] === 0 ? servePartial(socket, bytes, request) : handler(socket, request),
  );
  const { open } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
  return { server, source: await open(`${server.origin}/model?x`) };
}

/** Receives the source into device memory, and compares the digests of host and device. */
async function receive(t: Test, ingests: RangedIngests, source: HttpSource): Promise<void> {
  const { ingest, target } = await ingests.start(bytes.length);
  await copyAll(source, ingest, { signal: anySignal() });
  t.same(await ingest.finish(), { flat: null, tree });
  await target.allocation?.seal();
  const hashes = await target.allocation?.groupHashes();
  t.equal(hashes && target.allocation?.treeDigest(hashes), tree);
  t.ok(ingests.areSlotsFree);
  await target.allocation?.free();
}

t.test('several ranges are read at a time, over no more connections than the limit', async (t) => {
  const ingests = await RangedIngests.open(t);
  let most = 0;
  const { server, source } = await serve(t, (socket, request) => {
    most = Math.max(most, server.open);
    setTimeout(() => servePartial(socket, bytes, request), 20);
  });
  await receive(t, ingests, source);
  t.ok(most > 2 && most <= 8, `${most} connections`);
});

t.test('connections that are cut at random places lose no byte, and few are fetched twice', async (t) => {
  const ingests = await RangedIngests.open(t);
  let sentBytes = 0;
  let cuts = 0;
  const { source } = await serve(t, (socket, request) => {
    const [first, last] = request.range ?? [0, 0];
    const length = Math.min(last - first + 1, 300_000 + Math.floor(Math.random() * 3 * mebibyte));
    sentBytes += length;
    if (length <= last - first) cuts += 1;
    socket.write(partialHead(bytes, request));
    socket.write(bytes.subarray(first, first + length), () => socket.destroy());
  });
  await receive(t, ingests, source);
  t.ok(cuts > 0);
  t.ok(sentBytes < 2 * bytes.length);
});

t.test('a connection that trickles does not delay the end', async (t) => {
  const ingests = await RangedIngests.open(t);
  let trickled = 0;
  const { server, source } = await serve(t, (socket, request) => {
    if (request.range?.[0] !== 0) return servePartial(socket, bytes, request);
    socket.write(partialHead(bytes, request));
    const timer = setInterval(() => {
      socket.write(bytes.subarray(trickled, trickled + 100));
      trickled += 100;
    }, 10);
    socket.on('close', () => clearInterval(timer));
    return undefined;
  });
  await receive(t, ingests, source);
  t.ok(trickled < mebibyte / 2, 'other connections brought the rest of its range');
  t.ok(
    server.requests.some(({ range = [0, 0] }) => range[0] > 0 && range[0] < mebibyte),
    'its last bytes too',
  );
});

t.test(
  'a cancel, a server that changes the file, or a driver that fails frees all memory and slots',
  onSimulator,
  async (t) => {
    const ingests = await RangedIngests.open(t);
    const freeBytes = async () => (await ingests.driver.device(0)).freeBytes;
    const before = await freeBytes();
    for (let round = 0; round < 12; round++) {
      const canceled = new AbortController();
      let requests = 0;
      const { source } = await serve(t, (socket, request) => {
        if (++requests === 1 + (round % 6)) {
          if (round % 3 === 0) canceled.abort(new Error('canceled'));
          else if (round % 3 === 1) return servePartial(socket, bytes, request, { etag: '"v2"' });
          else simulator.faults(`cuMemcpyHtoDAsync_v2:${1 + (round % 4)}=999`);
        }
        void sleep(round).then(() => servePartial(socket, bytes, request));
        return undefined;
      });
      const { ingest } = await ingests.start(bytes.length);
      const error = await copyAll(source, ingest, { signal: canceled.signal }).then(
        () => ingest.finish().then(() => undefined),
        (reason: unknown) => reason,
      );
      simulator.faults('');
      t.ok(error instanceof Error && /canceled|SOURCE_CHANGED|tag|driver/i.test(error.message), String(error));
      await ingest.abort(error);
      t.ok(ingests.areSlotsFree, `round ${round}: all slots are free`);
      t.equal(await freeBytes(), before, `round ${round}: all memory is free`);
    }
  },
);
