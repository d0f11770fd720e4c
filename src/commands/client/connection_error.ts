import { codeOf } from '../../errors.js';
import { ExitError } from '../../process/exit_status.js';
import { PeerError, UnreachableError } from './client_error.js';

/** What is wrong with the certificate or the protocol of the peer, by the code of Node's error. */
const tlsProblems: readonly (readonly [RegExp, string])[] = [
  [/SELF_SIGNED|UNABLE_TO_|CERT_UNTRUSTED|INVALID_CA/, 'has a certificate of an unknown authority: set --ca-file'],
  [/ALTNAME/, 'has a certificate for another host: set --url to a name in its certificate'],
  [/CERT_/, 'has an invalid certificate'],
  [/SSL_WRONG_VERSION|SSL_PACKET_LENGTH/, 'does not use TLS: use http:// in --url'],
  [/CERTIFICATE_REQUIRED|BAD_CERTIFICATE/, 'requires a client certificate: set --cert-file and --key-file'],
  [/^ERR_(SSL|TLS|OSSL)|^EPROTO/, 'did not complete the TLS handshake: check whether --url must begin with http://'],
  [/^HPE_/, 'does not answer as an HTTP server: check --url'],
];

/** The error of a connection as one with an exit status and a message that says what to do. */
export function toPeerError(url: string, error: unknown): Error {
  if (error instanceof ExitError) return error;
  const code = codeOf(firstOf(error));
  const [, problem] = tlsProblems.find(([pattern]) => pattern.test(code)) ?? [];
  const options = { cause: error };
  if (problem !== undefined) return new PeerError(`the worker at ${url} ${problem} (${code})`, options);
  if (/^ECONNRESET|^EPIPE|ABORTED/.test(code))
    return new UnreachableError(`the worker at ${url} ended the connection (${code})`, options);
  return new UnreachableError(`cannot reach the worker at ${url} (${code}): start it, or set --url`, options);
}

/** A failed connection to a name with several addresses has an error for each. */
const firstOf = (error: unknown): unknown => (error instanceof AggregateError ? error.errors[0] : error);
