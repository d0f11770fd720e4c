import type { Config } from '../config/load.js';

/** The text on stdout for a person who starts the worker by hand: its address, its token, and requests to try. */
export function banner(config: Config, address: string): string {
  const token = `$(cat ${quoted(config.apiTokenFile)})`;
  const json = `-H 'Content-Type: application/json' -d`;
  const authorized = `curl -sS${tlsOptions(config)} -w '\\n' -H "Authorization: Bearer ${token}"`;
  return `
  vram-residency ${config.workerId} at ${address}${config.simulate ? ', on a SIMULATED GPU' : ''}
  token   ${config.apiTokenFile}
  docs    ${address}/docs
  page    ${address}/ui/

  Plan a model:     ${authorized} ${address}/v1/plan ${json} '{"model_ref":"example","model_bytes":1048576,"shard_layout":"single"}'
  Commit a file:    ${authorized} -T package.json '${address}/v1/commit?shard_id=example-0&model_ref=example'
  Check readiness:  ${authorized} ${address}/v1/ready

`;
}

function tlsOptions({ tls }: Config): string {
  if (tls === undefined) return '';
  return ` --cacert ${quoted(tls.certFile)}${tls.clientCaFile === undefined ? '' : ' --cert CLIENT.crt --key CLIENT.key'}`;
}

/** A word for a POSIX shell. */
const quoted = (path: string): string =>
  /^[A-Za-z0-9_./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`;
