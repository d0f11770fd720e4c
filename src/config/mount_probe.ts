import { spawn } from 'node:child_process';
import { FileTimeoutError } from '../storage/file_calls.js';

/**
 * Resolves when the file system of a path responds, whether the path exists or not. A process of its own makes the call:
 * a process with a thread that hangs in the kernel cannot end, not even by SIGKILL. @throws FileTimeoutError
 */
export function requireResponse(name: string, path: string, timeoutSeconds: number): Promise<void> {
  // The child shares no stream with the worker, so no reader of the worker's output waits for it.
  const child = spawn('stat', ['-L', '--', path], { stdio: 'ignore' });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      child.unref();
      reject(new FileTimeoutError(name, timeoutSeconds));
    }, timeoutSeconds * 1000);
    const finish = (): void => {
      clearTimeout(timer);
      resolve();
    };
    // Without the program `stat`, the time limit of the reads remains.
    child.once('exit', finish).once('error', finish);
  });
}
