import { lookup as systemLookupOf } from 'node:dns/promises';
import { isIP } from 'node:net';
import { raceAbort } from './abort_scope.js';
import { faultOf, forbidden, unavailable } from './fault.js';
import type { EgressPolicy } from './policy.js';

/** All addresses of a host name. */
export type Lookup = (hostname: string) => Promise<readonly string[]>;

/** A connection tries at most this many addresses. All of a look-up are checked. */
const maxAddresses = 8;

export const systemLookup: Lookup = async (hostname) => {
  const answers = await systemLookupOf(hostname, { all: true, verbatim: true });
  return answers.map(({ address }) => address);
};

/**
 * The addresses of a URL's host, each of which the policy allows. One address that it does not allow refuses the host:
 * an attacker can mix answers. Node does not look up IP literals, so they are checked here too.
 * @throws SourceFault SOURCE_FORBIDDEN, SOURCE_UNAVAILABLE
 */
export async function resolveChecked(
  url: URL,
  { rules }: EgressPolicy,
  { lookup, signal }: { readonly lookup: Lookup; readonly signal: AbortSignal },
): Promise<readonly string[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const addresses = isIP(host) === 0 ? await lookUp(host, lookup, signal) : [host];
  if (addresses.length === 0) throw unavailable('The host of the source has no address');
  if (!addresses.every((address) => rules.addresses.allows(address))) {
    const hint = 'special-purpose addresses need the setting addresses';
    throw forbidden(`The source ${rules.source} has an address that its settings do not allow: ${hint}`);
  }
  return addresses.slice(0, maxAddresses);
}

async function lookUp(host: string, lookup: Lookup, signal: AbortSignal): Promise<readonly string[]> {
  try {
    return await raceAbort(lookup(host), signal);
  } catch (error) {
    signal.throwIfAborted();
    throw faultOf(error);
  }
}
