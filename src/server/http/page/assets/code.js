// The request as other programs send it.

import { Copy, Tabs } from './parts.js';
import { snippets } from './snippets.js';
import { html } from './htm-preact.js';

export function Code({ name, choices, topK }) {
  if (choices.length === 0) return undefined;
  const tabs = snippets(name, choices, topK, document.baseURI).map(({ name: language, text }) => ({
    name: language,
    content: html`<div class="snippet">
      <pre tabindex="0" aria-label=${`The request for ${language}`}><code>${text}</code></pre>
      <${Copy} text=${text} what=${`the request for ${language}`} />
    </div>`,
  }));
  return html`<section class="code" aria-labelledby="code-title">
    <h2 id="code-title">The same from a program</h2>
    <${Tabs} id="code" label="Language" tabs=${tabs} />
  </section>`;
}
