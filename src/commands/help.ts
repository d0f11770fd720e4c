/** The commands and their options. `--help` adds the settings. */
export const usage = `Usage: vram-worker serve [--simulate]
       vram-worker keep [--hold-seconds N]
       vram-worker keep --list
       vram-worker keep --drop [ALLOCATION_ID]
       vram-worker health
       vram-worker pull SOURCE | push FILE... | plan SOURCE | ls | verify SHARD... | rm SHARD...
       vram-worker wait --model-ref REF [--timeout SECONDS]
       vram-worker handle verify HANDLE --secret-file FILE --worker-id ID
       vram-worker handle verify HANDLE --jwks FILE [--worker-id ID]
       vram-worker audit verify FILE... [--checkpoint FILE] [--key-file FILE] [--jwks FILE]

  serve          Run the worker on WORKER_BIND_ADDR until SIGTERM or SIGINT.
  --simulate     Use a simulated GPU in host memory.

  keep           Hold the memory of exportable shards while a worker restarts, until SIGTERM or SIGINT.
                 Uses WORKER_KEEPER_SOCKET and WORKER_KEEPER_TOKEN_FILE, and no GPU.
  --hold-seconds How long to hold memory that no connected worker claims, in seconds; default 3600.
  --list         List the memory that the keeper holds, one JSON object a line.
  --drop         Make the keeper drop all memory, or one allocation. It is freed when no other process has it.
                 Exit status: 0 if it was dropped, 1 if the keeper does not have that allocation.

  health         Check whether the worker with the same settings responds.
                 Exit status: 0 if it does, 1 if it does not.

  pull           Have a running worker fetch a model from a source, and show the progress.
  push           Upload files into the GPU memory of a running worker.
  plan           Ask a running worker whether a model fits, and show its files.
  ls             List the shards of a running worker.
  verify         Have a running worker hash shards now.
  rm             Release shards of a running worker.
  wait           Wait until a running worker reports a model as ready.
                 Each of these commands has its own options: see vram-worker pull --help.

  handle verify  Verify the signature of a handle without the worker. With -, read the handle from stdin.
                 Only the worker knows whether the handle is current.
                 Exit status: 0 if the handle is authentic, 1 if it is not.
  --secret-file  The file of the worker's seal key (HS256).
  --jwks         A file of the worker's public keys, from /.well-known/jwks.json.
  --worker-id    The WORKER_ID of the worker that signed the handle.

  audit verify   Verify an audit log. One FILE includes the rotated files beside it.
                 Exit status: 0 if the log is whole, 1 if it was tampered with, 3 if its last line is torn,
                 4 if it has no entry.
  --checkpoint   A file of checkpoints that were stored elsewhere. The log must contain them.
  --key-file     The file of the worker's seal key, to verify checkpoints: a secret, or an Ed25519 key
                 (private or public).
  --jwks         A file of the worker's public keys, to verify checkpoints.

  --help         Show this help.
  --version      Show the version.

Other exit statuses: 64 invalid usage, 66 unreadable input, 69 no usable GPU or keeper, 70 driver lost or unexpected error,
71 memory not wiped, 73 file not writable, 74 address in use or output not writable, 75 shutdown timed out,
78 invalid configuration.
`;
