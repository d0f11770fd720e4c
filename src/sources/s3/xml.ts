import { setImmediate as nextTurn } from 'node:timers/promises';
import { SaxesParser } from 'saxes';

/** Documents of S3 have four levels, and about ten elements an object. */
const maxDepth = 8;
const maxElements = 65_536;

/** A longer slice would delay other requests. */
const sliceChars = 32 * 1024;

const utf8 = new TextDecoder('utf-8', { fatal: true });

/** The document is malformed, or has a DTD, or is larger than any of S3. It shows nothing of the document. */
export class InvalidXml extends Error {
  override readonly name = 'InvalidXml';
}

/**
 * Parses a document of bounded length in slices, and calls `visit` at the end of each element with the names from the
 * root on, joined by slashes, and its text after its last child. A document type is refused, so no entity is declared.
 * @throws InvalidXml, or what `visit` throws
 */
export async function visitXml(bytes: Uint8Array, visit: (path: string, text: string) => void): Promise<void> {
  const text = decode(bytes);
  const parser = parserOf(visit);
  for (let at = 0; at < text.length; at += sliceChars) {
    if (at > 0) await nextTurn();
    parser.write(text.slice(at, at + sliceChars));
  }
  parser.close();
}

function decode(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw new InvalidXml('the document is not UTF-8');
  }
}

function parserOf(visit: (path: string, text: string) => void): SaxesParser {
  const parser = new SaxesParser({ xmlns: false, position: false });
  const names: string[] = [];
  let elements = 0;
  let text = '';
  const onText = (part: string): void => {
    text += part;
  };
  parser.on('error', () => {
    throw new InvalidXml('the document is malformed');
  });
  parser.on('doctype', () => {
    throw new InvalidXml('the document has a document type');
  });
  parser.on('opentag', ({ name }) => {
    elements += 1;
    if (names.length >= maxDepth || elements > maxElements) throw new InvalidXml('the document is too large');
    names.push(name);
    text = '';
  });
  parser.on('text', onText);
  parser.on('cdata', onText);
  parser.on('closetag', () => {
    visit(names.join('/'), text);
    names.pop();
    text = '';
  });
  return parser;
}
