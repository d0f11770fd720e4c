import { messageOf } from '../../errors.js';
import type { SourceReference } from '../../sources/reference.js';
import { parseReference } from '../../sources/reference_text.js';
import { expectNone, flag, parseArguments, string, strings } from '../arguments.js';
import { type ConnectionValues, connectionOptions } from '../client/connection.js';
import { digestOption, gpuOption, integerOption, prefixOption } from '../client/numbers.js';
import { UsageError } from '../command.js';
import { prefixOf } from './names.js';

/** What the command does: begin a pull, or watch or cancel one by its id. */
export type PullAction =
  | { readonly kind: 'start'; readonly source: SourceReference; readonly body: PullFields }
  | { readonly kind: 'watch' | 'cancel'; readonly pullId: string };

/** The body of `POST /v1/pulls` without its id, and without expected digests. */
export type PullFields = Readonly<Record<string, unknown>>;

export interface PullOptions {
  readonly action: PullAction;
  /** The expected digests by path; '' is the only file. */
  readonly expected: ReadonlyMap<string, string>;
  readonly detach: boolean;
  readonly retrySeconds: number;
  readonly isJson: boolean;
  readonly connection: ConnectionValues;
}

const defaultRetrySeconds = 60;
const maxBytesPerSecond = Number.MAX_SAFE_INTEGER;

const options = {
  ...connectionOptions,
  name: string,
  'shard-prefix': string,
  'model-ref': string,
  expect: strings,
  digest: string,
  'format-check': string,
  'bytes-per-second': string,
  'deadline-seconds': string,
  gpu: strings,
  watch: string,
  cancel: string,
  detach: flag,
  'retry-seconds': string,
  json: flag,
};

type Values = ReturnType<typeof parseArguments<typeof options>>['values'];

/** @throws UsageError */
export function pullOptions(args: readonly string[]): PullOptions {
  const { values, positionals } = parseArguments(args, options);
  const retrySeconds = integerOption('retry-seconds', values['retry-seconds'], { minimum: 0, maximum: 86_400 });
  return {
    action: actionOf(values, positionals),
    expected: expectedOf(values.expect ?? []),
    detach: values.detach,
    retrySeconds: retrySeconds ?? defaultRetrySeconds,
    isJson: values.json,
    connection: values,
  };
}

function actionOf(values: Values, positionals: readonly string[]): PullAction {
  const { watch, cancel } = values;
  const [text, ...more] = positionals;
  expectNone(more);
  if ([text, watch, cancel].filter((given) => given !== undefined).length !== 1)
    throw new UsageError('pull needs one of SOURCE, --watch PULL and --cancel PULL');
  if (text === undefined)
    return { kind: cancel === undefined ? 'watch' : 'cancel', pullId: idOf(watch ?? cancel ?? '') };
  const source = sourceOption(text, values.name);
  return { kind: 'start', source, body: bodyOf(source, values) };
}

function bodyOf(source: SourceReference, values: Values): PullFields {
  requireWord('digest', values.digest, ['require', 'allow']);
  requireWord('format-check', values['format-check'], ['strict', 'basic', 'off']);
  const rate = { minimum: 1, maximum: maxBytesPerSecond };
  const fields = {
    source,
    shard_id_prefix: prefixOption(values['shard-prefix']) ?? prefixOf(source),
    model_ref: values['model-ref'],
    gpu_devices: gpuOption(values.gpu),
    digest: values.digest,
    format_check: values['format-check'],
    bytes_per_second: integerOption('bytes-per-second', values['bytes-per-second'], rate),
    deadline_seconds: integerOption('deadline-seconds', values['deadline-seconds'], { minimum: 1, maximum: 2_000_000 }),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function requireWord(name: string, value: string | undefined, words: readonly string[]): void {
  if (value !== undefined && !words.includes(value)) throw new UsageError(`--${name} must be ${words.join(' or ')}`);
}

/** The source of SOURCE and `--name`. @throws UsageError */
export function sourceOption(text: string, name: string | undefined): SourceReference {
  const source = parsed(text);
  if (name === undefined) return source;
  if (source.type === 'file' || source.type === 'hf_cache')
    throw new UsageError('--name has no effect on file: and hf-cache: sources');
  return { ...source, name };
}

function parsed(text: string): SourceReference {
  try {
    return parseReference(text);
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

/** `sha256:…` for a model of one file, or `PATH=sha256:…`. */
function expectedOf(texts: readonly string[]): Map<string, string> {
  const expected = new Map<string, string>();
  for (const text of texts) {
    const split = text.lastIndexOf('=');
    const path = split === -1 ? '' : text.slice(0, split);
    const digest = digestOption('expect', split === -1 ? text : text.slice(split + 1)) ?? '';
    if (expected.has(path)) throw new UsageError(`--expect is given twice for ${path === '' ? 'the file' : path}`);
    expected.set(path, digest);
  }
  if (expected.has('') && expected.size > 1) throw new UsageError('with several files, --expect needs PATH=sha256:…');
  return expected;
}

function idOf(text: string): string {
  if (/^[A-Za-z0-9_-]{1,64}$/.test(text)) return text;
  throw new UsageError('the id of a pull has 1 to 64 letters, digits, hyphens and underscores');
}
