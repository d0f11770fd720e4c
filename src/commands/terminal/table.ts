import { padded, widthOf } from './text_width.js';

/** A column: its heading, whether numbers are aligned at the right, and the least width to which it shrinks. */
export interface Column {
  readonly heading: string;
  readonly alignRight?: boolean;
  /** Undefined for a column that never shrinks. */
  readonly minColumns?: number;
}

const gap = '  ';

/**
 * The lines of a table. With `maxColumns`, columns that may shrink lose the middle of their texts, the widest first, so
 * that a line fits a terminal. The cells have no control characters.
 */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  maxColumns = Number.POSITIVE_INFINITY,
): string[] {
  const cells = [columns.map(({ heading }) => heading), ...rows];
  const widths = columns.map((_, index) => cells.reduce((most, row) => Math.max(most, widthOf(row[index] ?? '')), 0));
  shrink(columns, widths, maxColumns - gap.length * (columns.length - 1));
  return cells.map((row) =>
    columns
      .map(({ alignRight = false }, index) => cell(row[index] ?? '', widths[index] ?? 0, alignRight))
      .join(gap)
      .trimEnd(),
  );
}

function shrink(columns: readonly Column[], widths: number[], maxColumns: number): void {
  const excess = () => widths.reduce((sum, width) => sum + width, 0) - maxColumns;
  while (excess() > 0) {
    const spare = columns.map(({ minColumns = Number.POSITIVE_INFINITY }, index) => (widths[index] ?? 0) - minColumns);
    const most = Math.max(...spare);
    if (most <= 0) return;
    const index = spare.indexOf(most);
    widths[index] = (widths[index] ?? 0) - 1;
  }
}

function cell(text: string, width: number, alignRight: boolean): string {
  const filler = ' '.repeat(Math.max(0, width - widthOf(text)));
  return alignRight ? filler + text : padded(text, width);
}

/** Prints a table, on a terminal within its width. */
export function printTable(columns: readonly Column[], rows: readonly (readonly string[])[]): void {
  const { isTTY, columns: width } = process.stdout;
  for (const line of tableLines(columns, rows, isTTY ? width - 1 : undefined)) process.stdout.write(`${line}\n`);
}
