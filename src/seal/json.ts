/** The value of a JSON text (RFC 8259); undefined if the text is invalid. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The JSON value in a base64url part of a token (RFC 7515); undefined if it is invalid. */
export const parseJsonPart = (part: string): unknown => parseJson(Buffer.from(part, 'base64url').toString('utf8'));
