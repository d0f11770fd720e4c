import { type Progress, type ProgressFile, remaining } from './progress.js';
import { safeText } from './safe_text.js';
import { fit, padded, widthOf } from './text_width.js';
import { bytesText, durationText, rateText } from './units.js';

const minBar = 8;
const maxBar = 40;
const minName = 8;
const maxName = 40;

/**
 * The lines that show a transfer on a terminal: the state with the number of files, the whole, and each file that is
 * being received. No line is longer than `columns`, and there are at most `rows`.
 */
export function progressLines(progress: Progress, columns: number, rows: number): string[] {
  const active = progress.files.filter(({ state }) => state === 'active');
  const head = [fit(heading(progress), columns), wholeLine(progress, columns)];
  const room = Math.max(0, rows - head.length);
  const shown = active.length <= room ? active : active.slice(0, Math.max(0, room - 1));
  const more = active.length - shown.length;
  const names = shown.map(({ name }) => safeText(name));
  const nameColumns = Math.min(maxName, Math.max(minName, ...names.map(widthOf)));
  const lines = shown.map((file) => fileLine(file, columns, nameColumns));
  if (more > 0 && room > 0) lines.push(fit(`  and ${more} more files`, columns));
  return [...head, ...lines].slice(0, Math.max(1, rows)).map((line) => line.trimEnd());
}

/** One line without a bar, for output that is not a terminal. */
export function plainLine(progress: Progress): string {
  const { bytes, receivedBytes, bytesPerSecond, remainingSeconds } = progress;
  if (bytes === undefined) return heading(progress);
  return [heading(progress), ...figures({ bytes, receivedBytes, bytesPerSecond, remainingSeconds })].join('  ');
}

function heading({ state, files }: Progress): string {
  const done = files.filter(({ state }) => state === 'done').length;
  return files.length < 2 ? safeText(state) : `${safeText(state)}  ${done} of ${files.length} files`;
}

interface Figures {
  readonly bytes: number;
  readonly receivedBytes: number;
  readonly bytesPerSecond: number | undefined;
  readonly remainingSeconds: number | undefined;
}

/** The share, the bytes, the rate and the time left, in the order of a line. */
function figures({ bytes, receivedBytes, bytesPerSecond, remainingSeconds }: Figures): string[] {
  const texts = [percentText(bytes, receivedBytes), `${bytesText(receivedBytes)} of ${bytesText(bytes)}`];
  if (receivedBytes >= bytes) return texts;
  if (bytesPerSecond !== undefined) texts.push(rateText(bytesPerSecond));
  if (remainingSeconds !== undefined) texts.push(`${durationText(remainingSeconds)} left`);
  return texts;
}

function wholeLine(progress: Progress, columns: number): string {
  const { bytes, receivedBytes, bytesPerSecond, remainingSeconds } = progress;
  if (bytes === undefined) return '';
  const texts = fitting(figures({ bytes, receivedBytes, bytesPerSecond, remainingSeconds }), columns);
  const text = texts.join('  ');
  const barColumns = Math.min(maxBar, columns - widthOf(text) - 2);
  return barColumns < minBar ? text : `${bar(bytes, receivedBytes, barColumns)}  ${text}`;
}

function fileLine(file: ProgressFile, columns: number, nameColumns: number): string {
  const { bytes, receivedBytes, bytesPerSecond } = file;
  const remainingSeconds = remaining(bytes, receivedBytes, bytesPerSecond);
  const all = figures({ bytes, receivedBytes, bytesPerSecond, remainingSeconds });
  const texts = fitting(all, columns - minName - 4);
  const text = texts.join('  ');
  const room = columns - widthOf(text) - 4;
  if (room < minName) return fit(`  ${safeText(file.name)}`, columns);
  return `  ${padded(safeText(file.name), Math.min(room, nameColumns))}  ${text}`;
}

/** The most important figures that fit, in the order of a line: the share, the time left, the rate, the bytes. */
function fitting(texts: readonly string[], columns: number): string[] {
  const [share = '', bytes, rate, time] = texts;
  const kept = new Set<string>();
  let width = -2;
  for (const text of [share, time, rate, bytes]) {
    if (text === undefined || width + widthOf(text) + 2 > columns) continue;
    kept.add(text);
    width += widthOf(text) + 2;
  }
  return texts.filter((text) => kept.has(text));
}

/** Rounded down: 100 % only when all is received. */
const percentText = (bytes: number, receivedBytes: number): string =>
  `${bytes === 0 ? 100 : Math.floor((receivedBytes / bytes) * 100)}%`.padStart(4);

function bar(bytes: number, receivedBytes: number, columns: number): string {
  const inner = columns - 2;
  const filled = bytes === 0 ? inner : Math.floor((receivedBytes / bytes) * inner);
  const tip = filled > 0 && filled < inner ? '>' : '';
  return `[${('='.repeat(Math.max(0, filled - tip.length)) + tip).padEnd(inner)}]`;
}
