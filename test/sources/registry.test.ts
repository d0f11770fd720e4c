import t from 'tap';
import { Secret } from '../../src/sources/egress/secret.js';
import { SourceRegistry } from '../../src/sources/registry.js';
import type { LoadedSource } from '../../src/sources/settings/loaded_source.js';
import { environmentOf } from '../support/http_sources.js';

const http = (name: string, prefix: string, token?: string): LoadedSource => ({
  settings: { name, type: 'http', prefixes: [prefix] },
  files: token === undefined ? {} : { token: new Secret(token) },
});
const hub: LoadedSource = { settings: { name: 'hub', type: 'hf', endpoint: 'https://hub.test/mirror' }, files: {} };

t.test('without sources every request is refused', async (t) => {
  const registry = new SourceRegistry(environmentOf(), []);
  t.throws(() => registry.find('hf'), { code: 'SOURCE_FORBIDDEN' });
  t.throws(() => registry.find('hf', 'hub'), { code: 'SOURCE_FORBIDDEN' });
  t.throws(() => registry.findHttp(new URL('https://a.test/x')), { code: 'SOURCE_FORBIDDEN' });
});

t.test('a source is found by name, as the only one of its type, or by the prefix of a URL', async (t) => {
  const registry = new SourceRegistry(environmentOf(), [
    http('a', 'https://a.test/'),
    http('b', 'https://b.test/x/'),
    hub,
  ]);
  t.equal(registry.find('hf').settings.name, 'hub');
  t.equal(registry.find('hf').egress.policy.covers(new URL('https://hub.test/mirror/api')), true);
  t.equal(registry.find('hf').egress.policy.covers(new URL('https://hub.test/api')), false);
  t.equal(registry.find('http', 'b').settings.name, 'b');
  t.throws(() => registry.find('http'), { message: /More than one source/ });
  t.throws(() => registry.find('oci', 'hub'), { code: 'SOURCE_FORBIDDEN' }, 'the name of a source of another type');
  t.equal(registry.findHttp(new URL('https://b.test/x/model')).settings.name, 'b');
  t.throws(() => registry.findHttp(new URL('https://b.test/y/model')), { code: 'SOURCE_FORBIDDEN' });
  t.throws(() => registry.findHttp(new URL('https://a.test/x'), 'b'), { code: 'SOURCE_FORBIDDEN' });
});

t.test('a reload replaces what changed, also a secret alone, and keeps the rest with its connections', async (t) => {
  const registry = new SourceRegistry(environmentOf(), [http('a', 'https://a.test/', 'one'), hub]);
  const [a, kept] = [registry.find('http'), registry.find('hf')];
  t.equal(registry.replace([http('a', 'https://a.test/', 'one'), hub]), false, 'nothing changed');
  t.equal(registry.find('http'), a);
  t.equal(registry.replace([http('a', 'https://a.test/', 'two'), hub]), true);
  t.not(registry.find('http'), a);
  t.equal(registry.find('http').files.token?.reveal(), 'two');
  t.equal(registry.find('hf'), kept);
  t.equal(registry.replace([hub]), true, 'one was removed');
  t.throws(() => registry.find('http'), { code: 'SOURCE_FORBIDDEN' });
});
