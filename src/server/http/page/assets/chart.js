// A line chart over time, by uPlot, in the page's colours.

import { html, useEffect, useRef, useState } from './htm-preact.js';
import uPlot from './uplot.js';

const HEIGHT = 190;

/** `lines`: [{ name, values, tone }] with tone 1 to 3. */
export function Chart({ title, said, times, lines, logarithmic }) {
  const box = useRef();
  const plot = useRef();
  const scheme = useScheme();
  const form = lines.map(({ name }) => name).join();
  const data = [times, ...lines.map(({ values }) => values)];
  useEffect(() => {
    const made = new uPlot(options(box.current, lines, logarithmic), data, box.current);
    plot.current = made;
    const watcher = new ResizeObserver(() => made.setSize({ width: box.current.clientWidth, height: HEIGHT }));
    watcher.observe(box.current);
    return () => (watcher.disconnect(), made.destroy());
  }, [form, scheme]);
  useEffect(() => plot.current.setData(data));
  return html`<figure class="chart">
    <figcaption><h2>${title}</h2><p class="legend-line">${lines.map(({ name, tone }) => html`<span key=${name} class=${`tone tone-${tone}`}>${name}</span>`)}</p></figcaption>
    <div ref=${box} role="img" aria-label=${`${title} over the last minutes. ${said}`}></div>
  </figure>`;
}

function options(box, lines, logarithmic) {
  const style = getComputedStyle(box);
  const colour = (name) => style.getPropertyValue(name).trim();
  // The names of colours that change with the scheme are resolved by a property that has one.
  const probe = document.createElement('span');
  box.append(probe);
  const resolved = (name) => {
    probe.style.color = colour(name);
    return getComputedStyle(probe).color;
  };
  const [line, text] = [resolved('--line'), resolved('--muted')];
  const strokes = lines.map(({ tone }) => resolved(`--tone-${tone}`));
  probe.remove();
  const font = `12px ${style.fontFamily}`;
  const tens = (_, ticks) => ticks.map((tick) => (logarithmic && !Number.isInteger(Math.round(1e6 * Math.log10(tick)) / 1e6) ? null : tick));
  const axis = { stroke: text, font, grid: { stroke: line, width: 1, filter: tens }, ticks: { show: false } };
  const number = (value) => (value === null ? '' : value >= 10_000 ? `${value / 1000}k` : String(Number(value.toPrecision(3))));
  return {
    width: box.clientWidth || 300,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    padding: [12, 26, 0, 0],
    scales: { y: logarithmic ? { distr: 3, range: decades } : { range: (_, __, most) => [0, Math.max(most || 0, 4) * 1.1] } },
    axes: [
      { ...axis, grid: { show: false }, size: 30, space: 90, values: (_, ticks) => ticks.map((tick) => new Date(tick * 1000).toLocaleTimeString('en-GB')) },
      { ...axis, size: 56, space: 36, values: (_, ticks) => ticks.map(number) },
    ],
    series: [{}, ...lines.map(({ name }, place) => ({ label: name, stroke: strokes[place], width: 2, points: { show: false }, fill: place === 0 && !logarithmic ? faded(strokes[0]) : undefined }))],
  };
}

/** Whole powers of ten, around all values. */
function decades(_, least, most) {
  const [low, high] = [least > 0 ? least : 0.1, most > 0 ? most : 10];
  return [10 ** Math.floor(Math.log10(low)), 10 ** Math.max(Math.ceil(Math.log10(high)), Math.floor(Math.log10(low)) + 1)];
}

function faded(colour) {
  return colour.startsWith('rgb(') ? colour.replace('rgb(', 'rgba(').replace(')', ', 0.12)') : undefined;
}

/** Which scheme is shown: another one draws anew. */
function useScheme() {
  const asked = matchMedia('(prefers-color-scheme: dark)');
  const [dark, setDark] = useState(asked.matches);
  useEffect(() => {
    const look = () => setDark(asked.matches);
    asked.addEventListener('change', look);
    return () => asked.removeEventListener('change', look);
  }, []);
  return dark;
}
