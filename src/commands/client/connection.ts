import { string } from '../arguments.js';
import { UsageError } from '../command.js';
import { readTlsIdentity, readToken } from './credentials.js';
import { workerUrl } from './worker_address.js';
import { WorkerClient } from './worker_client.js';

/** The options of every command that uses a worker. */
export const connectionOptions = {
  url: string,
  'token-file': string,
  'ca-file': string,
  'cert-file': string,
  'key-file': string,
};

export type ConnectionValues = { readonly [Name in keyof typeof connectionOptions]?: string | undefined };

/** The options as a shell reads them, for messages that name another command. */
export function connectionArguments(values: ConnectionValues): string {
  const names = Object.keys(connectionOptions) as (keyof ConnectionValues)[];
  return names.map((name) => (values[name] === undefined ? '' : ` --${name} ${quoted(values[name])}`)).join('');
}

const quoted = (text: string): string => (/^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** The end of the help of these commands. */
export const connectionHelp = `Connection:
  --url URL          The worker. Default: VRAM_WORKER_URL, else the address in WORKER_BIND_ADDR, else
                     http://127.0.0.1:8001.
  --token-file FILE  The file of the token. Default: VRAM_WORKER_TOKEN_FILE, else the token in VRAM_WORKER_TOKEN.
                     For a worker on this host also WORKER_API_TOKEN_FILE, and .worker/token of npm start.
  --ca-file FILE     The CA certificates that verify the worker's certificate. Default: VRAM_WORKER_CA_FILE,
                     else the public CAs.
  --cert-file FILE, --key-file FILE
                     A client certificate and its key, if the worker requires one.`;

/** A client of the worker that the options and the environment name. @throws UsageError, InputError, ConfigError */
export async function connect(values: ConnectionValues, environment: NodeJS.ProcessEnv): Promise<WorkerClient> {
  const url = workerUrl(values.url, environment);
  if ((values['cert-file'] === undefined) !== (values['key-file'] === undefined))
    throw new UsageError('--cert-file and --key-file must be set together');
  const caFile = values['ca-file'] ?? (environment.VRAM_WORKER_CA_FILE || undefined);
  const names = { caFile, certFile: values['cert-file'], keyFile: values['key-file'] };
  const [token, tls] = await Promise.all([readToken(values['token-file'], url, environment), readTlsIdentity(names)]);
  return new WorkerClient({ url, token, tls });
}
