import type { components } from './api.js';
import { errorOf } from './api_error.js';

type Readiness = components['schemas']['Readiness'];

/** The shape of a result of openapi-fetch. */
export interface Result<Data> {
  readonly data?: Data;
  readonly error?: unknown;
  readonly response: Response;
}

/** The data of a response that may be empty. @throws ApiError */
export function checked<Data>({ data, error, response }: Result<Data>): Data | undefined {
  if (!response.ok) throw errorOf(response, error);
  return data;
}

/** The data of a response. @throws ApiError */
export function dataOf<Data>(result: Result<Data>): Data {
  const data = checked(result);
  if (data === undefined) throw errorOf(result.response, undefined);
  return data;
}

/** The answer of `ready`. Status 503 is an answer if it is not a problem. @throws ApiError */
export function readinessOf({ data, error, response }: Result<unknown>): Readiness {
  const answer = data ?? error;
  if (isReadiness(answer)) return answer;
  throw errorOf(response, answer);
}

function isReadiness(answer: unknown): answer is Readiness {
  return typeof answer === 'object' && answer !== null && 'ready' in answer && 'reasons' in answer;
}
