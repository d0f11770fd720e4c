import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { requestHead } from '../connection.mjs';
import { freshContent } from '../content.mjs';
import { openLoop } from '../load.mjs';
import { percentile } from '../statistics.mjs';
import { Worker } from '../worker.mjs';

const perSecond = 200;
const rounds = 3;

/** Latency of `GET /v1/ready` during a long commit. @param {import('../bench.mjs').Context} context */
export async function latency({ options, workspace }) {
  const { largeBytes } = options;
  const worker = await Worker.start(workspace);
  const resident = freshContent(workspace.models, 'resident', 4096);
  await worker.upload('resident', resident);
  const request = requestHead('GET', '/v1/ready', { authorization: worker.authorization });
  const commits = {
    upload: (content) => worker.upload('large', content),
    file: (content) => worker.file('large', content),
  };
  const rows = [];
  for (const [name, commit] of Object.entries(commits)) {
    const p50 = [];
    const p99 = [];
    for (let round = 0; round <= rounds; round++) {
      const content = freshContent(workspace.models, 'latency', largeBytes);
      const stop = new AbortController();
      const polling = openLoop(worker.url, request, perSecond, stop.signal);
      await sleep(50);
      await commit(content);
      stop.abort();
      const { latenciesMs, errors } = await polling;
      assert.equal(errors, 0, 'ready failed during a commit');
      await worker.release('large');
      if (round === 0) continue; // warm-up
      p50.push(percentile(latenciesMs, 0.5));
      p99.push(percentile(latenciesMs, 0.99));
    }
    const path = `GET /v1/ready ${perSecond}/s during a commit by ${name} of ${largeBytes / 2 ** 30} GiB`;
    const row = { better: 'lower' };
    rows.push({ ...row, path: `${path}: p50`, product: { unit: 'ms', samples: p50 } });
    rows.push({ ...row, path: `${path}: p99`, product: { unit: 'ms', samples: p99 }, required: 25, target: 10 });
  }
  await worker.stop();
  return rows;
}
