import fc from 'fast-check';
import { type Operation, operations, type Parameter } from './document.js';
import { mutated } from './mutation.js';
import { fitting, hostile } from './values.js';

/** One request: its operation, and the data sent. */
export interface FuzzedRequest {
  readonly operation: string;
  readonly url: string;
  readonly token: 'good' | 'bad' | 'none';
  readonly headers: Readonly<Record<string, string>>;
  readonly payload: string | undefined;
}

const json = 'application/json';
const octets = 'application/octet-stream';

const rarely = <T>(usual: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 60, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: fc.constantFrom(...others) });

const contentTypes = [
  'text/plain',
  'application/json; charset=utf-16',
  'application/problem+json',
  'APPLICATION/JSON',
  'application/json;',
  octets,
  '',
  ';',
];

const asText = (value: unknown): string => (typeof value === 'string' ? value : (JSON.stringify(value) ?? ''));

/** Removes lone surrogates, which a URL cannot encode. */
const encode = (text: string): string => encodeURIComponent(Buffer.from(text).toString());

/** Valid and random parameters; some are missing, repeated or unknown. */
function query(parameters: readonly Parameter[]): fc.Arbitrary<string> {
  const pairs = parameters.map(({ name, required, schema }) => {
    const pair = fc
      .oneof({ weight: 8, arbitrary: fitting(schema, name) }, { weight: 1, arbitrary: hostile })
      .map((value) => `${name}=${encode(asText(value)).slice(0, 4000)}`);
    return fc.option(pair, { nil: undefined, freq: required ? 40 : 1 });
  });
  const odd = rarely<string | undefined>(
    undefined,
    'x=1',
    '__proto__=1',
    '%',
    '=',
    '&&',
    'handles=%ff',
    'limit=1&limit=2',
  );
  return fc.tuple(...pairs, odd).map((parts) => parts.filter((part) => part !== undefined).join('&'));
}

function path(operation: Operation): fc.Arbitrary<string> {
  const parameter = operation.parameters.find((one) => one.in === 'path');
  if (parameter === undefined) return fc.constant(operation.path);
  const value = fc.oneof(
    { weight: 9, arbitrary: fitting(parameter.schema, parameter.name) },
    { weight: 1, arbitrary: hostile },
  );
  // An empty or very long name makes another path, which the document does not have.
  return value.map((given) => operation.path.replace(/\{.*\}/, encode(asText(given) || 'a').slice(0, 900)));
}

function payload(operation: Operation): fc.Arbitrary<{ type: string | undefined; text: string | undefined }> {
  const media = Object.entries(operation.content);
  const bodies = media.map(([type, { schema }]) =>
    type === json
      ? mutated(fitting(schema)).map((text) => ({ type, text }))
      : fc.string({ maxLength: 9 }).map((text) => ({ type, text })),
  );
  const none = fc.constant({ type: undefined, text: undefined });
  if (bodies.length === 0) return fc.oneof({ weight: 30, arbitrary: none }, fc.constant({ type: json, text: '{}' }));
  return fc.oneof(...bodies.map((arbitrary) => ({ weight: 30, arbitrary })), none);
}

const requestOf = (operation: Operation): fc.Arbitrary<FuzzedRequest> => {
  const parts = fc.record({
    path: path(operation),
    query: query(operation.parameters.filter((one) => one.in === 'query')),
    body: payload(operation),
    type: rarely<string | undefined>(undefined, ...contentTypes),
    token: rarely<FuzzedRequest['token']>('good', 'bad', 'none'),
    header: rarely<readonly [string, string] | undefined>(
      undefined,
      ['if-none-match', '*'],
      ['if-none-match', 'W/"x", "y"'],
      ['content-encoding', 'gzip'],
      ['accept', 'text/html'],
      ['repr-digest', 'sha-256=:AAAA:'],
    ),
  });
  return parts.map(({ path, query, body, type, token, header }) => {
    const media = type ?? body.type;
    return {
      operation: operation.name,
      url: query === '' ? path : `${path}?${query}`,
      token,
      headers: {
        ...(media === undefined || body.text === undefined ? {} : { 'content-type': media }),
        ...(header === undefined ? {} : { [header[0]]: header[1] }),
      },
      payload: body.text,
    };
  });
};

/** Requests to every operation of the document. Operations with a JSON body are far more frequent. */
export const fuzzedRequest: fc.Arbitrary<FuzzedRequest> = fc.oneof(
  ...operations.map((operation) => ({
    weight: operation.path.startsWith('/v1') ? (operation.content[json] === undefined ? 2 : 6) : 1,
    arbitrary: requestOf(operation),
  })),
);
