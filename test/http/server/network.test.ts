import t from 'tap';
import { networkOf } from '../../../src/http/server/network.js';

t.test('an IPv4 address is its own network, also as a mapped address', async (t) => {
  t.equal(networkOf('10.1.2.3'), '10.1.2.3');
  t.equal(networkOf('::ffff:10.1.2.3'), '10.1.2.3');
  t.equal(networkOf('::FFFF:10.1.2.3'), '10.1.2.3');
});

t.test('IPv6 addresses with the same first 64 bits are one network', async (t) => {
  const network = '2001:db8:0:7::/64';
  for (const address of [
    '2001:db8:0:7::1',
    '2001:0DB8:0000:0007:ffff:ffff:ffff:ffff',
    '2001:db8:0:7:1::',
    '2001:db8::7:1:2:3:4',
  ]) {
    t.equal(networkOf(address), network, address);
  }
  t.not(networkOf('2001:db8:0:8::1'), network);
  t.equal(networkOf('fe80::1%eth0'), networkOf('fe80::2%eth1'));
  t.equal(networkOf('::1'), '0:0:0:0::/64');
  t.equal(networkOf('2001:db8:0:7::10.0.0.1'), network);
});

t.test('any other text is its own key', async (t) => {
  for (const text of ['', 'unix', '10.0.0.256']) t.equal(networkOf(text), text);
});
