import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryDirectory } from './temporary_directory.js';

/** A terminal of tmux, with a server of its own. */
export class Tmux {
  readonly #socket: string;

  private constructor(socket: string) {
    this.#socket = socket;
  }

  /** Runs a shell command in a new terminal until the test ends. */
  static start(t: Test, { columns, rows }: { columns: number; rows: number }, command: string): Tmux {
    const tmux = new Tmux(join(temporaryDirectory(t), 'tmux'));
    t.teardown(() => {
      try {
        tmux.#run('kill-server');
      } catch {
        // It has ended with its last command.
      }
    });
    const size = ['-x', String(columns), '-y', String(rows)];
    tmux.#run('-f', '/dev/null', 'new-session', '-d', ...size, command);
    return tmux;
  }

  /** The lines on the screen, and those that have left it at the top. */
  screen(): string[] {
    return this.#run('capture-pane', '-p', '-S', '-').trimEnd().split('\n');
  }

  /** Presses keys, by the names of tmux. */
  press(...keys: readonly string[]): void {
    this.#run('send-keys', ...keys);
  }

  resize(columns: number, rows: number): void {
    this.#run('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** Whether the cursor is visible. */
  get hasCursor(): boolean {
    return this.#run('display-message', '-p', '#{cursor_flag}').trim() === '1';
  }

  #run(...args: readonly string[]): string {
    return execFileSync('tmux', ['-S', this.#socket, ...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  }
}
