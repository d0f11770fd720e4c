import { isIPv4, isIPv6 } from 'node:net';

/**
 * The key of an address in limits: an IPv4 address, or the /64 network of an IPv6 address, because one host usually has
 * all addresses of its network. Any other text is its own key.
 */
export function networkOf(address: string): string {
  const mapped = /^::ffff:([0-9.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined && isIPv4(mapped)) return mapped;
  if (!isIPv6(address)) return address;
  const [head = '', tail] = withoutZone(address).split('::', 2);
  const first = groupsOf(head);
  const last = groupsOf(tail ?? '');
  const zeros =
    tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - first.length - last.length) }, () => '0');
  return `${[...first, ...zeros, ...last].slice(0, 4).join(':')}::/64`;
}

const withoutZone = (address: string): string => address.replace(/%.*$/, '');

/** The groups of part of an IPv6 address. An embedded IPv4 address counts as two. */
const groupsOf = (part: string): string[] =>
  part.split(':').flatMap((group) => {
    if (group === '') return [];
    return isIPv4(group) ? ['v4', 'v4'] : [Number.parseInt(group, 16).toString(16)];
  });
