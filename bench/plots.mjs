import { join } from 'node:path';
import { plot, writePlot } from './plot.mjs';
import { median, percentile } from './statistics.mjs';

const directory = new URL('../docs/plots/', import.meta.url).pathname;
const windowShards = 50;

/**
 * The data for the plots. Paths fill it in.
 * @typedef {object} Figures
 * @property {{ sizes: number[], seconds: Record<string, number[]> }} [growth] seconds per path and size
 * @property {{ sizes: number[], seconds: Record<string, number[]> }} [sourceSizes] the same for commits by http
 * @property {{ counts: number[], seconds: number[], bytes: number }} [sourceFiles] seconds per number of files of a pull
 * @property {{ counts: number[], seconds: Record<string, number[]> }} [shards] seconds per operation and number of shards
 * @property {number[]} [smallShards] milliseconds per commit, in order
 */

/** Writes the plots for which this run has data. @param {Figures} figures @returns {string[]} the files written */
export function writePlots({ growth, sourceSizes, sourceFiles, smallShards, shards }) {
  const written = [];
  const write = (name, svg) => {
    writePlot(join(directory, name), svg);
    written.push(`docs/plots/${name}`);
  };
  if (growth !== undefined) write('growth.svg', growthPlot('Cost by shard size', growth));
  if (sourceSizes !== undefined) write('source-sizes.svg', growthPlot('Commits by http', sourceSizes));
  if (sourceFiles !== undefined) write('source-files.svg', sourceFilesPlot(sourceFiles));
  if (shards !== undefined) write('shards.svg', shardsPlot(shards));
  if (smallShards !== undefined) write('small-shards.svg', smallShardsPlot(smallShards));
  return written;
}

/** The powers of ten around all values. A time below the resolution of a clock is 0, which no logarithmic axis shows. */
function decadesOf(seconds) {
  const all = Object.values(seconds)
    .flat()
    .filter((value) => value > 0);
  const [from, to] = [Math.floor(Math.log10(Math.min(...all))), Math.ceil(Math.log10(Math.max(...all)))];
  return Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index));
}

function shardsPlot({ counts, seconds }) {
  const decades = decadesOf(seconds);
  const ticks = counts.map((count) => [count, String(count)]);
  const x = { label: 'shards of 4 KiB', from: counts[0], to: counts.at(-1), log: true, ticks };
  const y = {
    label: 'CPU seconds (shutdown: seconds)',
    from: decades[0],
    to: decades.at(-1),
    log: true,
    ticks: decades.map((value) => [value, String(+value.toPrecision(1))]),
  };
  return plot('Cost by number of shards (simulated device, log-log)', x, y, linesOf(counts, seconds));
}

function growthPlot(title, { sizes, seconds }) {
  const decades = decadesOf(seconds);
  const x = {
    label: 'shard size',
    from: sizes[0],
    to: sizes.at(-1),
    log: true,
    ticks: sizes
      .filter((bytes) => Number.isInteger(Math.log2(bytes)))
      .map((bytes) => [bytes, bytes < 2 ** 30 ? `${bytes / 2 ** 20} MiB` : `${bytes / 2 ** 30} GiB`]),
  };
  const y = {
    label: 'seconds',
    from: decades[0],
    to: decades.at(-1),
    log: true,
    ticks: decades.map((value) => [value, String(value)]),
  };
  return plot(`${title} (simulated device, log-log)`, x, y, linesOf(sizes, seconds));
}

const linesOf = (places, seconds) =>
  Object.entries(seconds).map(([name, series]) => ({
    name,
    points: series.map((value, index) => [places[index], value]).filter(([, value]) => value > 0),
  }));

function sourceFilesPlot({ counts, seconds, bytes }) {
  const top = Math.max(...seconds) * 1.2;
  const x = {
    label: 'files',
    from: counts[0],
    to: counts.at(-1),
    log: true,
    ticks: counts.map((count) => [count, String(count)]),
  };
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((share) => [share * top, (share * top).toFixed(2)]);
  const points = counts.map((count, index) => [count, seconds[index]]);
  const name = `${bytes / 2 ** 20} MiB in all`;
  return plot('Pulls by number of files (simulated device)', x, { label: 'seconds', from: 0, to: top, ticks }, [
    { name, points },
  ]);
}

function smallShardsPlot(milliseconds) {
  const top = percentile(milliseconds, 0.99) * 1.3;
  const step = 10 ** Math.floor(Math.log10(top));
  const x = {
    label: 'resident shards',
    from: 0,
    to: milliseconds.length,
    ticks: [0, 0.25, 0.5, 0.75, 1].map((share) => [share * milliseconds.length, String(share * milliseconds.length)]),
  };
  const ticks = [];
  for (let value = 0; value <= top; value += top / step > 5 ? step : step / 4)
    ticks.push([value, String(+value.toFixed(3))]);
  const y = { label: 'milliseconds per commit', from: 0, to: top, ticks };
  const smooth = [];
  for (let start = 0; start + windowShards <= milliseconds.length; start += windowShards) {
    smooth.push([start + windowShards / 2, median(milliseconds.slice(start, start + windowShards))]);
  }
  const single = milliseconds.map((value, index) => [index, Math.min(value, top)]);
  return plot('Sequential commits of 4 KiB (simulated device)', x, y, [
    { name: 'one commit, median of 3 passes', points: single, dots: true },
    { name: `median of ${windowShards}`, points: smooth },
  ]);
}
