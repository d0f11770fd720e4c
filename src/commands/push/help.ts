import { connectionHelp } from '../client/connection.js';

export const pushHelp = `Usage: vram-worker push FILE... [--model-ref REF] [--shard-prefix PREFIX] [--gpu N]... [--no-digest]
                        [--retry-seconds N] [--json] [CONNECTION]

Upload files from this host into the GPU memory of a running worker. Each file becomes a shard of one model.
The command first reads each file and computes its SHA-256, which the worker then requires. It continues automatically
after a lost connection or a pause of the worker. Ctrl-C ends the upload, and the worker frees its memory.

  --model-ref REF        The name of the model. Default: the name of the first file, without its extension.
  --shard-prefix PREFIX  The shards are PREFIX-0, PREFIX-1 and so on. Default: from the name of the model.
  --gpu N                The GPU. With several, such as --gpu 0,1, the files go to them in turn. Default: the worker's
                         choice.
  --no-digest            Do not hash the files first. The worker then cannot detect damage in transit.
  --retry-seconds N      How long to wait for a worker that does not respond; default 60.
  --json                 One JSON object per line: progress, note, sealed with the shard and its handle, or error.

${connectionHelp}

Exit status: 0 if all shards are sealed, 1 if the worker refused one, 66 if a file cannot be read, 69 if the worker
cannot be reached, 75 if a later attempt can succeed, 77 if the worker refused the token, 130 after Ctrl-C, 143 after
SIGTERM. Shards that are already sealed remain. The same command skips them the next time.

Example:
  vram-worker push model.gguf --model-ref demo
`;
