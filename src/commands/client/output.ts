import { safeJson, safeText } from '../terminal/safe_text.js';

/** Writes one line of the result. Characters that a terminal would run are escaped. */
export const printLine = (text: string): void => void process.stdout.write(`${safeText(text)}\n`);

/** Writes one JSON object of the result in one line. */
export const printJson = (value: object): void => void process.stdout.write(`${safeJson(value)}\n`);

/** Writes a line for people to stderr. A closed stderr is ignored. */
export function printNote(text: string): void {
  ignoreClosedStderr();
  process.stderr.write(`vram-worker: ${safeText(text)}\n`);
}

let isIgnored = false;

/** A transfer continues if stderr is closed. */
export function ignoreClosedStderr(): void {
  if (!isIgnored) process.stderr.on('error', () => undefined);
  isIgnored = true;
}
