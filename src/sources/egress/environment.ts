import { Bandwidth } from './bandwidth.js';
import { type Clock, systemClock } from './clock.js';
import { type Lookup, systemLookup } from './resolve.js';

/** What all sources of a worker share. Tests replace the clock, the look-up and the random numbers. */
export interface EgressEnvironment {
  readonly clock: Clock;
  readonly lookup: Lookup;
  readonly random: () => number;
  /** Connections of each source that are open at the same time. */
  readonly maxConnections: number;
  /** A transfer that is slower for 30 s has stalled. 0: only silence is a stall. */
  readonly minBytesPerSecond: number;
  /** The limit of all transfers together. */
  readonly bandwidth: Bandwidth;
}

/** The limits of the settings. */
export interface EgressLimits {
  readonly connections: number;
  /** 0 is no limit. */
  readonly bytesPerSecond: number;
  readonly minBytesPerSecond: number;
}

/** The clock, the resolver and the random numbers of this process. */
export function systemEnvironment({ connections, bytesPerSecond, minBytesPerSecond }: EgressLimits): EgressEnvironment {
  return {
    clock: systemClock,
    lookup: systemLookup,
    random: Math.random,
    maxConnections: connections,
    minBytesPerSecond,
    bandwidth: new Bandwidth(bytesPerSecond, systemClock),
  };
}
