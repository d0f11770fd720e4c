import { parseUrl } from '../egress/url_rules.js';
import type { SourceSettings } from './schema.js';

/** What a source may be asked for: its endpoint with a slash at the end, or the prefixes of an HTTP source. */
export function prefixesOf(source: SourceSettings): URL[] {
  const texts = source.type === 'http' ? source.prefixes : [source.endpoint.replace(/\/*$/, '/')];
  return texts.map((text) => parseUrl(text, 'INVALID_PARAMS'));
}
