import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

const width = 760;
const height = 420;
const frame = { left: 70, right: 270, top: 48, bottom: 52 };
const colors = ['#0b6e99', '#d9730d', '#0f7b6c', '#ad1a72', '#6940a5', '#9f6b53', '#787774', '#c4554d', '#2f9e44'];

/**
 * @typedef {object} Axis
 * @property {string} label
 * @property {number} from
 * @property {number} to
 * @property {boolean} [log]
 * @property {readonly (readonly [number, string])[]} ticks value and label
 *
 * @typedef {object} Line
 * @property {string} name
 * @property {readonly (readonly [number, number])[]} points
 * @property {boolean} [dots] draw points without a line
 * @property {boolean} [dashed]
 */

/** Draws lines over two axes. @param {string} title @param {Axis} x @param {Axis} y @param {readonly Line[]} lines */
export function plot(title, x, y, lines) {
  const toX = scale(x, frame.left, width - frame.right);
  const toY = scale(y, height - frame.bottom, frame.top);
  const [left, right, top, bottom] = [frame.left, width - frame.right, frame.top, height - frame.bottom];
  const grid = [
    ...x.ticks.map(([value, text]) => {
      const at = toX(value);
      return `<path d="M${at} ${top}V${bottom}" class="grid"/><text x="${at}" y="${bottom + 18}" text-anchor="middle">${text}</text>`;
    }),
    ...y.ticks.map(([value, text]) => {
      const at = toY(value);
      return `<path d="M${left} ${at}H${right}" class="grid"/><text x="${left - 8}" y="${at + 4}" text-anchor="end">${text}</text>`;
    }),
  ];
  const drawn = lines.map((line, index) => draw(line, colors[index % colors.length], toX, toY));
  const legend = lines.map((line, index) => {
    const at = top + 14 + index * 20;
    return `<path d="M${right + 14} ${at - 4}h16" stroke="${colors[index % colors.length]}" stroke-width="3"${line.dashed ? ' stroke-dasharray="4 3"' : ''}/><text x="${right + 36}" y="${at}">${line.name}</text>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12">`,
    '<style>.grid{stroke:#ddd}text{fill:#333}</style>',
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    `<text x="${left}" y="26" font-size="15">${title}</text>`,
    ...grid,
    ...drawn,
    ...legend,
    `<text x="${(left + right) / 2}" y="${height - 12}" text-anchor="middle">${x.label}</text>`,
    `<text x="16" y="${(top + bottom) / 2}" text-anchor="middle" transform="rotate(-90 16 ${(top + bottom) / 2})">${y.label}</text>`,
    '</svg>',
    '',
  ].join('\n');
}

/** @param {string} path @param {string} svg */
export function writePlot(path, svg) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, svg);
}

function draw({ points, dots, dashed }, color, toX, toY) {
  const places = points.map(([x, y]) => [toX(x), toY(y)]);
  const circles = places.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="${dots ? 1.2 : 3}" fill="${color}"/>`);
  if (dots) return circles.join('');
  const path = `<path d="M${places.map((place) => place.join(' ')).join('L')}" fill="none" stroke="${color}" stroke-width="2"${dashed ? ' stroke-dasharray="4 3"' : ''}/>`;
  return dashed ? path : path + circles.join('');
}

/** @param {Axis} axis @returns {(value: number) => number} */
function scale({ from, to, log }, start, end) {
  const place = log ? Math.log : (value) => value;
  return (value) =>
    Math.round((start + ((place(value) - place(from)) / (place(to) - place(from))) * (end - start)) * 10) / 10;
}
