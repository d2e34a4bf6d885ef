// The view where pictures are asked about.

import { Answer } from './answer.js';
import { Code } from './code.js';
import { areProbabilities, percent } from './classify.js';
import { askAgain, cancel, chosen, clear, counts, desk, exported, lacks, retry } from './desk.js';
import { Intake } from './intake.js';
import { served } from './models.js';
import { Spoken } from './parts.js';
import { Picture, useExplanation } from './picture.js';
import { useStore } from './store.js';
import { Table } from './table.js';
import { html, useEffect, useMemo, useRef, useState } from './htm-preact.js';

export function ClassifyView() {
  const { items, selected, note } = useStore(desk);
  useStore(served);
  const many = items.length > 1;
  return html`<div class="classify">
    <${Intake} isOpen=${items.length === 0} />
    ${note && html`<p class="note" role="status">${note}</p>`}
    <div class=${`work ${many ? 'many' : ''}`}>
      ${many && html`<${Many} items=${items} selected=${selected} />`}
      ${selected && html`<${Detail} item=${selected} key=${selected.id} />`}
    </div>
    <${Told} items=${items} />
  </div>`;
}

function Detail({ item }) {
  const [wanted, setWanted] = useState(undefined);
  const choices = chosen();
  const still = wanted && choices.some(({ key }) => key === wanted.choice.key) ? wanted : undefined;
  const explanation = useExplanation(item, still);
  const press = (choice) => ({ index, label }) => {
    const isPressed = still && still.choice.key === choice.key && still.index === index;
    setWanted(isPressed ? undefined : { choice, index, label });
  };
  return html`<article class="detail" aria-label=${`Answers for ${item.name}`}>
    <h2 class="spoken">${item.name}</h2>
    <${Picture} item=${item} explanation=${explanation} />
    <div class="answers">
      ${choices.length === 0 && html`<p class="quiet">Choose a model to ask.</p>`}
      ${choices.map((choice) => html`<${Answer} key=${choice.key} ...${{ item, choice }} result=${item.results.get(choice.key)}
        pressed=${still?.choice.key === choice.key ? still.index : undefined} onPress=${press(choice)} onRetry=${() => retry(item)} />`)}
    </div>
    <${Code} name=${item.name} choices=${choices} topK=${desk.value.topK} />
  </article>`;
}

function Many({ items, selected }) {
  const [wanted, setWanted] = useState('');
  const [onlyFailed, setOnlyFailed] = useState(false);
  const counted = counts(items);
  const answered = counted.done + counted.failed;
  const open = counted.waiting + counted.running;
  const choices = chosen();
  const failing = useMemo(() => items.filter(isFailing), [items, desk.turn]);
  const shown = useMemo(() => matching(onlyFailed && failing.length > 0 ? failing : items, wanted), [items, wanted, onlyFailed, desk.turn]);
  const lacking = open === 0 && choices.length > 0 ? items.filter((item) => lacks(item)).length : 0;
  const number = (count) => count.toLocaleString('en');
  return html`<section class="list" aria-labelledby="list-title">
    <header>
      <h2 id="list-title">${number(items.length)} pictures</h2>
      <div class="progress">
        <progress max=${items.length} value=${answered} aria-label="Pictures answered"></progress>
        <span class="quiet">${number(answered)} answered${open > 0 && `, ${number(open)} to come`}${counted.cancelled > 0 && `, ${number(counted.cancelled)} not asked`}</span>
      </div>
      <div class="ways">
        ${open > 0 && html`<button type="button" onClick=${cancel}>Cancel</button>`}
        ${lacking > 0 && html`<button type="button" class="primary" onClick=${() => askAgain()}>Ask for the ${number(lacking)} left</button>`}
        <${Export} />
        <button type="button" class="quiet" onClick=${clear}>Clear</button>
      </div>
      <div class="filter">
        <input type="search" placeholder="Find a file or a label" aria-label="Find a file or a label" value=${wanted} onInput=${(event) => setWanted(event.currentTarget.value)} />
        ${failing.length > 0 && html`<button type="button" class="quiet" aria-pressed=${String(onlyFailed)} onClick=${() => setOnlyFailed(!onlyFailed)}>${number(failing.length)} failed</button>`}
      </div>
    </header>
    ${shown.length === 0 ? html`<p class="quiet nothing">Nothing matches.</p>` : html`<${Table} items=${shown} selected=${selected} choices=${choices} />`}
  </section>`;
}

function isFailing(item) {
  if (item.state === 'failed') return true;
  for (const result of item.results.values()) if (result.error) return true;
  return false;
}

function matching(items, wanted) {
  const text = wanted.trim().toLowerCase();
  if (!text) return items;
  const labelled = ({ results }) => Array.from(results.values()).some(({ classes }) => classes?.[0]?.label.toLowerCase().includes(text));
  return items.filter((item) => item.name.toLowerCase().includes(text) || labelled(item));
}

function Export() {
  const [url, setUrl] = useState(undefined);
  const link = useRef();
  const make = async () => setUrl(URL.createObjectURL(await exported()));
  useEffect(() => {
    if (!url) return undefined;
    link.current.click();
    const timer = setTimeout(() => (URL.revokeObjectURL(url), setUrl(undefined)), 10_000);
    return () => clearTimeout(timer);
  }, [url]);
  return html`<button type="button" onClick=${make}>Export as CSV</button>
    ${url && html`<a hidden ref=${link} href=${url} download="answers.csv">answers.csv</a>`}`;
}

/** What happened, for those who hear the page: the answer of a single picture, and of many how far it is, by tenths. */
function Told({ items }) {
  return html`<p class="spoken" role="status">${told(items)}</p>`;
}

function told(items) {
  if (items.length === 0) return '';
  const counted = counts(items);
  if (items.length > 1) {
    const answered = counted.done + counted.failed;
    const tenths = Math.floor((10 * answered) / items.length) * 10;
    return `${tenths} percent of ${items.length} pictures answered`;
  }
  const [{ name, state, error, results }] = items;
  if (state === 'failed') return `${name}: ${error.message}`;
  const said = chosen().map(({ key, name: model }) => {
    const result = results.get(key);
    const best = result?.classes?.[0];
    if (result?.error) return `${model}: ${result.error}`;
    return best && `${model}: ${best.label}${areProbabilities(result.classes) ? `, ${percent(best.probability)}` : ''}`;
  });
  return said.filter(Boolean).join('. ');
}
