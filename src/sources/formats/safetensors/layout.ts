import { InvalidFormat } from '../invalid_format.js';

/** The ranges of the tensors, in the order of the header. `ats` are their offsets in the file, for errors. */
export interface Layout {
  readonly starts: number[];
  readonly ends: number[];
  readonly ats: number[];
}

/** In the order of their offsets, the first tensor starts at 0, each next one where one ends, and the last ends the data. */
export function checkLayout({ starts, ends, ats }: Layout, dataBytes: number): void {
  let end = 0;
  for (const index of byOffset(starts, ends)) {
    const [start = 0, nextEnd = 0, at = 0] = [starts[index], ends[index], ats[index]];
    if (start !== end || nextEnd > dataBytes) throw new InvalidFormat('safetensors_offsets', at);
    end = nextEnd;
  }
  if (end !== dataBytes) throw new InvalidFormat('safetensors_offsets', 0);
}

/** The numbers of the tensors in the order of their offsets. A tensor without bytes comes before one that starts there. */
function byOffset(starts: readonly number[], ends: readonly number[]): Iterable<number> {
  const difference = (a: number, b: number) => (starts[a] ?? 0) - (starts[b] ?? 0) || (ends[a] ?? 0) - (ends[b] ?? 0);
  return [...starts.keys()].sort(difference);
}
