import { result, verdict } from './row.mjs';
import { median, range } from './statistics.mjs';

/** @typedef {import('./row.mjs').Row} Row */

const header = ['Path', 'Product', 'Baseline', 'Baseline figure', 'Ratio', 'Required', 'Target', 'Verdict'];

/** The rows as a Markdown table, without padding. @param {readonly Row[]} rows */
export function table(rows) {
  const lines = [header, header.map(() => '---'), ...rows.map((row) => Object.values(cellsOf(row)))];
  return lines.map((cells) => `| ${cells.join(' | ')} |`.replace(/\| {2}(?=\|)/g, '| ')).join('\n');
}

/** A row's cells, in the order of `header`. @param {Row} row */
function cellsOf(row) {
  const outcome = result(row);
  const suffix = row.baselineSeries === undefined && row.missing === undefined ? ` ${row.product.unit}` : '×';
  const limit = (value) => (value === undefined ? '' : `${row.better === 'lower' ? '< ' : ''}${value}${suffix}`);
  const spread = outcome && `${number(outcome.minimum)}–${number(outcome.maximum)}`;
  return {
    path: row.path,
    product: formatSeries(row.product),
    baseline: row.baseline ?? '',
    baselineFigure: row.missing === undefined ? formatSeries(row.baselineSeries) : `missing: ${row.missing}`,
    ratio: outcome?.ratio ? `${number(outcome.value)}× (${spread})` : '',
    required: limit(row.required),
    target: limit(row.target),
    verdict: verdict(row),
  };
}

/** One line per row, printed when its path is done. @param {Row} row */
export function summary(row) {
  const { path, baseline, ratio, product, verdict } = cellsOf(row);
  return `${path}${baseline && ` / ${baseline}`}: ${ratio || product}, ${verdict}`;
}

/** Median, with the lowest and highest sample. @param {import('./row.mjs').Series | undefined} series */
function formatSeries(series) {
  if (series === undefined) return '';
  const { minimum, maximum } = range(series.samples);
  return `${number(median(series.samples))} ${series.unit} (${number(minimum)}–${number(maximum)})`;
}

/** Three significant digits. @param {number} value */
const number = (value) =>
  Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(value === 0 ? 1 : 3).replace(/\.0+$/, '');
