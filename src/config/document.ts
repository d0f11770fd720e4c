import type { Setting } from './setting.js';
import { sections } from './settings.js';
import { valueText } from './settings_help.js';
import { sourcesDocument } from './sources_document.js';

/** The text of `docs/configuration.md`. */
export function configurationDocument(): string {
  const lists = Object.entries(sections).map(
    ([heading, section]) => `## ${heading}\n\n${Object.values(section).map(item).join('')}`,
  );
  return [introduction, ...lists, secretFiles, sourcesDocument(), simulator].join('\n');
}

function item(setting: Setting): string {
  return `- **\`${setting.name}\`**: ${setting.doc}\n  Value: ${valueText(setting)}.\n`;
}

const introduction = `# Configuration

<!-- Generated from src/config/settings.ts by \`npm run docs\`. -->

The worker reads its settings from the environment once, at startup. It refuses to start if a \`WORKER_…\` variable is
unknown, empty or invalid. It then names the variable on stderr and exits with status 78. Paths are relative to
the working directory of the worker. \`vram-worker --help\` lists the same settings.

Kubernetes sets variables such as \`WORKER_PORT\` for a Service named \`worker\`. The worker ignores them with a warning
if their values have the form of a service link, such as \`tcp://10.96.0.11:8001\`. Other values are unknown settings.
`;

const secretFiles = `## Secret files

- The API token is the file in \`WORKER_API_TOKEN_FILE\`. If that is unset, the worker reads
  \`$CREDENTIALS_DIRECTORY/worker-token\`, a systemd credential. If that does not exist either, \`--simulate\` creates
  \`.worker/token\` with mode 0600. Without \`--simulate\`, the worker refuses to start.
- Tokens, the seal key, the credentials of remote sources and the TLS key must be in regular files without permissions
  for group and others. Use \`chmod 600\`. If the worker does not run as root, the group or an ACL may read a file
  that root owns. systemd and Kubernetes provide such files, with mode 0440. Certificates may be readable.
- Other users must not be able to replace the files of tokens, keys, certificates, remote sources, the manifest, the
  audit log and the kernels. The worker refuses such a file if other users can write its directory, or one above it. A
  sticky directory, such as \`/tmp\`, is allowed if the file belongs to the worker's user or to root. The worker
  trusts the owner and the group of a directory. The same holds for the directories of each link on the way to the file.
- A token or an HS256 secret must contain at least 32 bytes. The worker ignores one newline at the end of its file.
- A token must be a bearer token (RFC 6750): A-Z a-z 0-9 - . _ ~ + / and \`=\` at the end. The read token must differ
  from the API token.
- Ed25519 needs a file with a private key in PKCS#8, in PEM or DER.
- The worker checks tokens, keys, certificates and the files of remote sources for changes once a second. It reads
  them again on SIGHUP. If a new file is invalid, or its file system hangs, the worker logs an error and keeps the
  previous version.
- A secret or certificate file can contain at most 1 MiB.
`;

const simulator = `## Simulator

With \`--simulate\`, the worker runs on a simulated GPU. The simulator reads the variables \`CUDA_SIM_*\`:
see [cuda/sim/README.md](../cuda/sim/README.md#settings).
`;
