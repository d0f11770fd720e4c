/** The parts of `Content-Range` (RFC 9110 §14.4). `first` and `last` are undefined for an unsatisfied range. */
export interface ContentRange {
  readonly first: number | undefined;
  readonly last: number | undefined;
  readonly totalBytes: number | undefined;
}

/** Undefined for other units and malformed text. */
export function parseContentRange(text: string | undefined): ContentRange | undefined {
  const [, first, last, total] = /^bytes (?:([0-9]{1,16})-([0-9]{1,16})|\*)\/([0-9]{1,16}|\*)$/.exec(text ?? '') ?? [];
  if (total === undefined) return undefined;
  const numbers = [first, last, total].map((part) => (part === undefined || part === '*' ? undefined : Number(part)));
  if (numbers.some((number) => number !== undefined && !Number.isSafeInteger(number))) return undefined;
  const [firstByte, lastByte, totalBytes] = numbers;
  return { first: firstByte, last: lastByte, totalBytes };
}
