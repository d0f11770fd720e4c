import type { Logger } from 'pino';
import type { AttachServer } from '../attach/attach_server.js';
import type { Config } from '../config/load.js';
import { readAttachToken, readKeeperToken, readSealSecret, readTokens, wipe } from '../config/secrets.js';
import { readTls } from '../config/tls_files.js';
import { type Tokens, tokensOf } from '../http/plugins/tokens.js';
import type { TlsServers } from '../http/server/tls_server.js';
import type { Residency } from '../residency/residency.js';
import type { SourceRegistry } from '../sources/registry.js';
import type { FileCalls } from '../storage/file_calls.js';
import { FileWatch, reportTo } from './file_watch.js';
import type { FileGroup } from './watched_group.js';

/** The parts of a worker that hold secrets or certificates. */
export interface Reloadable {
  readonly config: Config;
  readonly residency: Residency;
  readonly tokens: Tokens;
  readonly sources: SourceRegistry;
  readonly tls: TlsServers | undefined;
  readonly attach: AttachServer | undefined;
  readonly logger: Logger;
}

/**
 * Reloads tokens, seal key, remote sources and certificates when their files change. If a file is invalid, or its file system hangs,
 * logs an error and keeps the previous version.
 */
export function reloadOnChange(reloadable: Reloadable): FileWatch {
  const { config, logger } = reloadable;
  return new FileWatch(groupsOf(reloadable), {
    timeoutSeconds: config.fileTimeoutSeconds,
    report: reportTo(logger),
  });
}

function groupsOf(reloadable: Reloadable): FileGroup[] {
  const { config, residency, tokens } = reloadable;
  const { apiTokenFile, readTokenFile, sealKeyFile } = config;
  const tokenFiles: FileGroup = {
    name: 'tokens',
    paths: present(apiTokenFile, readTokenFile),
    reload: async (files) => {
      const { apiToken, readToken } = await readTokens(config, files);
      const changed = tokens.replace(tokensOf({ apiToken, readToken }));
      wipe(apiToken, readToken);
      for (const role of changed) residency.tokenReplaced(role);
      return changed.length > 0;
    },
  };
  const sealKey: FileGroup = {
    name: 'seal key',
    paths: [sealKeyFile ?? apiTokenFile],
    reload: async (files) => {
      const secret = await readSealSecret(config, files);
      try {
        return await residency.sealKey.rotate(secret);
      } finally {
        wipe(secret);
      }
    },
  };
  return [
    tokenFiles,
    sealKey,
    ...attachGroups(reloadable),
    ...keeperGroups(reloadable),
    ...sourceGroups(reloadable),
    ...certificateGroups(reloadable),
  ];
}

/** The token of attaching processes, if they need one. */
function attachGroups({ config, residency, attach }: Reloadable): FileGroup[] {
  const { attachTokenFile } = config;
  if (attach === undefined || attachTokenFile === undefined) return [];
  const reload = async (files: FileCalls) => {
    const token = await readAttachToken(config, files);
    const isChanged = token !== undefined && attach.replaceToken(token);
    wipe(token);
    if (isChanged) residency.tokenReplaced('attach');
    return isChanged;
  };
  return [{ name: 'attach token', paths: [attachTokenFile], reload }];
}

/** The token of the keeper. The keeper reloads its own, so the next connection needs the new one. */
function keeperGroups({ config, residency }: Reloadable): FileGroup[] {
  const { keeperTokenFile } = config;
  if (keeperTokenFile === undefined) return [];
  const reload = async (files: FileCalls) => {
    const token = await readKeeperToken(config, files);
    const isChanged = token !== undefined && residency.keeping.replaceToken(token.toString('latin1'));
    wipe(token);
    if (isChanged) residency.tokenReplaced('keeper');
    return isChanged;
  };
  return [{ name: 'keeper token', paths: [keeperTokenFile], reload }];
}

/** The server's certificate and key, and the CA of its clients. */
function certificateGroups({ config, tls }: Reloadable): FileGroup[] {
  const { tls: tlsFiles } = config;
  if (tls === undefined || tlsFiles === undefined) return [];
  const reload = async (files: FileCalls) => tls.replace(await readTls(tlsFiles, files));
  return [{ name: 'certificates', paths: present(tlsFiles.certFile, tlsFiles.keyFile, tlsFiles.clientCaFile), reload }];
}

/** The settings of remote sources, and the files that they name. A reload can change the list of files. */
function sourceGroups({ config: { sourcesFile, sources: loaded }, sources }: Reloadable): FileGroup[] {
  if (sourcesFile === undefined) return [];
  let { paths } = loaded;
  const reload = async (files: FileCalls) => {
    const { readSources } = await import('../config/sources_file.js');
    // Also if one of the files is invalid: the next change of it must cause another reload.
    const read = await readSources(sourcesFile, files, (found) => {
      paths = found;
    });
    return sources.replace(read.sources);
  };
  return [
    {
      name: 'sources',
      get paths() {
        return paths;
      },
      reload,
    },
  ];
}

const present = (...paths: readonly (string | undefined)[]): string[] => paths.filter((path) => path !== undefined);
