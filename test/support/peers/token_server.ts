import { createPrivateKey } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { SignJWT } from 'jose';
import type { Test } from 'tap';
import type { Authority } from '../certificates.js';
import { type Login, tokenService } from './docker_registry.js';

export interface TokenServer {
  /** The URL of tokens. */
  readonly realm: string;
  /** `127.0.0.1:port`, as `realm_hosts` has it. */
  readonly host: string;
  readonly issuer: string;
  readonly requests: readonly IncomingMessage[];
  /** How long the next tokens are valid. */
  lifetimeSeconds: number;
}

/**
 * A token server of a registry (Distribution token authentication specification) over TLS. It grants what a request asks
 * for if the login is right. It signs with a key whose certificate the authority issued.
 */
export async function startTokenServer(t: Pick<Test, 'teardown'>, authority: Authority, login: Login) {
  const requests: IncomingMessage[] = [];
  const signer = authority.issue('token signer');
  const { cert, key } = authority.issue('token server');
  const basic = `Basic ${Buffer.from(`${login.username}:${login.password}`).toString('base64')}`;
  const tokens: { lifetimeSeconds: number } = { lifetimeSeconds: 300 };
  const server = createServer({ cert, key }, (request, response) => {
    requests.push(request);
    const query = new URL(request.url ?? '', 'https://x').searchParams;
    if (request.headers.authorization !== basic || query.get('service') !== tokenService) {
      response.writeHead(401).end();
      return;
    }
    const accesses = query.getAll('scope').flatMap((scope) => scope.split(' ').map(accessOf));
    void sign(signer, accesses, tokens.lifetimeSeconds).then((token) =>
      response.end(JSON.stringify({ token, expires_in: tokens.lifetimeSeconds })),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  const host = `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  return Object.assign(tokens, { realm: `https://${host}/token`, host, issuer, requests }) satisfies TokenServer;
}

const issuer = 'auth.test';

/** The access of a scope such as `repository:models/llama:pull,push`. */
function accessOf(scope: string) {
  const [, type = '', name = '', actions = ''] = /^([a-z]+):(.+):([a-z*,]+)$/.exec(scope) ?? [];
  return { type, name, actions: actions.split(',') };
}

function sign(
  { cert, key }: { readonly cert: Buffer; readonly key: Buffer },
  access: readonly unknown[],
  lifetimeSeconds: number,
): Promise<string> {
  const der = cert.toString().replace(/-----[^-]+-----|\s/g, '');
  return new SignJWT({ access })
    .setProtectedHeader({ alg: 'ES256', typ: 'JWT', x5c: [der] })
    .setIssuer(issuer)
    .setAudience(tokenService)
    .setSubject('robot')
    .setIssuedAt()
    .setNotBefore('-10s')
    .setExpirationTime(`${lifetimeSeconds}s`)
    .sign(createPrivateKey(key));
}
