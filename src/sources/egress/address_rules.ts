import { BlockList, isIP, isIPv4 } from 'node:net';
import { closedRanges, specialRanges } from './special_ranges.js';

/** CIDR ranges and single addresses. Two lists, because a range of IPv6 in a `BlockList` also matches IPv4 addresses. */
class RangeList {
  readonly #ipv4 = new BlockList();
  readonly #ipv6 = new BlockList();

  constructor(ranges: readonly string[]) {
    for (const range of ranges) {
      const [address = '', prefix] = range.split('/', 2);
      if (isIPv4(address)) this.#ipv4.addSubnet(address, prefix === undefined ? 32 : Number(prefix), 'ipv4');
      else this.#ipv6.addSubnet(address, prefix === undefined ? 128 : Number(prefix), 'ipv6');
    }
  }

  /** @param address in its canonical spelling */
  includes(address: string): boolean {
    return isIPv4(address) ? this.#ipv4.check(address, 'ipv4') : this.#ipv6.check(address, 'ipv6');
  }
}

const special = new RangeList(specialRanges);
const closed = new RangeList(closedRanges);

/** The addresses that a source may connect to: public ones, and those of the ranges that its settings open. */
export class AddressRules {
  readonly #opened: RangeList;

  constructor(opened: readonly string[] = []) {
    this.#opened = new RangeList(opened);
  }

  /** Whether the worker may connect to an address. An IPv4 address inside an IPv6 address must be allowed as well. */
  allows(address: string): boolean {
    const plain = canonicalAddress(address);
    if (plain === undefined || closed.includes(plain)) return false;
    if (special.includes(plain) && !this.#opened.includes(plain)) return false;
    const embedded = embeddedIPv4(plain);
    return embedded === undefined || this.allows(embedded);
  }
}

/** One spelling for each address: a mapped address is its IPv4 address. Undefined for other text and with a zone. */
export function canonicalAddress(text: string): string | undefined {
  const family = text.includes('%') ? 0 : isIP(text);
  if (family !== 6) return family === 4 ? text : undefined;
  const words = wordsOf(text);
  return isMapped(words) ? ipv4Of(words[6], words[7]) : words.map((word) => word.toString(16)).join(':');
}

/** The IPv4 address that NAT64 (RFC 6052), 6to4 (RFC 3056) or an IPv4-compatible address leads to. */
function embeddedIPv4(address: string): string | undefined {
  if (isIPv4(address)) return undefined;
  const words = wordsOf(address);
  const [first, second, third] = words;
  if (first === 0x2002) return ipv4Of(second, third);
  const isNat64 = first === 0x64 && second === 0xff9b;
  const isCompatible = words.slice(0, 6).every((word) => word === 0) && (words[6] ?? 0) !== 0;
  return isNat64 || isCompatible ? ipv4Of(words[6], words[7]) : undefined;
}

const isMapped = (words: readonly number[]): boolean =>
  words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff;

const ipv4Of = (high = 0, low = 0): string => [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');

/** The eight words of an IPv6 address. The URL parser compresses zeros and converts a dotted part. */
function wordsOf(address: string): number[] {
  const [head = '', tail] = new URL(`http://[${address}]/`).hostname.slice(1, -1).split('::', 2);
  const parse = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  const [first, last] = [parse(head), parse(tail ?? '')];
  return [...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last];
}
