import { createServer, type Server } from 'node:net';
import t, { type Test } from 'tap';
import type { Lookup } from '../../../src/sources/egress/resolve.js';
import { ResponseHead } from '../../../src/sources/egress/response_head.js';
import { anySignal, httpSource, lookupOf, MemorySink } from '../../support/http_sources.js';
import { type RawServer, rawServer, responseHead, servePartial } from '../../support/raw_source.js';

const content = Buffer.from('the bytes of a model');

/** The own server of the source is the only loopback address that its settings open. */
const ownAddress = '127.0.0.2';

/** A listener on every address of the host. No test may reach it. */
async function canary(t: Test): Promise<{ readonly port: number; connections: number }> {
  const state = { port: 0, connections: 0 };
  const server: Server = createServer((socket) => {
    state.connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '::', ipv6Only: false }, resolve));
  t.teardown(() => server.close());
  const address = server.address();
  state.port = typeof address === 'object' && address !== null ? address.port : 0;
  return state;
}

/** Hosts of a URL that lead to this machine, to a metadata service, or into a private network. */
const spellings: readonly string[] = [
  '127.0.0.1',
  '127.1',
  '127.0.1',
  '127.255.255.254',
  '2130706433',
  '0x7f000001',
  '0x7f.0.0.1',
  '0x7f.1',
  '0177.0.0.1',
  '017700000001',
  '0177.0x0.0.01',
  '127.0.0.1.',
  '①②⑦.⓪.⓪.①',
  '127。0。0。1',
  '１２７.0.0.1',
  '0',
  '0.0.0.0',
  '0x0',
  '[::1]',
  '[0:0:0:0:0:0:0:1]',
  '[0000::0001]',
  '[::]',
  '[::ffff:127.0.0.1]',
  '[::ffff:7f00:1]',
  '[0:0:0:0:0:ffff:127.0.0.1]',
  '[::127.0.0.1]',
  '[64:ff9b::127.0.0.1]',
  '[64:ff9b::7f00:1]',
  '[64:ff9b:1::7f00:1]',
  '[2002:7f00:1::]',
  '[2001:0:7f00:1::1]',
  '[fe80::1]',
  '[fec0::1]',
  '[fc00::1]',
  '[fd00:ec2::254]',
  '[ff02::1]',
  '[2001:db8::1]',
  '169.254.169.254',
  '0xa9fea9fe',
  '2852039166',
  '[::ffff:169.254.169.254]',
  '[64:ff9b::a9fe:a9fe]',
  '10.0.0.1',
  '172.16.0.1',
  '192.168.0.1',
  '100.64.0.1',
  '100.100.100.200',
  '168.63.129.16',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  'localhost',
  'LOCALHOST',
  'localhost.',
  'a.localhost',
  'ｌｏｃａｌｈｏｓｔ',
  'inside.test',
  'inside.test.',
  'mixed.test',
  'mapped.test',
  'nat64.test',
];

/** Names as an attacker's name server answers for them. */
const names = {
  localhost: ['127.0.0.1', '::1'],
  'a.localhost': ['127.0.0.1'],
  'inside.test': ['127.0.0.1'],
  'mixed.test': [ownAddress, '127.0.0.1'],
  'mapped.test': ['::ffff:127.0.0.1'],
  'nat64.test': ['64:ff9b::7f00:1'],
  'own.test': [ownAddress],
};

/** The host as a list of the settings would write it; undefined for a spelling that no URL has. */
function normalized(spelling: string, port: number): string | undefined {
  return URL.canParse(`http://${spelling}:${port}/`) ? new URL(`http://${spelling}:${port}/`).host : undefined;
}

const refusals = { name: 'WorkerError', code: /^(SOURCE_FORBIDDEN|SOURCE_INVALID|INVALID_PARAMS)$/ };

/** A source on its own server, whose lists name the host of the spelling, so that only its address is in the way. */
function sourceFor(server: RawServer, hosts: readonly string[], lookup: Lookup = lookupOf(names)) {
  return httpSource({
    settings: { prefixes: [`${server.origin}/`], addresses: [`${ownAddress}/32`], redirect_hosts: [...hosts] },
    environment: { lookup },
  });
}

t.test(
  'no spelling of an internal address is reached by the first URL, even below a prefix that names it',
  async (t) => {
    const internal = await canary(t);
    for (const spelling of spellings) {
      const url = `http://${spelling}:${internal.port}/`;
      const attempt = async () => {
        const { open } = httpSource({
          settings: { prefixes: [url], addresses: [`${ownAddress}/32`] },
          environment: { lookup: lookupOf(names) },
        });
        await open(`${url}model.gguf`);
      };
      await t.rejects(attempt(), refusals, spelling);
    }
    t.equal(internal.connections, 0);
  },
);

t.test('no spelling of an internal address is reached by a redirect, even to a host on redirect_hosts', async (t) => {
  const internal = await canary(t);
  for (const spelling of spellings) {
    const location = `http://${spelling}:${internal.port}/model.gguf`;
    const server = await rawServer(
      t,
      (socket) => socket.end(responseHead('302 Found', { Location: location })),
      ownAddress,
    );
    const host = normalized(spelling, internal.port);
    for (const hosts of [['other.test'], ...(host === undefined ? [] : [[host]])]) {
      const { open } = sourceFor(server, hosts);
      await t.rejects(open(`${server.origin}/model.gguf`), refusals, `${spelling}, allowed: ${hosts}`);
    }
    t.ok(server.connections > 0, 'the own server was asked');
  }
  t.equal(internal.connections, 0);
});

