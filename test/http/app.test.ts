import t from 'tap';
import { get } from '../support/requests.js';
import { startWorker } from '../support/worker.js';

t.test('other methods, a trailing slash and upper case are not found', async (t) => {
  const worker = await startWorker(t);
  for (const [method, url] of [
    ['PUT', '/v1/plan'],
    ['DELETE', '/v1/commit'],
    ['GET', '/v1/plan'],
    ['GET', '/v1/devices/'],
    ['GET', '/V1/devices'],
    ['OPTIONS', '/v1/devices'],
  ] as const) {
    t.match((await worker.inject({ method, url })).json(), { status: 404, code: 'NOT_FOUND' }, `${method} ${url}`);
  }
});

t.test('a GET route answers HEAD', async (t) => {
  const worker = await startWorker(t);
  const whole = await get(worker, '/v1/devices');
  const head = await worker.inject({ method: 'HEAD', url: '/v1/devices' });
  t.equal(head.statusCode, 200);
  t.equal(head.body, '');
  t.equal(head.headers['content-length'], whole.headers['content-length']);
});
