import koffi from 'koffi';

const exit = koffi.load(null).func('void _exit(int status)');

/**
 * Ends the process now, with this status: exit handlers have run, and nothing else is waited for. `process.exit` would
 * join the threads of libuv's pool, and so never end while one of them hangs in a driver (Node 20, measured).
 */
export function exitNow(status: number): never {
  process.exitCode = status;
  process.emit('exit', status);
  exit(status);
  throw new Error('_exit returned');
}
