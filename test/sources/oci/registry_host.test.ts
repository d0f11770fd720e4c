import t from 'tap';
import { Secret } from '../../../src/sources/egress/secret.js';
import { isRegistryOf, loginOf, registryOf } from '../../../src/sources/oci/registry_host.js';
import { ociSource } from '../../support/oci_sources.js';

t.test('a registry is named by host and port', async (t) => {
  t.equal(registryOf('https://Registry.lab:5000/mirror'), 'registry.lab:5000');
  t.equal(registryOf('https://registry.lab:443'), 'registry.lab');
  t.ok(isRegistryOf('https://registry.lab:5000', 'Registry.lab:5000'));
  t.ok(isRegistryOf('https://registry.lab', 'registry.lab:443'));
  t.ok(isRegistryOf('https://registry-1.docker.io', 'docker.io'));
  t.notOk(isRegistryOf('https://registry.lab:5000', 'registry.lab'));
  t.notOk(isRegistryOf('http://registry.lab', 'registry.lab:443'));
  t.notOk(isRegistryOf('https://registry.lab:5000', 'registry.lab:443'));
  t.notOk(isRegistryOf('https://registry.lab', 'docker.io'), 'only Docker Hub has other names');
});

t.test('the login of a registry is found, also that of Docker Hub', async (t) => {
  const login = { username: 'u', password: new Secret('p') };
  const logins = new Map([['registry.lab:5000', login]]);
  t.equal(loginOf('https://registry.lab:5000', 'a/b', logins), login);
  t.equal(loginOf('https://registry.lab', 'a/b', logins), undefined);
  t.equal(loginOf('https://registry-1.docker.io', 'a/b', new Map([['index.docker.io', login]])), login);
  t.equal(loginOf('https://registry.lab', 'a/b', undefined), undefined);
});

t.test('a login of a namespace is used for its repositories only, before the login of the host', async (t) => {
  const login = (username: string) => ({ username, password: new Secret('p') });
  const [host, team, one] = [login('host'), login('team'), login('one')];
  const scopes = { 'quay.lab': host, 'quay.lab/team': team, 'quay.lab/team/llama': one };
  const logins = new Map(Object.entries(scopes));
  const of = (repository: string) => loginOf('https://quay.lab', repository, logins)?.username;
  t.equal(of('team/llama'), 'one');
  t.equal(of('team/llama/q4'), 'one');
  t.equal(of('team/gemma'), 'team');
  t.equal(of('team2/gemma'), 'host');
  t.equal(loginOf('https://quay.lab', 'other/m', new Map([['quay.lab/team', team]])), undefined);
});

t.test('a reference finds its source by registry, name, or both', async (t) => {
  const { registry } = ociSource({ endpoint: 'https://a.test' });
  const { settings } = registry.find('oci');
  registry.replace([
    { settings, files: {} },
    { settings: { ...settings, name: 'b', endpoint: 'https://b.test:5000' }, files: {} },
    { settings: { ...settings, name: 'c', endpoint: 'https://b.test:5000', repos: ['x/*'] }, files: {} },
  ]);
  t.equal(registry.findRegistry({ registry: 'a.test' }).settings.name, 'lab');
  t.equal(registry.findRegistry({ name: 'c' }).settings.name, 'c');
  t.equal(registry.findRegistry({ name: 'b', registry: 'b.test:5000' }).settings.name, 'b');
  t.throws(() => registry.findRegistry({ registry: 'b.test:5000' }), { message: /More than one source/ });
  for (const reference of [{ registry: 'other.test' }, { name: 'lab', registry: 'b.test:5000' }, { name: 'd' }, {}]) {
    t.throws(() => registry.findRegistry(reference), { code: 'SOURCE_FORBIDDEN' }, JSON.stringify(reference));
  }
});
