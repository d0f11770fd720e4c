import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createServer as createTcpServer } from 'node:net';
import t, { type Test } from 'tap';
import { Authority } from '../../support/certificates.js';
import { run, startProcess, temporaryDirectory } from '../../support/process.js';

/** The exit status of `health` in this environment. */
async function health(t: Test, env: NodeJS.ProcessEnv): Promise<number | string | null> {
  const { exited, errors } = run(t, temporaryDirectory(t), ['health'], env);
  const status = await exited;
  if (status === 1) t.match(errors(), /^vram-worker: the worker at .*:[0-9]+ does not respond\n$/);
  return status;
}

t.test('health reaches a worker over HTTP, TLS and mutual TLS', async (t) => {
  const authority = new Authority(t);
  const { certFile, keyFile } = authority.issue('elsewhere');
  const tls = { WORKER_TLS_CERT_FILE: certFile, WORKER_TLS_KEY_FILE: keyFile };
  const mutual = { ...tls, WORKER_TLS_CLIENT_CA_FILE: authority.certificate.certFile };
  for (const [name, settings] of Object.entries({ plain: {}, tls, mutual })) {
    const worker = await startProcess(t, temporaryDirectory(t), settings);
    const { port } = new URL(worker.url);
    const env = { ...settings, WORKER_BIND_ADDR: `0.0.0.0:${port}` };
    t.equal(await health(t, env), 0, `${name}: the worker answers`);
    worker.child.kill('SIGKILL');
    await worker.exited;
    t.equal(await health(t, env), 1, `${name}: no worker is running`);
  }
});

t.test('the message has an IPv6 address in brackets', async (t) => {
  const { exited, errors } = run(t, temporaryDirectory(t), ['health'], { WORKER_BIND_ADDR: '[::]:1' });
  t.equal(await exited, 1);
  t.equal(errors(), 'vram-worker: the worker at [::1]:1 does not respond\n');
});

t.test('an unhealthy status, another protocol or no response is unhealthy', async (t) => {
  const paths: (string | undefined)[] = [];
  let status = 200;
  const server = createServer((request, response) => {
    paths.push(request.url);
    response.writeHead(status, { connection: 'close' }).end();
  });
  const silent = createTcpServer(() => undefined);
  const listening = async (one: typeof silent) => {
    await new Promise<void>((resolve) => void one.listen(0, '127.0.0.1', resolve));
    t.teardown(() => void one.close());
    return { WORKER_BIND_ADDR: `127.0.0.1:${(one.address() as AddressInfo).port}` };
  };
  const env = await listening(server);
  t.equal(await health(t, env), 0);
  status = 503;
  t.equal(await health(t, env), 1, 'status 503');
  t.same(paths, ['/livez', '/livez']);
  t.equal(await health(t, { ...env, WORKER_TLS_CERT_FILE: '/cert' }), 1, 'HTTP instead of TLS');
  t.equal(await health(t, await listening(silent)), 1, 'no response');
  t.equal(await health(t, { WORKER_BIND_ADDR: 'nonsense' }), 78);
  t.equal(await run(t, temporaryDirectory(t), ['health', 'check']).exited, 64);
});
