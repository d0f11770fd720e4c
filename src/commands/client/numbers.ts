import { UsageError } from '../command.js';

/** An integer option within inclusive bounds; undefined if it is not set. @throws UsageError */
export function integerOption(
  name: string,
  text: string | undefined,
  { minimum, maximum }: { readonly minimum: number; readonly maximum: number },
): number | undefined {
  if (text === undefined) return undefined;
  const value = /^(0|[1-9][0-9]{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (value >= minimum && value <= maximum) return value;
  throw new UsageError(`--${name} must be an integer from ${minimum} to ${maximum}`);
}

/** The GPUs of `--gpu 0 --gpu 1` or `--gpu 0,1`; undefined if it is not set. @throws UsageError */
export function gpuOption(texts: readonly string[] | undefined): number[] | undefined {
  if (texts === undefined) return undefined;
  const gpus = texts
    .flatMap((text) => text.split(','))
    .map((text) => (/^(0|[1-9][0-9]{0,4})$/.test(text) ? Number(text) : Number.NaN));
  if (gpus.every((gpu) => gpu <= 65535) && new Set(gpus).size === gpus.length) return gpus;
  throw new UsageError('--gpu must be distinct indexes of GPUs, such as --gpu 0,1');
}

const digestPattern = /^(?:sha256:)?([0-9a-f]{64})$/i;

/** `sha256:` and lower-case hex digits. @throws UsageError */
export function digestOption(name: string, text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  const [, hex] = digestPattern.exec(text) ?? [];
  if (hex === undefined) throw new UsageError(`--${name} must be sha256: and 64 hex digits`);
  return `sha256:${hex.toLowerCase()}`;
}

/** The prefix of shard ids, which end in a hyphen and an index. @throws UsageError */
export function prefixOption(text: string | undefined): string | undefined {
  if (text === undefined || /^[A-Za-z0-9-]{1,251}$/.test(text)) return text;
  throw new UsageError('--shard-prefix must be 1 to 251 letters, digits and hyphens');
}

/** A prefix of shard ids from any name: other characters become hyphens. */
export function prefixFrom(name: string): string {
  const prefix = name.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-+|-+$/g, '');
  return prefix.slice(0, 200) || 'model';
}
