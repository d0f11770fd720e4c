import type { WriteStream } from 'node:tty';
import { widthOf } from './text_width.js';

/** At most ten redraws a second. */
const minIntervalMs = 100;

/** What the lines need of a terminal. `process.stderr` has it. */
export type TerminalStream = Pick<WriteStream, 'write' | 'columns' | 'rows' | 'on' | 'off'>;

export interface LiveClock {
  readonly nowMs: () => number;
  readonly schedule: (work: () => void, ms: number) => NodeJS.Timeout;
}

const realClock: LiveClock = { nowMs: () => performance.now(), schedule: (work, ms) => setTimeout(work, ms).unref() };

/**
 * Lines at the end of a terminal that are redrawn in place. The cursor stays visible, below the lines, so a process that
 * is killed leaves a usable terminal.
 */
export class LiveLines {
  readonly #terminal: TerminalStream;
  readonly #clock: LiveClock;
  readonly #resized = () => this.#request();
  #render: ((columns: number, rows: number) => readonly string[]) | undefined;
  #drawn: readonly string[] = [];
  #drawnAtMs = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;

  constructor(terminal: TerminalStream, clock: LiveClock = realClock) {
    this.#terminal = terminal;
    this.#clock = clock;
    terminal.on('resize', this.#resized);
  }

  /** Shows other lines soon. */
  show(render: (columns: number, rows: number) => readonly string[]): void {
    this.#render = render;
    this.#request();
  }

  /** Writes lines that stay, above the live ones. They have no control characters. */
  print(lines: readonly string[]): void {
    this.#write([...lines], this.#drawn);
  }

  /** Ends with the newest lines on the screen. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#terminal.off('resize', this.#resized);
    this.#draw();
    this.#render = undefined;
    this.#drawn = [];
  }

  #request(): void {
    if (this.#timer !== undefined) return;
    const waitMs = this.#drawnAtMs + minIntervalMs - this.#clock.nowMs();
    if (waitMs <= 0) this.#draw();
    else this.#timer = this.#clock.schedule(() => this.#draw(), waitMs);
  }

  #draw(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#drawnAtMs = this.#clock.nowMs();
    // The last column stays empty: terminals differ in what a character there does.
    const lines = this.#render?.(this.#columns - 1, this.#rows - 1) ?? this.#drawn;
    this.#write([], lines);
  }

  #write(permanent: readonly string[], lines: readonly string[]): void {
    const up = this.#rowsDrawn();
    const start = up === 0 ? '' : `\u001b[${up}A`;
    const text = [...permanent, ...lines].map((line) => `\r${line}\u001b[K\n`).join('');
    this.#drawn = lines;
    this.#terminal.write(`${start}${text}\r\u001b[J`);
  }

  /** A terminal that became narrower has wrapped the lines. */
  #rowsDrawn(): number {
    return this.#drawn.reduce((rows, line) => rows + Math.max(1, Math.ceil(widthOf(line) / this.#columns)), 0);
  }

  get #columns(): number {
    return Math.max(2, this.#terminal.columns || 80);
  }

  get #rows(): number {
    return Math.max(2, this.#terminal.rows || 24);
  }
}
