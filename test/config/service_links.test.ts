import t from 'tap';
import { loadConfig } from '../../src/config/load.js';
import { isServiceLinkName } from '../../src/config/service_links.js';
import { settings } from '../../src/config/settings.js';
import { secretFile } from '../support/key_files.js';

/** What Kubernetes sets in a pod for Services named `worker`, `worker-metrics` and `worker-v6`. */
const links: Readonly<Record<string, string>> = {
  WORKER_SERVICE_HOST: '10.96.0.11',
  WORKER_SERVICE_PORT: '8001',
  WORKER_SERVICE_PORT_HTTP_API: '8001',
  WORKER_PORT: 'tcp://10.96.0.11:8001',
  WORKER_PORT_8001_TCP: 'tcp://10.96.0.11:8001',
  WORKER_PORT_8001_TCP_PROTO: 'tcp',
  WORKER_PORT_8001_TCP_PORT: '8001',
  WORKER_PORT_8001_TCP_ADDR: '10.96.0.11',
  WORKER_METRICS_SERVICE_HOST: '10.96.0.12',
  WORKER_METRICS_PORT: 'udp://10.96.0.12:9125',
  WORKER_METRICS_PORT_9125_UDP_PROTO: 'udp',
  WORKER_V6_SERVICE_HOST: 'fd00:10:96::b',
  WORKER_V6_PORT: 'tcp://[fd00:10:96::b]:8001',
  WORKER_V6_PORT_8001_SCTP: 'sctp://[fd00:10:96::b]:8001',
};

/** Names of service links with other values, and other names with values of service links. */
const others: readonly (readonly [name: string, value: string])[] = [
  ['WORKER_PORT', '9000'],
  ['WORKER_PORT', 'http://10.96.0.11:8001'],
  ['WORKER_PORT', 'tcp://worker:8001'],
  ['WORKER_PORT', 'tcp://10.96.0.11'],
  ['WORKER_PORT', 'tcp://10.96.0.11:8001/'],
  ['WORKER_SERVICE_HOST', 'worker.default.svc'],
  ['WORKER_SERVICE_PORT', '-1'],
  ['WORKER_PORT_8001_TCP_PROTO', 'http'],
  ['WORKER_PORT_8001_TCP_ADDR', 'localhost'],
  ['WORKER_HOST', '10.96.0.11'],
  ['WORKER_PORTS', 'tcp://10.96.0.11:8001'],
  ['WORKER_port', 'tcp://10.96.0.11:8001'],
  ['WORKER_SERVICE', '8001'],
];

t.test('variables of Kubernetes service links are ignored with a warning', async (t) => {
  const environment = { WORKER_API_TOKEN_FILE: secretFile(t, 'x'.repeat(32)), WORKER_ID: 'a' };
  const load = (more: NodeJS.ProcessEnv) =>
    loadConfig({ ...environment, ...more }, { simulate: false, directory: '/nowhere' });
  t.same((await load({})).warnings, []);
  const { warnings } = await load(links);
  t.equal(warnings.length, 1);
  for (const name of Object.keys(links)) t.match(warnings[0], ` ${name}`);
  for (const [name, value] of others) {
    await t.rejects(load({ ...links, [name]: value }), { message: `unknown setting ${name}` }, `${name}=${value}`);
  }
  await t.rejects(load({ WORKER_PORT: '' }), { message: 'unknown setting WORKER_PORT' });
});

t.test('no setting has the name of a service link', async (t) => {
  for (const { name } of Object.values(settings)) t.notOk(isServiceLinkName(name), name);
  for (const name of Object.keys(links)) t.ok(isServiceLinkName(name), name);
});
