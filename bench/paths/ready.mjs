import assert from 'node:assert/strict';
import { startFastifyApp } from '../baselines/servers.mjs';
import { Connection, requestHead } from '../connection.mjs';
import { freshContent } from '../content.mjs';
import { closedLoop } from '../load.mjs';
import { alternate } from '../rounds.mjs';
import { Worker } from '../worker.mjs';

/** `GET /v1/ready` under load, compared with an app that sends the same bytes. @param {import('../bench.mjs').Context} context */
export async function ready({ options, workspace }) {
  const worker = await Worker.start(workspace);
  const small = freshContent(workspace.models, 'ready', 4096);
  const head = (headers = {}) => requestHead('GET', '/v1/ready', { authorization: worker.authorization, ...headers });

  const compare = async (path, headersOf, status) => {
    const connection = await Connection.open(worker.url);
    const answer = await connection.exchange(head());
    connection.close();
    const etag = /\r\netag: *(\S+)/i.exec(answer.head)?.[1] ?? '';
    const directory = workspace.make('fastify');
    const app = await startFastifyApp(directory, answer.body(), etag);
    const request = head(headersOf(etag));
    await assertSame(worker.url, app.url, request, status);
    const load = (url) => () => closedLoop(url, request, options.loadSeconds, status);
    await load(worker.url)();
    await load(app.url)();
    const samples = await alternate(options.rounds, () => undefined, {
      product: load(worker.url),
      app: load(app.url),
    });
    await app.stop();
    return {
      path,
      better: 'higher',
      product: { unit: 'requests/s', samples: samples.product },
      baseline: 'Fastify app, same plugins, same bytes',
      baselineSeries: { unit: 'requests/s', samples: samples.app },
      required: 0.8,
      target: 0.95,
    };
  };

  await worker.upload('ready-0', small);
  const rows = [await compare('GET /v1/ready, 1 shard', () => ({}), 200)];
  for (let index = 1; index < 100; index++) await worker.upload(`ready-${index}`, small);
  rows.push(await compare('GET /v1/ready, 100 shards', () => ({}), 200));
  rows.push(await compare('GET /v1/ready, 304', (etag) => ({ 'if-none-match': etag }), 304));
  await worker.stop();
  return rows;
}

async function assertSame(product, app, request, status) {
  const answers = [];
  for (const url of [product, app]) {
    const connection = await Connection.open(url);
    answers.push(await connection.exchange(request));
    connection.close();
  }
  assert.deepEqual(
    answers.map((answer) => answer.status),
    [status, status],
  );
  assert.ok(answers[0].body().equals(answers[1].body()), 'the bodies differ');
}
