import { sourceTypes } from '../schemas/source.js';

interface Violation {
  readonly instancePath: string;
  readonly keyword?: string;
  readonly message?: string;
  readonly params: object;
}

/** The error for the first violation of a schema. It names the field, and says what the field must be. */
export function schemaError([first]: readonly Violation[], part: string): Error {
  if (first === undefined) return new Error(`${subjectOf(part)} is invalid`);
  const field = fieldOf(first.instancePath);
  const { tag, missingProperty, additionalProperty } = textsIn(first.params);
  if (tag !== undefined) return new Error(`${join(field, tag)} must be one of ${sourceTypes.join(', ')}`);
  if (missingProperty !== undefined) return new Error(`${join(field, missingProperty)} is missing`);
  const subject = field === '' ? subjectOf(part) : field;
  if (additionalProperty !== undefined) {
    const kind = part === 'querystring' ? 'parameter' : 'field';
    return new Error(`${subject} has an unknown ${kind}: ${JSON.stringify(additionalProperty.slice(0, 64))}`);
  }
  return new Error(`${subject} ${ruleOf(first)}`);
}

/** What the field must be, in words. Ajv's own text is enough for a pattern. */
function ruleOf({ keyword, message, params }: Violation): string {
  const { limit, type, allowedValues, format } = { ...params } as Readonly<Record<string, unknown>>;
  if (format === 'visible-text')
    return 'must be in Unicode NFC, without control, bidirectional or zero-width characters';
  if (Array.isArray(allowedValues)) return `must be one of ${allowedValues.join(', ')}`;
  if (typeof type === 'string' && type in typeNames) return `must be ${typeNames[type]}`;
  if (keyword === 'minimum') return `must be at least ${limit}`;
  if (keyword === 'maximum') return `must be at most ${limit}`;
  if (limit === 1 && (keyword === 'minLength' || keyword === 'minItems')) return 'must not be empty';
  if (keyword === 'maxLength') return `must have at most ${limit} characters`;
  if (keyword === 'maxItems') return `must have at most ${limit} items`;
  if (keyword === 'maxProperties') return `must have at most ${limit} entries`;
  if (keyword === 'uniqueItems') return 'must not have duplicates';
  return message ?? 'is invalid';
}

const typeNames: Readonly<Record<string, string>> = {
  array: 'an array',
  boolean: 'true or false',
  integer: 'an integer',
  object: 'a JSON object',
  string: 'a string',
};

const subjectOf = (part: string): string =>
  part === 'body' ? 'The body' : part === 'querystring' ? 'The query' : part;

/** `/shards/0/vram_bytes` is `shards[0].vram_bytes`. */
const fieldOf = (instancePath: string): string =>
  instancePath
    .split('/')
    .slice(1)
    .map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, name) => (/^[0-9]+$/.test(name) ? `${path}[${name}]` : join(path, name)), '');

const join = (path: string, name: string): string => (path === '' ? name : `${path}.${name}`);

/** The parameters of a violation that are text. */
const textsIn = (params: object): Readonly<Record<string, string | undefined>> =>
  Object.fromEntries(Object.entries(params).filter(([, value]) => typeof value === 'string'));
