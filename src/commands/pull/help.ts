import { connectionHelp } from '../client/connection.js';

export const sourceHelp = `SOURCE:
  hf://org/name                    a Hugging Face repository; @revision after the name selects a branch, tag or commit
  hf://org/name/model.gguf         one of its files
  hf://org/name:Q4_K_M             its GGUF files of this quantization
  hf-cache://org/name              the same from the Hugging Face cache of the worker's host
  oci://host/repository:tag        an artifact of an OCI registry; #file selects a file
  s3://bucket/key                  an object; s3://bucket/prefix/ is all objects below the prefix
  https://host/model.gguf          a file of an HTTPS server
  file:model.gguf                  a file in the worker's model directory`;

export const pullHelp = `Usage: vram-worker pull SOURCE [--name NAME] [--shard-prefix PREFIX] [--model-ref REF] [--expect [PATH=]sha256:HEX]...
                        [--digest require|allow] [--format-check strict|basic|off] [--gpu N]...
                        [--bytes-per-second N] [--deadline-seconds N] [--detach] [--retry-seconds N] [--json]
                        [CONNECTION]
       vram-worker pull --watch PULL [--json] [CONNECTION]
       vram-worker pull --cancel PULL [--json] [CONNECTION]

Have a running worker fetch a whole model into GPU memory, all files or none, and show the progress.

${sourceHelp}

  --name NAME             The source in the worker's WORKER_SOURCES_FILE. Default: the only one that fits.
  --shard-prefix PREFIX   The shards are PREFIX-0, PREFIX-1 and so on. Default: from the name of the file or repository.
  --model-ref REF         The name of the model. Default: SOURCE with its resolved revision.
  --expect sha256:HEX     The SHA-256 of the file. For several files, give PATH=sha256:HEX for each.
  --digest allow          Also pull files without a digest from the source or --expect.
  --format-check basic    Also pull files of unknown formats, and incomplete sets; off checks no format.
  --bytes-per-second N    The maximum rate from a remote source.
  --gpu N                 The GPUs that may be used, such as --gpu 0,1. Default: all.
  --deadline-seconds N    The worker fails the pull if it takes longer. Default: WORKER_PULL_DEADLINE_SECONDS.
  --detach                Print the id of the pull, and do not wait for it.
  --watch PULL            Show the progress of a pull that runs, or its end.
  --cancel PULL           Cancel a pull, and wait until the worker has freed its memory.
  --retry-seconds N       How long to wait for a worker that does not respond; default 60.
  --json                  One JSON object per line: pull, progress, note, end, or error.

${connectionHelp}

If you run the same command again while the pull runs, it joins the pull. Ctrl-C cancels the pull after two seconds. A second
Ctrl-C within this time leaves the pull running, and prints its id.

Exit status: 0 if the model is sealed, 1 if the pull failed, 3 if it was left running, 69 if the worker cannot be reached,
75 if a later attempt can succeed, 77 if the worker refused the token, 130 after Ctrl-C, 143 after SIGTERM.

Example:
  vram-worker pull hf://ggml-org/tinygemma3-GGUF:Q8_0 --shard-prefix tiny
`;
