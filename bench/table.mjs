import { result, verdict } from './row.mjs';
import { median, range } from './statistics.mjs';

/** @typedef {import('./row.mjs').Row} Row */

const heads = ['Path', 'Yardstick', 'Product', 'Of the yardstick', 'Result', 'Must reach', 'Aim', ''];

/** The rows as a Markdown table, columns aligned. @param {readonly Row[]} rows */
export function table(rows) {
  const cells = [heads, ...rows.map(line)];
  const widths = heads.map((_, column) => Math.max(3, ...cells.map((line) => line[column]?.length ?? 0)));
  const text = (line) => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  const rule = `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`;
  return [text(heads), rule, ...cells.slice(1).map(text)].join('\n');
}

/** @param {Row} row */
function line(row) {
  const outcome = result(row);
  const said = verdict(row);
  const suffix = row.reference === undefined && row.missing === undefined ? ` ${row.product.unit}` : '×';
  const target = (value) => (value === undefined ? '' : `${row.better === 'lower' ? '< ' : ''}${value}${suffix}`);
  const spread = outcome && `${number(outcome.minimum)}–${number(outcome.maximum)}`;
  return [
    row.path,
    row.yardstick ?? '',
    series(row.product),
    row.missing === undefined ? series(row.reference) : `missing: ${row.missing}`,
    outcome?.ratio ? `${number(outcome.value)}× (${spread})` : '',
    target(row.mustReach),
    target(row.aim),
    said === 'missed' ? 'MISSED' : said,
  ];
}

/** A row in a few words, said as soon as it is known. @param {Row} row */
export function summary(row) {
  const [path, yardstick, product, , outcome, , , said] = line(row);
  return `${path}${yardstick && ` / ${yardstick}`}: ${outcome || product}, ${said}`;
}

/** @param {import('./row.mjs').Series | undefined} series */
function series(series) {
  if (series === undefined) return '';
  const { minimum, maximum } = range(series.samples);
  return `${number(median(series.samples))} ${series.unit} (${number(minimum)}–${number(maximum)})`;
}

/** Three digits that mean something. @param {number} value */
export const number = (value) =>
  Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(value === 0 ? 1 : 3).replace(/\.0+$/, '');
