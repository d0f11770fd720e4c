import { SourceFault } from './fault.js';

/** More than any signed URL of a CDN. */
const maxUrlLength = 8192;

/** Whether a text has a character that the WHATWG parser removes, or takes for a slash. */
const hasIgnoredCharacter = (text: string): boolean =>
  [...text].some((character) => character <= ' ' || character === '\u007f' || character === '\\');

const userinfo = /^(?:[a-z][a-z0-9+.-]*:)?\/*[^/?#]*@/i;

/** An encoded dot, slash, backslash or NUL, also if encoded more than once: other parsers decode it after the checks. */
const encodedSeparator = /%(?:25)*(?:2e|2f|5c|00)/i;

/** A dot segment with a parameter, which some servers resolve like a dot segment. */
const dotSegmentWithParameter = /\/\.{1,2};/;

/**
 * Parses a URL by the WHATWG rules, once. The connection uses the returned object, never the text. It refuses every
 * spelling that another parser could read differently. `base` is for the relative URLs of redirects and pages.
 * @throws SourceFault with the code of the caller: INVALID_PARAMS for a client's URL, SOURCE_INVALID for a source's
 */
export function parseUrl(text: string, code: 'INVALID_PARAMS' | 'SOURCE_INVALID', base?: URL): URL {
  const problem = problemOfText(text, base !== undefined);
  const url = problem === undefined && URL.canParse(text, base?.href) ? new URL(text, base?.href) : undefined;
  const reason = problem ?? (url === undefined ? 'is malformed' : problemOfUrl(url));
  if (url === undefined || reason !== undefined) throw new SourceFault(code, `${subjects[code]} ${reason}`);
  return url;
}

const subjects = { INVALID_PARAMS: 'The URL', SOURCE_INVALID: 'A URL that the source sent' };

function problemOfText(text: string, mayBeRelative: boolean): string | undefined {
  if (text.length > maxUrlLength) return `is longer than ${maxUrlLength} characters`;
  if (hasIgnoredCharacter(text)) return 'has a space, a control character or a backslash';
  const [beforeQuery = ''] = text.split(/[?#]/, 1);
  if (userinfo.test(authorityOf(beforeQuery, mayBeRelative))) return 'has a user name or a password';
  if (encodedSeparator.test(beforeQuery)) return 'has an encoded dot, slash, backslash or NUL';
  if (dotSegmentWithParameter.test(beforeQuery)) return 'has a dot segment with a parameter';
  if (text.includes('#')) return 'has a fragment';
  const isAbsolute = /^https?:\/\/[^/]/i.test(text);
  const isRelative = mayBeRelative && !/^[a-z][a-z0-9+.-]*:/i.test(text) && !/^\/\/\//.test(text);
  return isAbsolute || isRelative ? undefined : 'is not an http or https URL';
}

/** The text that may hold userinfo. A relative URL has an authority only after two slashes. */
const authorityOf = (text: string, mayBeRelative: boolean): string =>
  mayBeRelative && !/^(?:[a-z][a-z0-9+.-]*:|\/\/)/i.test(text) ? '' : text;

function problemOfUrl(url: URL): string | undefined {
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return 'is not an http or https URL';
  if (url.username !== '' || url.password !== '') return 'has a user name or a password';
  if (url.hostname === '' || url.hostname.endsWith('.')) return 'has an empty host, or one that ends in a dot';
  if (encodedSeparator.test(url.pathname)) return 'has an encoded dot, slash, backslash or NUL';
  try {
    decodeURIComponent(url.pathname);
  } catch {
    return 'has a path that is not UTF-8';
  }
  return undefined;
}

/** A URL for logs: without its query, which can hold a signature. */
export const loggableUrl = (url: URL): string => `${url.origin}${url.pathname}`;

/** The host of a URL for details, shortened. */
export const hostOf = (url: URL): string => url.host.slice(0, 253);

/** Whether a manifest may hold the URL. A query can hold a signature, which is a secret and expires. */
export const isPersistable = (url: URL): boolean => url.search === '';
