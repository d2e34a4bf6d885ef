// The running server: how much, how fast, in which batches, what was refused and why.

import { Chart } from './chart.js';
import { ms } from './classify.js';
import { keyOf, live, observe } from './live.js';
import { bytes, Trouble } from './parts.js';
import { useStore } from './store.js';
import { html, useEffect, useState } from './htm-preact.js';

export function LiveView() {
  const { stats, looks, error } = useStore(live);
  const [picked, pick] = useState(undefined);
  useEffect(observe, []);
  const model = stats?.models.find((one) => keyOf(one) === picked) || stats?.models[0];
  return html`<div class="live">
    <header>
      <h1>Live</h1>
      ${stats?.models.length > 1 && html`<label class="select">Model
        <select value=${keyOf(model)} onChange=${(event) => pick(event.currentTarget.value)}>
          ${stats.models.map((one) => html`<option key=${keyOf(one)} value=${keyOf(one)}>${one.name}, version ${one.version}</option>`)}
        </select>
      </label>`}
    </header>
    ${error && html`<${Trouble} message=${error} />`}
    ${stats && html`<${Server} of=${stats} />`}
    ${stats && !model && html`<p class="lead">No model answers.</p>`}
    ${model && html`<${OfModel} model=${model} looks=${looks.get(keyOf(model)) || []} />`}
  </div>`;
}

function Server({ of: { version, uptime_s: uptime, threads, memory, connections } }) {
  const open = Object.entries(connections).map(([door, count]) => `${count} ${door}`).join(', ');
  return html`<p class="lead">resnetd ${version}, up ${span(uptime)}, on ${threads.cores} ${threads.cores === 1 ? 'core' : 'cores'}; connections: ${open};${' '}
    ${bytes(memory.in_flight_bytes)} of ${bytes(memory.max_in_flight_bytes)} in flight.</p>`;
}

function OfModel({ model, looks }) {
  const times = looks.map(({ t }) => t);
  const of = (name) => looks.map((look) => look[name]);
  const latest = looks.at(-1) || {};
  const { queue, latencies, throughput } = model;
  const rate = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
  const long = (value) => (typeof value === 'number' ? ms(value) : 'none yet');
  const refused = Object.values(model.refused_images).reduce((all, count) => all + count, 0);
  const figures = [
    [rate(throughput.images_per_second_10s), 'images a second, of the last ten'],
    [long(latencies.request.p50_ms), 'half of the requests take no longer'],
    [long(latencies.request.p99_ms), '99 of 100 take no longer'],
    [`${Math.round(100 * queue.load_ratio)} %`, `load; ${queue.busy_workers} of ${queue.workers} ${queue.workers === 1 ? 'worker' : 'workers'} busy`],
    [refused.toLocaleString('en'), 'images refused'],
  ];
  return html`
    <dl class="figures">${figures.map(([value, name]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>
    <div class="charts">
      <${Chart} title="Throughput" times=${times} said=${`${rate(latest.images ?? 0)} images a second now.`}
        lines=${[{ name: 'images a second', values: of('images'), tone: 1 }, { name: 'requests a second', values: of('requests'), tone: 2 }]} />
      <${Chart} title="Latency, ms" logarithmic times=${times} said=${`Median ${long(latencies.request.p50_ms)}, 99th percentile ${long(latencies.request.p99_ms)}.`}
        lines=${[{ name: 'a run, now', values: of('run'), tone: 1 }, { name: 'median request', values: of('p50'), tone: 2 }, { name: '99 of 100', values: of('p99'), tone: 3 }]} />
      <${Chart} title="Waiting" times=${times} said=${`${queue.in_work} images in work, ${queue.waiting} waiting for a worker.`}
        lines=${[{ name: 'images in work', values: of('inWork'), tone: 1 }, { name: 'waiting for a worker', values: of('waiting'), tone: 2 }]} />
      <${Chart} title="Refused" times=${times} said=${`${refused} images refused so far.`}
        lines=${[{ name: 'images a second', values: of('refused'), tone: 3 }]} />
    </div>
    <div class="tables">
      <${Batches} of=${model.batches} most=${model.engine.max_batch_size} />
      <${Refusals} of=${model.refused_images} />
    </div>`;
}

function Batches({ of, most }) {
  const runs = of.reduce((all, one) => all + one.runs, 0);
  const largest = Math.max(...of.map((one) => one.runs), 1);
  return html`<section class="batches"><h2>Batch sizes</h2>
    ${runs === 0 ? html`<p class="quiet">Nothing has run yet.</p>` : html`<table>
      <thead><tr><th scope="col">Images</th><th scope="col">Runs</th><th scope="col">Mean of a run</th><th scope="col"><span class="spoken">Share</span></th></tr></thead>
      <tbody>${of.filter((one) => one.runs > 0).map((one) => html`<tr key=${one.images}>
        <td>${one.images}${one.images === most && html` <span class="quiet">full</span>`}</td><td>${one.runs.toLocaleString('en')}</td><td>${one.mean_run_ms.toFixed(2)} ms</td>
        <td class="share"><span class="track"><span class="fill" style=${{ width: `${(100 * one.runs) / largest}%` }}></span></span><span class="spoken">${((100 * one.runs) / runs).toFixed(1)} %</span></td>
      </tr>`)}</tbody>
    </table>`}
  </section>`;
}

const REASONS = {
  client_share: 'a client had more than its share',
  deadline: 'the deadline could not be met',
  expired: 'the deadline passed while they waited',
  memory: 'requests in work left no memory',
  places: 'no place for another image',
  queue_full: 'the queue was full',
  target_queue: 'they would have waited too long',
  unloading: 'the model was being unloaded',
};

function Refusals({ of }) {
  const some = Object.entries(of).filter(([, count]) => count > 0);
  return html`<section class="refusals"><h2>Refused, and why</h2>
    ${some.length === 0 ? html`<p class="quiet">No image was refused.</p>` : html`<table>
      <thead><tr><th scope="col">Reason</th><th scope="col">Images</th></tr></thead>
      <tbody>${some.map(([reason, count]) => html`<tr key=${reason}><td>${REASONS[reason] || reason} <code>${reason}</code></td><td>${count.toLocaleString('en')}</td></tr>`)}</tbody>
    </table>`}
  </section>`;
}

function span(seconds) {
  const parts = [[86_400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = parts.findIndex(([size]) => seconds >= size);
  if (first < 0) return '0 s';
  return parts.slice(first, first + 2).map(([size, unit], place) => `${Math.floor((place ? seconds % parts[first][0] : seconds) / size)} ${unit}`).join(' ');
}
