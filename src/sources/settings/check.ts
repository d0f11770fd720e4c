import { isIP, isIPv4 } from 'node:net';
import type { TSchema } from 'typebox';
import { Compile } from 'typebox/compile';
import { prefixesOf } from './prefixes.js';
import { S3CredentialsFile, type SourceSettings, SourcesFile, schemasByType } from './schema.js';

/** Invalid settings. The message names the place, and shows no value. */
export class SettingsError extends Error {
  override readonly name = 'SettingsError';
}

const isSourcesFile = Compile(SourcesFile);
const isS3Credentials = Compile(S3CredentialsFile);

/** The sources of a parsed `WORKER_SOURCES_FILE`. @throws SettingsError */
export function checkSources(value: unknown): readonly SourceSettings[] {
  if (!isSourcesFile.Check(value)) throw new SettingsError(problemOf(value));
  const names = new Set<string>();
  for (const source of value.sources) {
    if (names.has(source.name)) throw new SettingsError(`two sources have the name ${source.name}`);
    names.add(source.name);
    checkSource(source);
  }
  return value.sources;
}

/** The credentials of a parsed S3 file. @throws SettingsError */
export function checkS3Credentials(value: unknown): S3CredentialsFile {
  if (isS3Credentials.Check(value)) return value;
  throw new SettingsError('must be JSON with access_key_id, secret_access_key and optionally session_token');
}

function checkSource(source: SourceSettings): void {
  const prefixes = urlsOf(source);
  if (prefixes.some(({ search }) => search !== '')) throw new SettingsError(`${source.name} has a URL with a query`);
  for (const range of source.addresses ?? []) {
    if (!isRange(range)) throw new SettingsError(`${source.name} has an invalid range in addresses`);
  }
  if (source.type === 's3' && source.path_style !== true && prefixes.some(({ hostname }) => isAddress(hostname))) {
    throw new SettingsError(`${source.name} has an address as its endpoint, so it needs path_style: true`);
  }
  if (source.type !== 'http' || source.token_file === undefined) return;
  if (new Set(prefixes.map(({ origin }) => origin)).size > 1) {
    throw new SettingsError(`${source.name} has a token_file and prefixes of several origins: use one source for each`);
  }
}

/** The host of a URL; IPv6 addresses are in brackets. */
const isAddress = (hostname: string): boolean => isIP(hostname.replace(/^\[|\]$/g, '')) !== 0;

function urlsOf(source: SourceSettings): URL[] {
  try {
    return prefixesOf(source);
  } catch {
    throw new SettingsError(`${source.name} has an invalid URL`);
  }
}

function isRange(text: string): boolean {
  const [address = '', prefix] = text.split('/');
  const longest = isIPv4(address) ? 32 : 128;
  // The worker treats a mapped address as the IPv4 address, so a range of them would have no effect.
  const isMapped = /^::ffff:/i.test(address);
  return isIP(address) !== 0 && !isMapped && (prefix === undefined || Number(prefix) <= longest);
}

/** Finds the first source that its own schema refuses, for a message that is better than that of a union. */
function problemOf(value: unknown): string {
  const sources: unknown =
    typeof value === 'object' && value !== null && 'sources' in value ? value.sources : undefined;
  if (!Array.isArray(sources)) return 'must be a JSON object with an array named sources';
  for (const [index, source] of sources.entries()) {
    const type: unknown = typeof source === 'object' && source !== null ? Reflect.get(source, 'type') : undefined;
    const schema = Object.entries(schemasByType).find(([name]) => name === type)?.[1];
    if (schema === undefined)
      return `sources/${index} has an invalid type: use ${Object.keys(schemasByType).join(', ')}`;
    const error = firstError(schema, source);
    if (error !== undefined) return `sources/${index}${error}`;
  }
  return firstError(SourcesFile, value) ?? 'is invalid';
}

/** The place and the rule of the first error; never a value. */
function firstError(schema: TSchema, value: unknown): string | undefined {
  const errors = Compile(schema).Errors(value);
  const error = errors.find(({ keyword }) => keyword !== 'boolean') ?? errors[0];
  if (error === undefined) return undefined;
  const listed = (name: string): unknown[] => [Reflect.get(error.params, name)].flat();
  if (error.keyword === 'required') return `${error.instancePath}/${listed('requiredProperties')[0]} is missing`;
  if (error.keyword !== 'additionalProperties') return `${error.instancePath} ${error.message}`;
  return `${error.instancePath} has the unknown field ${String(listed('additionalProperties')[0]).slice(0, 64)}`;
}