t.test('no spelling of an internal address is reached as a token server, even one on realm_hosts', async (t) => {
  const internal = await canary(t);
  const server = await rawServer(t, () => undefined, ownAddress);
  for (const spelling of spellings) {
    const host = normalized(spelling, internal.port);
    const url = `http://${spelling}:${internal.port}/token`;
    for (const realm_hosts of [['other.test'], ...(host === undefined ? [] : [[host]])]) {
      const { egress } = httpSource({
        settings: { prefixes: [`${server.origin}/`], addresses: [`${ownAddress}/32`] },
        environment: { lookup: lookupOf(names) },
        realmHosts: realm_hosts,
      });
      const ask = async () => egress.fetch({ role: 'realm', url: egress.realm(url) }, anySignal());
      await t.rejects(ask(), refusals, `${spelling}: ${realm_hosts}`);
    }
  }
  t.equal(internal.connections, 0);
});

t.test('no spelling of an internal address is reached as the next page of a list', async (t) => {
  const internal = await canary(t);
  const server = await rawServer(t, () => undefined, ownAddress);
  const { egress } = sourceFor(server, []);
  for (const spelling of spellings) {
    const next = `http://${spelling}:${internal.port}/page`;
    const head = new ResponseHead(200, ['Link', `<${next}>; rel="next"`]);
    t.throws(() => egress.nextPage({ head, url: new URL(`${server.origin}/list`) }), refusals, spelling);
  }
  t.equal(internal.connections, 0);
});

t.test('userinfo cannot make the host look like an allowed one', async (t) => {
  const internal = await canary(t);
  const server = await rawServer(t, () => undefined, ownAddress);
  const { open } = sourceFor(server, []);
  for (const url of [
    `${server.origin}@127.0.0.1:${internal.port}/model`,
    `http://own.test:80@127.0.0.1:${internal.port}/`,
    `http://127.0.0.1:${internal.port}\\@own.test/`,
    `http://@127.0.0.1:${internal.port}/`,
    `http:@127.0.0.1:${internal.port}/`,
  ]) {
    await t.rejects(open(url), refusals, url);
  }
  t.equal(internal.connections + server.connections, 0);
});

t.test('a name that changes its address after the check still leads to the checked address', async (t) => {
  const internal = await canary(t);
  let lookups = 0;
  const server = await rawServer(t, (socket, request) => servePartial(socket, content, request), ownAddress);
  const lookup = async () => {
    lookups += 1;
    return lookups === 1 ? [ownAddress] : ['127.0.0.1'];
  };
  const url = `http://rebinding.test:${server.port}/model.gguf`;
  const { open } = httpSource({
    settings: { prefixes: [`http://rebinding.test:${server.port}/`], addresses: [`${ownAddress}/32`] },
    environment: { lookup },
  });
  const source = await open(url);
  t.equal(server.connections, 1, 'the first request went to the checked address');
  t.equal(lookups, 2, 'the next request, for the sidecar, was looked up again');
  const read = source.copyTo(new MemorySink(), { offset: 0, length: 1 }, { signal: anySignal() });
  await t.rejects(read, { code: 'SOURCE_FORBIDDEN' });
  t.equal(internal.connections, 0);
});

t.test('one forbidden address among allowed ones refuses the host', async (t) => {
  const server = await rawServer(t, (socket, request) => servePartial(socket, content, request), ownAddress);
  const prefix = `http://mixed.test:${server.port}/`;
  for (const answers of [
    [ownAddress, '127.0.0.1'],
    ['127.0.0.1', ownAddress],
    [ownAddress, '::1'],
    [ownAddress, '169.254.169.254'],
    [ownAddress, 'not an address'],
  ]) {
    const { open } = httpSource({
      settings: { prefixes: [prefix], addresses: [`${ownAddress}/32`] },
      environment: { lookup: async () => answers },
    });
    await t.rejects(open(`${prefix}model`), { code: 'SOURCE_FORBIDDEN' }, answers.join());
  }
  t.equal(server.connections, 0);
});

t.test('addresses opens its ranges, and never link-local ones', async (t) => {
  const everything = ['0.0.0.0/0', '::/0'];
  const server = await rawServer(t, (socket, request) => servePartial(socket, content, request));
  const { open } = httpSource({ settings: { prefixes: [`${server.origin}/`], addresses: everything } });
  t.equal((await open(`${server.origin}/model`)).totalBytes, content.length);
  for (const host of [
    '169.254.169.254',
    '[fe80::1]',
    '[::ffff:169.254.169.254]',
    '[64:ff9b::a9fe:a9fe]',
    '0.0.0.0',
    '[::]',
  ]) {
    const closed = httpSource({ settings: { prefixes: [`http://${host}/`], addresses: everything } });
    await t.rejects(closed.open(`http://${host}/model`), { code: 'SOURCE_FORBIDDEN' }, host);
  }
});
