import { WorkerError } from '../../errors.js';
import { parseUrl } from '../egress/url_rules.js';

/** The limit of S3, in bytes of UTF-8. */
const maxKeyBytes = 1024;

/**
 * The path of an object below its bucket: each segment of the key encoded by RFC 3986, empty segments kept.
 * @throws WorkerError INVALID_PARAMS for keys that a URL cannot name without ambiguity
 */
export function keyPath(key: string): string {
  const problem = problemOf(key);
  if (problem !== undefined) throw new WorkerError('INVALID_PARAMS', `The key ${problem}`);
  return encodeSegments(key);
}

/** Appends an encoded path to a URL that ends in a slash. @throws WorkerError INVALID_PARAMS */
export const urlBelow = (base: URL, path: string): URL => parseUrl(`${base.href}${path}`, 'INVALID_PARAMS');

/** A value of a query, encoded by RFC 3986: a space as %20, because signatures do not know the plus sign. */
export const encodeRfc3986 = (text: string): string =>
  encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`);

const encodeSegments = (key: string): string => key.split('/').map(encodeRfc3986).join('/');

function problemOf(key: string): string | undefined {
  if (key === '') return 'is empty';
  if (/\p{Surrogate}/u.test(key)) return 'is not valid Unicode';
  if (Buffer.byteLength(key) > maxKeyBytes) return `is longer than ${maxKeyBytes} bytes`;
  if (key.split('/').some((segment) => segment === '.' || segment === '..')) {
    return 'has a segment `.` or `..`, which URLs cannot name';
  }
  if (key.includes('\\') || /%(?:25)*(?:2e|2f|5c|00)/i.test(encodeSegments(key))) {
    return 'has a backslash, or text such as %2F that servers could decode twice';
  }
  return undefined;
}
