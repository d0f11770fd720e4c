import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { unlessInstalled } from '../../support/installed.js';
import { startNginx } from '../../support/nginx.js';
import { startProcess, temporaryDirectory } from '../../support/process.js';
import { statusOf } from '../../support/silent_process.js';
import { until } from '../../support/until.js';

/** nginx keeps connections to the worker open, and reports each failed request instead of repeating it. */
const location = `
    location / {
      proxy_pass http://worker;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_next_upstream off;
    }`;

t.test('no request fails behind nginx before the balancer notices the stop', unlessInstalled('nginx'), async (t) => {
  const env = { WORKER_SHUTDOWN_DELAY_SECONDS: '3600', WORKER_DRAIN_SECONDS: '20' };
  const worker = await startProcess(t, temporaryDirectory(t), env);
  const upstream = `upstream worker { server ${new URL(worker.url).host} max_fails=0; keepalive 8; }`;
  const url = await startNginx(t, location, upstream);
  const headers = { authorization: worker.authorization };
  const statuses: number[] = [];
  let isSending = true;
  const send = async (client: number) => {
    for (let n = 0; isSending; n++) {
      const target = `${url}/v1/commit?shard_id=${client}-${n}&model_ref=m`;
      const answer = await fetch(target, { method: 'PUT', headers, body: Buffer.alloc(2000) });
      await answer.arrayBuffer();
      statuses.push(answer.status);
      await sleep(5);
    }
  };
  const clients = Array.from({ length: 8 }, (_, client) => send(client));
  await until(() => statuses.length > 50);
  worker.child.kill('SIGTERM');
  await until(async () => (await statusOf(`${worker.url}/readyz`)) === 503);
  const before = statuses.length;
  await until(() => statuses.length > before + 50);
  isSending = false;
  await Promise.all(clients);
  t.same([...new Set(statuses)], [201]);
  worker.child.kill('SIGTERM');
  t.equal(await worker.exited, 0);
});
