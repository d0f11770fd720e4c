interface Section {
  readonly usage: readonly string[];
  readonly text: string;
}

const serve: Section = {
  usage: ['serve [--simulate]'],
  text: `\
  serve          Run the worker on WORKER_BIND_ADDR until SIGTERM or SIGINT.
  --simulate     Use a simulated GPU in host memory.
`,
};

const keep: Section = {
  usage: ['keep [--hold-seconds N]', 'keep --list', 'keep --drop [ALLOCATION_ID]'],
  text: `\
  keep           Hold the memory of exportable shards while a worker restarts, until SIGTERM or SIGINT.
                 Uses WORKER_KEEPER_SOCKET and WORKER_KEEPER_TOKEN_FILE, and no GPU.
  --hold-seconds How long to hold memory that no connected worker claims, in seconds; default 3600.
  --list         List the memory that the keeper holds, one JSON object per line.
  --drop         Make the keeper drop all memory, or one allocation. It is freed when no other process has it.
                 Exit status: 0 if it was dropped, 1 if the keeper does not have that allocation.
`,
};

const health: Section = {
  usage: ['health'],
  text: `\
  health         Check whether the worker with the same settings responds.
                 Exit status: 0 if it does, 1 if it does not.
`,
};

const clients: Section = {
  usage: [
    'pull SOURCE | push FILE... | plan SOURCE | ls | verify SHARD... | rm SHARD...',
    'wait --model-ref REF [--timeout SECONDS]',
  ],
  text: `\
  pull           Have a running worker fetch a model from a source, and show the progress.
  push           Upload files into the GPU memory of a running worker.
  plan           Ask a running worker whether a model fits, and show its files.
  ls             List the shards of a running worker.
  verify         Have a running worker hash shards now.
  rm             Release shards of a running worker.
  wait           Wait until a running worker reports a model as ready.
                 Each of these commands has its own options: see vram-worker pull --help.
`,
};

const handleVerify: Section = {
  usage: [
    'handle verify HANDLE --secret-file FILE --worker-id ID',
    'handle verify HANDLE --jwks FILE [--worker-id ID]',
  ],
  text: `\
  handle verify  Verify the signature of a handle without the worker. With -, read the handle from stdin.
                 Only the worker knows whether the handle is current.
                 Exit status: 0 if the handle is authentic, 1 if it is not.
  --secret-file  The worker's WORKER_SEAL_KEY_FILE (HS256), or its API token file if that is not set.
  --jwks         A file of the worker's public keys (Ed25519), from /.well-known/jwks.json.
  --worker-id    The WORKER_ID of the worker that signed the handle, or its host name if that is not set.
                 Required with --secret-file.
`,
};

const auditVerify: Section = {
  usage: ['audit verify FILE... [--checkpoint FILE] [--key-file FILE] [--jwks FILE]'],
  text: `\
  audit verify   Verify an audit log. One FILE includes the rotated files next to it.
                 Exit status: 0 if the log is whole, 1 if it was tampered with, 3 if its last line is torn,
                 4 if it has no entry.
  --checkpoint   A file of checkpoints that were stored elsewhere. The log must contain them.
  --key-file     The file of the worker's seal key, to verify checkpoints: a secret, or an Ed25519 key
                 (private or public).
  --jwks         A file of the worker's public keys, to verify checkpoints.
`,
};

const usageOf = (sections: readonly Section[]): string =>
  `Usage: ${sections
    .flatMap((section) => section.usage)
    .map((line) => `vram-worker ${line}`)
    .join('\n       ')}\n`;

const all = [serve, keep, health, clients, handleVerify, auditVerify];

/** The commands and their options. `--help` adds the settings. */
export const usage = `${usageOf(all)}
${all.map(({ text }) => text).join('\n')}
  --help         Show this help, or that of a command.
  --version      Show the version.

Other exit statuses: 64 invalid usage, 66 unreadable input, 69 no usable GPU or keeper, 70 driver lost or unexpected error,
71 memory not wiped, 73 file not writable, 74 address in use or output not writable, 75 shutdown timed out,
78 invalid configuration.
`;

const helpOf = (section: Section): string => `${usageOf([section])}
${section.text}
Settings and other exit statuses: see vram-worker --help.
`;

export const keepHelp = helpOf(keep);
export const healthHelp = helpOf(health);
export const handleVerifyHelp = helpOf(handleVerify);
export const auditVerifyHelp = helpOf(auditVerify);
