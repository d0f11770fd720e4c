import assert from 'node:assert/strict';
import { join } from 'node:path';
import { Connection, requestHead } from '../connection.mjs';
import { freshContent } from '../content.mjs';
import { alternate } from '../rounds.mjs';
import { Worker } from '../worker.mjs';

const concurrentCommits = 8;

/**
 * Commits per second of 4 KiB by file, with and without a manifest. Both workers write an audit log. The files are on a
 * disk, because a sync on tmpfs costs nothing.
 * @param {import('../bench.mjs').Context} context
 */
export async function manifest({ options, workspace }) {
  const content = freshContent(workspace.models, 'manifest', 4096);
  const start = async (name, settings) => {
    const directory = workspace.makeOnDisk(name);
    const files = Object.fromEntries(Object.entries(settings).map(([key, file]) => [key, join(directory, file)]));
    return new Contestant(await Worker.start(workspace, files), content, options.manifestCommits);
  };
  const rows = [];
  for (const [name, audit] of [
    ['with an audit log', { WORKER_AUDIT_LOG: 'audit.log' }],
    ['without one', {}],
  ]) {
    const product = await start('with-manifest', { ...audit, WORKER_MANIFEST: 'manifest' });
    const baseline = await start('without-manifest', audit);
    await product.run();
    await baseline.run();
    const samples = await alternate(options.rounds, () => undefined, {
      product: () => product.run(),
      baseline: () => baseline.run(),
    });
    await product.worker.stop();
    await baseline.worker.stop();
    rows.push({
      path: `${concurrentCommits} commits of 4 KiB at once with a manifest, ${name}`,
      better: 'higher',
      product: { unit: 'commits/s', samples: samples.product },
      baseline: 'without a manifest',
      baselineSeries: { unit: 'commits/s', samples: samples.baseline },
      required: 0.8,
    });
  }
  return rows;
}

class Contestant {
  constructor(worker, content, count) {
    this.worker = worker;
    this.content = content;
    this.count = count;
  }

  /** @returns {Promise<number>} commits per second */
  async run() {
    const connections = await Promise.all(
      Array.from({ length: concurrentCommits }, () => Connection.open(this.worker.url)),
    );
    let next = 0;
    const started = performance.now();
    await Promise.all(
      connections.map(async (connection) => {
        for (let index = next++; index < this.count; index = next++) await this.#commit(connection, `shard-${index}`);
      }),
    );
    const seconds = (performance.now() - started) / 1000;
    for (const connection of connections) connection.close();
    for (let index = 0; index < this.count; index++) await this.worker.release(`shard-${index}`);
    return this.count / seconds;
  }

  async #commit(connection, shardId) {
    const { name, digest } = this.content;
    const source = { type: 'file', path: name };
    const body = JSON.stringify({ shard_id: shardId, model_ref: 'bench', expected_digest: digest, source });
    const head = requestHead('POST', '/v1/commit', {
      authorization: this.worker.authorization,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    });
    const answer = await connection.exchange(head + body);
    assert.equal(answer.status, 201, answer.body().toString());
    this.worker.checkCommit(JSON.parse(answer.body().toString()), this.content);
  }
}
