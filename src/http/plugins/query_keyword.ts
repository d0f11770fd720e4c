import type { QueryType } from '../schemas/make.js';

/** An error of a function keyword, as Ajv takes it. */
interface KeywordError {
  readonly keyword: string;
  readonly message: string;
  readonly params: object;
}

/** The place of a value in its parent. */
interface DataContext {
  readonly parentData: Record<string | number, unknown>;
  readonly parentDataProperty: string | number;
}

interface Keyword {
  (type: QueryType, value: unknown, schema?: unknown, context?: DataContext): boolean;
  errors?: KeywordError[];
}

const decimal = /^(?:0|[1-9][0-9]{0,15})$/;

/** Replaces the text of a query parameter by its value, exactly: Ajv's own coercion would take `1e3` and round. */
export const query: Keyword = (type, text, _schema, context) => {
  const value = type.type === 'integer' ? integerOf(text, type) : booleanOf(text);
  if (value === undefined || context === undefined) {
    query.errors = [{ keyword: 'query', message: `must be ${descriptionOf(type)}`, params: {} }];
    return false;
  }
  context.parentData[context.parentDataProperty] = value;
  return true;
};

function integerOf(text: unknown, { minimum, maximum }: { minimum: number; maximum: number }): number | undefined {
  if (typeof text !== 'string' || !decimal.test(text)) return undefined;
  const value = Number(text);
  return Number.isSafeInteger(value) && value >= minimum && value <= maximum ? value : undefined;
}

const booleanOf = (text: unknown): boolean | undefined =>
  text === 'true' ? true : text === 'false' ? false : undefined;

const descriptionOf = (type: QueryType): string =>
  type.type === 'integer' ? `an integer from ${type.minimum} to ${type.maximum}` : 'true or false';
