import t from 'tap';
import { systemActor } from '../../../src/audit/actor.js';
import { referenceTreeDigest } from '../../../src/seal/tree.js';
import { patternBytes } from '../../support/bytes.js';
import { anySignal, httpSource } from '../../support/http_sources.js';
import { partialHead, rawServer, servePartial } from '../../support/raw_source.js';
import { mebibyte, sha256 } from '../../support/requests.js';
import { startWorker } from '../../support/worker.js';

const content = patternBytes(9 * mebibyte + 77);

t.test('the bytes of a source that ends its connections anywhere are sealed with their digests', async (t) => {
  const { residency } = await startWorker(t);
  // One length ends at the boundary of a staging slot.
  for (const [index, cutBytes] of [2 * mebibyte, 3 * mebibyte + 12_345, content.length].entries()) {
    const server = await rawServer(t, (socket, request) => {
      if (request.range?.[1] === 0) return servePartial(socket, content, request);
      const [first] = request.range ?? [0];
      socket.write(partialHead(content, request));
      socket.end(content.subarray(first, first + cutBytes));
    });
    const { open } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: ['127.0.0.1'] } });
    const source = await open(`${server.origin}/model?x`);
    const request = { shardId: `a${index}`, modelRef: 'm', shardIndex: 0, totalShards: 1, flatDigest: true };
    const admission = residency.admit({ ...request, vramBytes: source.totalBytes }, systemActor);
    if (admission.kind === 'existing') return t.fail('the shard exists');
    const { ingest } = admission;
    await ingest.start();
    await source.copyTo(ingest, { offset: 0, length: source.totalBytes }, { signal: anySignal(), timeoutMs: 60_000 });
    const { shard } = await ingest.finish();
    t.match(shard, { vramBytes: content.length, digest: sha256(content), treeDigest: referenceTreeDigest(content) });
  }
});
