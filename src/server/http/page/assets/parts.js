// Small things that several views have.

import { html, useEffect, useRef, useState } from './htm-preact.js';

/** What went wrong, in the server's words. */
export function Trouble({ message, code, children }) {
  return html`<div class="trouble" role="note">
    <p>${message}</p>
    ${code && html`<p class="code">${code}</p>`}
    ${children}
  </div>`;
}

/** Text that is there for those who hear the page. */
export const Spoken = ({ children }) => html`<span class="spoken">${children}</span>`;

/** A button that copies `text`, also where the page came without TLS and the browser has no clipboard for it. */
export function Copy({ text, what }) {
  const [said, say] = useState('');
  useEffect(() => {
    const timer = said && setTimeout(() => say(''), 2000);
    return () => clearTimeout(timer);
  }, [said]);
  const copy = async () => say((await copied(text)) ? 'Copied' : 'Select the text and copy it');
  return html`<button type="button" class="quiet" onClick=${copy}>${said || 'Copy'}<${Spoken}> ${what}<//></button>`;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement('textarea');
    area.value = text;
    area.className = 'spoken';
    document.body.append(area);
    area.select();
    const done = document.execCommand('copy');
    area.remove();
    return done;
  }
}

/** Tabs as people with a keyboard know them: one stop, arrows between them. `tabs`: [{ name, content }]. */
export function Tabs({ id, label, tabs }) {
  const [open, setOpen] = useState(0);
  const list = useRef();
  const at = Math.min(open, tabs.length - 1);
  const move = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const next = (at + step + tabs.length) % tabs.length;
    setOpen(next);
    list.current.children[next].focus();
  };
  return html`<div class="tabs">
    <div role="tablist" aria-label=${label} ref=${list} onKeyDown=${move}>
      ${tabs.map(({ name }, place) => html`<button type="button" role="tab" id=${`${id}-tab-${place}`} key=${name}
        aria-selected=${String(place === at)} aria-controls=${`${id}-panel`} tabindex=${place === at ? 0 : -1}
        onClick=${() => setOpen(place)}>${name}</button>`)}
    </div>
    <div role="tabpanel" id=${`${id}-panel`} aria-labelledby=${`${id}-tab-${at}`}>${tabs[at].content}</div>
  </div>`;
}

/** The URL of a file for as long as it is shown. */
export function useUrl(file) {
  const [url, setUrl] = useState(undefined);
  useEffect(() => {
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return url;
}

/** Sizes as people read them. */
export function bytes(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB'];
  const power = Math.min(Math.floor(Math.log2(Math.max(count, 1)) / 10), units.length - 1);
  const value = count / 1024 ** power;
  return `${value >= 100 || power === 0 ? value.toFixed(0) : value.toFixed(1)} ${units[power]}`;
}

/** Large numbers as people read them. */
export function short(count) {
  if (count >= 1e9) return `${(count / 1e9).toFixed(2)} G`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(count >= 1e8 ? 0 : 1)} M`;
  if (count >= 1e4) return `${(count / 1e3).toFixed(0)} k`;
  return String(count);
}
