import t from 'tap';
import { startWorker } from '../../support/worker.js';

t.test('responses have security headers, and none that breaks plain HTTP', async (t) => {
  const { inject } = await startWorker(t);
  for (const url of ['/docs', '/docs/', '/v1/devices', '/v1/nowhere']) {
    const { headers } = await inject({ url });
    t.match(headers, { 'x-content-type-options': 'nosniff', 'content-security-policy': /default-src 'self'/ }, url);
    t.notMatch(headers['content-security-policy'], /upgrade-insecure-requests/);
    t.equal(headers['strict-transport-security'], undefined);
    t.equal(headers['access-control-allow-origin'], undefined);
  }
});

t.test('no response under /v1 is cached', async (t) => {
  const { inject } = await startWorker(t);
  for (const url of ['/v1/devices', '/v1/nowhere', '/v1/shards/absent', '/v1/ready']) {
    t.equal((await inject({ url })).headers['cache-control'], 'no-store', url);
  }
});
