import type { Progress } from './progress.js';

/** Shows the progress of a transfer. */
export interface Reporter {
  show(progress: Progress): void;
  /** A message that stays. */
  note(text: string): void;
  /** The last progress was shown. */
  stop(): void;
}

export type Write = (text: string) => void;
