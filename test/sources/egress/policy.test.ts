import t from 'tap';
import { AddressRules } from '../../../src/sources/egress/address_rules.js';
import { EgressPolicy } from '../../../src/sources/egress/policy.js';

const policy = new EgressPolicy({
  source: 'ceph',
  prefixes: [new URL('https://s3.lab:7480/root/')],
  redirectHosts: [],
  realmHosts: [],
  addresses: new AddressRules([]),
});

t.test('a policy narrows to a path below a prefix, or to a host below its host, and to nothing else', async (t) => {
  for (const url of [
    'https://s3.lab:7480/root/bucket/',
    'https://bucket.s3.lab:7480/root/',
    'https://a.b.s3.lab:7480/root/',
  ]) {
    const narrow = policy.narrow(new URL(url));
    t.ok(narrow.covers(new URL('key', url)), url);
    t.notOk(narrow.covers(new URL('https://s3.lab:7480/root/other/key')), url);
    t.throws(() => narrow.requireRedirect(new URL(url), new URL('https://s3.lab:7480/root/other/key')), {
      code: 'SOURCE_FORBIDDEN',
    });
  }
  for (const url of [
    'http://s3.lab:7480/root/bucket/',
    'https://s3.lab/root/bucket/',
    'https://s3.lab:7480/bucket/',
    'https://bucket.s3.lab:7480/',
    'https://evils3.lab:7480/root/',
    'https://s3.lab.evil.test:7480/root/',
  ]) {
    t.throws(() => policy.narrow(new URL(url)), { code: 'SOURCE_FORBIDDEN' }, url);
  }
});

t.test('a URL below any of several prefixes is covered', async (t) => {
  const prefixes = [new URL('https://a.test/models/'), new URL('https://b.test/')];
  const several = new EgressPolicy({ ...policy.rules, prefixes });
  for (const url of ['https://a.test/models/x', 'https://b.test/x']) {
    t.ok(several.covers(new URL(url)), url);
    t.doesNotThrow(() => several.requireFirst(new URL(url)), url);
  }
  for (const url of ['https://a.test/x', 'https://c.test/models/x']) t.notOk(several.covers(new URL(url)), url);
});
