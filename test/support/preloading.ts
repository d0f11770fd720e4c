/** The option of Node, for a shell, that loads a module before the program. */
export const importing = (code: string): string =>
  `--import '${`data:text/javascript,${encodeURIComponent(code)}`.replaceAll("'", '%27')}'`;

/** A command that runs Node with a module before the worker. NODE_OPTIONS cannot name it, because `run` removes that. */
export const preloading = (code: string): string[] => ['sh', '-c', `node="$0"; exec "$node" ${importing(code)} "$@"`];

/** A module after which timers of this length do not end. */
export const withoutTimersOf = (ms: number): string => `
const start = setTimeout;
globalThis.setTimeout = (work, delay, ...rest) => start(work, delay === ${ms} ? 2 ** 31 - 1 : delay, ...rest);`;
