import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { Digests, randomStream } from './content.mjs';

const chunkBytes = 2 ** 20;

/**
 * Commits random bytes without a file, for shards that do not fit on the host. Not for timing, because it generates and
 * hashes the bytes during the upload. Checks the response like any other.
 * @param {import('./worker.mjs').Worker} worker @param {string} shardId @param {number} bytes
 */
export async function commitStream(worker, shardId, bytes) {
  const random = randomStream();
  const digests = new Digests(bytes);
  const upload = request(`${worker.url}/v1/commit?shard_id=${shardId}&model_ref=bench`, {
    method: 'PUT',
    headers: { authorization: worker.authorization, 'content-length': bytes },
  });
  const answered = once(upload, 'response');
  for (let offset = 0; offset < bytes; offset += chunkBytes) {
    const chunk = random(Math.min(chunkBytes, bytes - offset));
    digests.update(chunk);
    if (!upload.write(chunk)) await once(upload, 'drain');
  }
  upload.end();
  const [response] = await answered;
  const text = Buffer.concat(await response.toArray()).toString();
  assert.equal(response.statusCode, 201, text);
  worker.checkCommit(JSON.parse(text), { ...digests.finish(), bytes, name: shardId, path: '' });
}
