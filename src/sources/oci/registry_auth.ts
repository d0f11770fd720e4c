import { Sequence } from '../../runtime/sequence.js';
import { raceAbort } from '../egress/abort_scope.js';
import type { Egress } from '../egress/egress.js';
import { invalid, SourceFault } from '../egress/fault.js';
import type { Credential, TransferOptions } from '../egress/request.js';
import type { ResponseHead } from '../egress/response_head.js';
import { retrying } from '../egress/retrying.js';
import type { Secret } from '../egress/secret.js';
import type { DockerLogin } from '../settings/loaded_source.js';
import { type Challenge, parseChallenges } from './challenge.js';
import { basicOf, requestToken } from './token.js';

export interface RegistryAuthOptions {
  readonly egress: Egress;
  /** The endpoint of the registry. Its origin alone gets the authorization. */
  readonly endpoint: URL;
  readonly repository: string;
  readonly login: DockerLogin | undefined;
}

/**
 * The authorization for one repository. The challenge of the registry decides its form. All transfers of a model share
 * it, so a token that ended is replaced once for all of them.
 */
export class RegistryAuth {
  readonly #options: RegistryAuthOptions;
  #authorization: Secret | undefined;
  #hasBegun = false;
  /** One renewal at a time. */
  readonly #renewals = new Sequence();

  constructor(options: RegistryAuthOptions) {
    this.#options = options;
  }

  /**
   * Asks the registry for its challenge before the first request, if the source has a login. A registry that allows
   * anonymous reads would otherwise hide private repositories.
   * @throws WorkerError
   */
  async begin(options: TransferOptions): Promise<void> {
    const { egress, endpoint, login } = this.#options;
    if (login === undefined || this.#hasBegun) return;
    await retrying(egress.environment, options, async ({ signal }) => {
      const { head, url, close } = await egress.fetch({ role: 'endpoint', url: new URL('v2/', endpoint) }, signal);
      close();
      if (head.status === 401 && url.origin === endpoint.origin) await this.#renew(undefined, head, signal);
    });
    this.#hasBegun = true;
  }

  /** A credential for one transfer. It knows what it sent last, so that it renews only that. */
  credential(): Credential {
    let sent: Secret | undefined;
    return {
      origin: this.#options.endpoint.origin,
      headersFor: () => {
        sent = this.#authorization;
        return sent === undefined ? {} : { Authorization: sent.reveal() };
      },
      renew: (head, signal) => this.#renew(sent, head, signal),
    };
  }

  /** One renewal at a time. A transfer that waited for another one may find its work done. */
  #renew(refused: Secret | undefined, head: ResponseHead, signal: AbortSignal): Promise<void> {
    const renewal = this.#renewals.run(async () => {
      if (this.#authorization !== refused) return;
      signal.throwIfAborted();
      this.#authorization = await this.#authorize(refused, head, signal);
    });
    return raceAbort(renewal, signal);
  }

  async #authorize(refused: Secret | undefined, head: ResponseHead, signal: AbortSignal): Promise<Secret> {
    const { egress, repository, login } = this.#options;
    const challenges = parseChallenges(head.get('www-authenticate') ?? '');
    if (challenges === undefined) throw invalid('The registry sent a malformed WWW-Authenticate');
    const challenge = byScheme(challenges, 'bearer') ?? byScheme(challenges, 'basic');
    if (challenge === undefined)
      throw authFailed('The registry asks for a form of authorization that is not supported');
    if (challenge.scheme === 'bearer') return requestToken(egress, { challenge, repository, login }, signal);
    if (login === undefined) throw authFailed('The registry requires credentials: set docker_config_file');
    const basic = basicOf(login);
    if (refused?.equals(basic) === true) throw authFailed('The registry refused the credentials of the source');
    return basic;
  }
}

const byScheme = (challenges: readonly Challenge[], scheme: string): Challenge | undefined =>
  challenges.find((each) => each.scheme === scheme);

const authFailed = (message: string): SourceFault => new SourceFault('SOURCE_AUTH_FAILED', message);
