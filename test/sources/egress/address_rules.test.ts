import fc from 'fast-check';
import t from 'tap';
import { AddressRules, canonicalAddress } from '../../../src/sources/egress/address_rules.js';
import { closedRanges, specialRanges } from '../../../src/sources/egress/special_ranges.js';

const standard = new AddressRules();

t.test('public addresses are allowed', async (t) => {
  for (const address of ['1.1.1.1', '8.8.8.8', '172.15.0.1', '172.32.0.1', '2606:4700::1111', '2a00:1450::1']) {
    t.ok(standard.allows(address), address);
  }
});

t.test('the first and the last address of each special-purpose range are refused, and mapped ones too', async (t) => {
  for (const range of [...specialRanges, ...closedRanges]) {
    const [address = ''] = range.split('/');
    t.notOk(standard.allows(address), range);
    if (!address.includes(':')) t.notOk(standard.allows(`::ffff:${address}`), `mapped ${range}`);
  }
  for (const address of [
    '10.255.255.255',
    '127.255.255.255',
    '172.31.255.255',
    '100.127.255.255',
    'fdff::1',
    'febf::1',
  ]) {
    t.notOk(standard.allows(address), address);
  }
});

t.test('what is no address, or has a zone, is refused', async (t) => {
  for (const text of [
    '',
    'localhost',
    '127.1',
    '0x7f.1',
    '1.2.3.4.5',
    '::1%lo',
    'fe80::1%eth0',
    '2606:4700::1%1',
    '1.1.1.1 ',
  ]) {
    t.notOk(standard.allows(text), text);
  }
});

t.test('an opened range is allowed, in the mapped spelling too, and others stay closed', async (t) => {
  const rules = new AddressRules(['10.0.0.0/8', 'fd00::/8', '127.0.0.1']);
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', 'fd00::1', '127.0.0.1', '1.1.1.1'])
    t.ok(rules.allows(address), address);
  for (const address of ['172.16.0.1', 'fc00::1', '127.0.0.2', 'fd00:ec2::254', '::ffff:192.168.0.1']) {
    t.notOk(rules.allows(address), address);
  }
});

t.test(
  'an address behind NAT64, 6to4 or ::/96 needs both: the outer range opened, and the inner address allowed',
  async (t) => {
    const rules = new AddressRules(['64:ff9b::/96', '2002::/16', '::/96']);
    t.ok(rules.allows('64:ff9b::8.8.8.8'));
    t.ok(rules.allows('2002:808:808::1'));
    t.ok(rules.allows('::8.8.8.8'));
    t.ok(rules.allows('::1'), 'loopback is not an IPv4 address');
    const inner = ['127.0.0.1', '10.0.0.1', '169.254.169.254'];
    for (const address of [...inner.flatMap((each) => [`64:ff9b::${each}`, `::${each}`]), '2002:7f00:1::1']) {
      t.notOk(rules.allows(address), address);
    }
    for (const address of ['64:ff9b::8.8.8.8', '::8.8.8.8', '::1:0:8.8.8.8'])
      t.notOk(standard.allows(address), address);
    t.ok(standard.allows('2606:4700::ffff:10.0.0.1'), 'only ::ffff:0:0/96 is mapped');
  },
);

t.test('for any IPv4 address: every spelling of it gets the same verdict', async () => {
  const byte = fc.oneof(fc.constantFrom(0, 10, 100, 127, 169, 172, 192, 198, 203, 224, 255), fc.nat(255));
  fc.assert(
    fc.property(byte, byte, byte, byte, (a, b, c, d) => {
      const plain = [a, b, c, d].join('.');
      const hex = (high: number, low: number) => ((high << 8) | low).toString(16);
      const spellings = [
        `::ffff:${plain}`,
        `::ffff:${hex(a, b)}:${hex(c, d)}`,
        `0:0:0:0:0:ffff:${hex(a, b)}:${hex(c, d)}`,
        `::FFFF:${plain}`,
      ];
      const isAllowed = standard.allows(plain);
      return spellings.every((each) => standard.allows(each) === isAllowed && canonicalAddress(each) === plain);
    }),
  );
});

t.test('for any opened ranges: link-local, multicast and unspecified addresses stay closed', async () => {
  const rules = new AddressRules(['0.0.0.0/0', '::/0']);
  fc.assert(
    fc.property(fc.nat(255), fc.nat(255), (c, d) => {
      const inner = [`169.254.${c}.${d}`, `0.0.${c}.${d}`, `224.0.${c}.${d}`];
      const outer = [`fe80::${c}:${d}`, `ff02::${d}`, '::'];
      const embedded = inner.flatMap((each) => [`::ffff:${each}`, `64:ff9b::${each}`]);
      return [...inner, ...outer, ...embedded].every((each) => !rules.allows(each));
    }),
  );
});
