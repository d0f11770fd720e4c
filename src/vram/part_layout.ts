/** How a shard's device memory is divided into parts, each exported as one descriptor. Sizes are bytes. */
export interface PartLayout {
  /** The shard's length. */
  readonly bytes: number;
  /** The memory's length: the shard's, rounded up to the device's granularity. */
  readonly mappedBytes: number;
  /** The length of each part; the last one may be shorter. */
  readonly partBytes: number;
}

/** The ranges of the parts, in the order of their descriptors. The last one includes the padding. */
export function partsOf({ mappedBytes, partBytes }: PartLayout): { offset: number; length: number }[] {
  const parts = [];
  for (let offset = 0; offset < mappedBytes; offset += partBytes) {
    parts.push({ offset, length: Math.min(partBytes, mappedBytes - offset) });
  }
  return parts;
}
