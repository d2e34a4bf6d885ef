// Many pictures as a table. Of ten thousand rows only those that are seen exist, with a few around them.

import { percent, areProbabilities } from './classify.js';
import { select } from './desk.js';
import { useUrl } from './parts.js';
import { html, useEffect, useRef, useState } from './htm-preact.js';

/** As in the style sheet. */
const ROW = 56;

const AROUND = 6;

export function Table({ items, selected, choices }) {
  const box = useRef();
  const [seen, setSeen] = useState({ top: 0, height: 600 });
  useEffect(() => {
    const look = () => setSeen({ top: box.current.scrollTop, height: box.current.clientHeight });
    const watcher = new ResizeObserver(look);
    watcher.observe(box.current);
    return () => watcher.disconnect();
  }, []);
  const first = Math.max(0, Math.min(Math.floor(seen.top / ROW) - AROUND, items.length - 1));
  const last = Math.min(items.length, Math.ceil((seen.top + seen.height) / ROW) + AROUND);
  const columns = choices.map(({ key, name, version }) => ({ key, title: version ? `${name} ${version}` : name }));
  const move = (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const place = Math.min(Math.max(items.indexOf(selected) + step, 0), items.length - 1);
    select(items[place]);
    reveal(box.current, place);
    box.current.focus();
  };
  return html`<div class="table" role="table" aria-label="Pictures and what they show" aria-rowcount=${items.length + 1}
    style=${{ '--columns': String(Math.max(columns.length, 1)) }}>
    <div class="scroller" ref=${box} tabindex="0" role="rowgroup" aria-label="Pictures; arrow keys move" onKeyDown=${move}
      onScroll=${(event) => setSeen({ top: event.currentTarget.scrollTop, height: event.currentTarget.clientHeight })}>
      <div class="row head" role="row" aria-rowindex="1">
        <span role="columnheader">Picture</span>
        ${columns.map(({ key, title }) => html`<span role="columnheader" key=${key}>${title}</span>`)}
      </div>
      <div class="rows" role="presentation" style=${{ height: `${items.length * ROW}px` }}>
        ${items.slice(first, last).map((item, place) => html`<${Row} key=${item.id} place=${first + place} ...${{ item, columns }} isSelected=${item === selected} />`)}
      </div>
    </div>
  </div>`;
}

function reveal(box, place) {
  const [top, bottom] = [place * ROW, (place + 2) * ROW];
  if (top < box.scrollTop) box.scrollTop = top;
  else if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
}

function Row({ item, place, columns, isSelected }) {
  const url = useUrl(item.file);
  const [broken, setBroken] = useState(false);
  return html`<div class=${`row ${isSelected ? 'selected' : ''}`} role="row" aria-rowindex=${place + 2} aria-current=${isSelected ? 'true' : undefined}
    style=${{ transform: `translateY(${place * ROW}px)` }} onClick=${() => select(item)}>
    <span role="cell" class="who">
      ${url && !broken ? html`<img src=${url} alt="" decoding="async" onError=${() => setBroken(true)} />` : html`<span class="nothumb"></span>`}
      <button type="button" class="link" tabindex="-1" title=${item.name}>${item.name}</button>
    </span>
    ${columns.map(({ key }) => html`<span role="cell" key=${key} class="cell"><${Cell} item=${item} result=${item.results.get(key)} /></span>`)}
  </div>`;
}

const WORDS = { waiting: '', running: '…', cancelled: 'not asked', done: 'not asked', failed: '' };

function Cell({ item, result }) {
  const error = result?.error || (!result && item.error?.message);
  if (error) return html`<span class="failed" title=${error}>${error}</span>`;
  if (!result) return html`<span class="quiet">${WORDS[item.state]}</span>`;
  const [best] = result.classes;
  if (!best) return html`<span class="quiet">no class</span>`;
  const probable = areProbabilities(result.classes);
  return html`<span class="label" title=${best.label}>${best.label}</span>
    <span class="value">${probable ? percent(best.probability) : best.probability.toFixed(2)}</span>
    <span class="track"><span class="fill" style=${{ width: `${probable ? (100 * best.probability).toFixed(1) : 0}%` }}></span></span>`;
}
