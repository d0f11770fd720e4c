import type { Egress } from '../egress/egress.js';
import { invalid, SourceFault } from '../egress/fault.js';
import type { Credential } from '../egress/request.js';
import type { ResponseHead } from '../egress/response_head.js';
import { Secret } from '../egress/secret.js';
import type { DockerLogin } from '../settings/loaded_source.js';
import type { Challenge } from './challenge.js';

const maxAnswerBytes = 64 * 1024;

/** The time limit of one token, retries included. */
const timeoutMs = 60_000;

export interface TokenRequest {
  readonly challenge: Challenge;
  readonly repository: string;
  /** Undefined: a token without credentials, as for public repositories. */
  readonly login: DockerLogin | undefined;
}

/** The `Authorization` of a login in Basic form (RFC 7617). */
export const basicOf = ({ username, password }: DockerLogin): Secret =>
  new Secret(`Basic ${Buffer.from(`${username}:${password.reveal()}`).toString('base64')}`);

/**
 * The `Authorization` with a token of the token server that a challenge names. The server must be allowed before it gets
 * credentials. The scope is that of the worker: the registry cannot ask for more than to pull this repository.
 * @throws SourceFault SOURCE_FORBIDDEN, SOURCE_AUTH_FAILED, SOURCE_INVALID, or the reason of the signal
 */
export async function requestToken(
  egress: Egress,
  { challenge, repository, login }: TokenRequest,
  signal: AbortSignal,
): Promise<Secret> {
  const realm = challenge.parameters.get('realm');
  if (realm === undefined) throw invalid('The registry asks for a token without naming a token server');
  const url = egress.realm(realm);
  const service = challenge.parameters.get('service');
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', `repository:${repository}:pull`);
  const { value } = await egress.json(
    { role: 'realm', url, credential: credentialOf(login, url), explain: ({ head }) => refusal(head, login) },
    maxAnswerBytes,
    { signal, timeoutMs },
  );
  return new Secret(`Bearer ${tokenOf(value)}`);
}

function credentialOf(login: DockerLogin | undefined, { origin }: URL): Credential | undefined {
  if (login === undefined) return undefined;
  return { origin, headersFor: () => ({ Authorization: basicOf(login).reveal() }) };
}

function refusal({ status }: ResponseHead, login: DockerLogin | undefined): SourceFault | undefined {
  if (![400, 401, 403, 404].includes(status)) return undefined;
  const hint =
    login === undefined ? 'without credentials: set docker_config_file' : 'for the credentials of the source';
  return new SourceFault('SOURCE_AUTH_FAILED', `The token server refused a token ${hint} (status ${status})`);
}

/** Servers send `token`, `access_token`, or both with the same value. */
function tokenOf(value: unknown): string {
  const fields = typeof value === 'object' && value !== null ? value : {};
  const token: unknown = Reflect.get(fields, 'token') ?? Reflect.get(fields, 'access_token');
  if (typeof token === 'string' && token !== '') return token;
  throw invalid('The token server sent an answer without a token');
}
