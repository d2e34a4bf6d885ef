// The picture itself, and over it the map of a class: what in it led to the answer.

import { explain } from './classify.js';
import { draw } from './overlay.js';
import { Trouble, useUrl } from './parts.js';
import { html, useEffect, useRef, useState } from './htm-preact.js';

/** Why a class is said: { state: none | asked | there | refused, map, crop, class, words, code }. Follows `wanted`: { choice, index, label }. */
export function useExplanation(item, wanted) {
  const [said, say] = useState({ state: 'none' });
  const key = wanted && `${wanted.choice.key} ${wanted.index}`;
  useEffect(() => {
    if (!wanted) {
      say({ state: 'none' });
      return undefined;
    }
    const stop = new AbortController();
    // The map that is there stays until the other one comes, over the same picture.
    say((before) => (before.item === item && before.state === 'there' ? before : { item, state: 'asked' }));
    explain(item.file, wanted.choice, wanted, stop.signal).then(
      (explanation) => say({ item, state: 'there', ...explanation }),
      (error) => stop.signal.aborted || say({ item, state: 'refused', words: error.message, code: error.code }),
    );
    return () => stop.abort(new DOMException('another one is wanted', 'AbortError'));
  }, [item, key]);
  return said;
}

export function Picture({ item, explanation }) {
  const url = useUrl(item.file);
  const [size, setSize] = useState(undefined);
  const [broken, setBroken] = useState(false);
  const [strength, setStrength] = useState(75);
  useEffect(() => (setSize(undefined), setBroken(false)), [item]);
  const measure = ({ currentTarget: { naturalWidth: width, naturalHeight: height } }) => setSize({ width, height });
  const there = explanation.state === 'there';
  // Where the browser cannot show the picture, the map has the proportions of what the network saw.
  const known = size || (there && broken && around(explanation.crop));
  const frame = known ? { aspectRatio: `${known.width} / ${known.height}`, '--ratio': String(known.width / known.height) } : {};
  return html`<figure class="picture">
    <div class=${`frame ${known && known.width < 160 ? 'tiny' : ''}`} style=${frame}>
      ${url && !broken && html`<img src=${url} alt=${`The picture ${item.name}`} onLoad=${measure} onError=${() => setBroken(true)} />`}
      ${broken && !there && html`<p class="unseen">This browser does not show such a file. The server looks at it all the same.</p>`}
      ${there && known && html`<${Overlay} explanation=${explanation} size=${known} strength=${strength} />`}
    </div>
    <figcaption>
      <span class="name">${item.name}</span>
      ${size && html`<span class="quiet">${size.width} × ${size.height}</span>`}
    </figcaption>
    <div class="why" aria-live="polite">
      ${explanation.state === 'none' && html`<p class="quiet">Choose a class to see what in the picture speaks for it.</p>`}
      ${explanation.state === 'asked' && html`<p class="quiet">Asking why…</p>`}
      ${explanation.state === 'refused' && html`<${Trouble} message=${explanation.words} code=${explanation.code} />`}
      ${there && html`<${Why} of=${explanation.class} isPart=${known && !isWhole(explanation.crop, known)} />`}
    </div>
    ${there && html`<label class="strength">Strength of the map
      <input type="range" min="0" max="100" step="5" value=${strength} onInput=${(event) => setStrength(Number(event.currentTarget.value))}
        aria-valuetext=${`${strength} percent`} />
    </label>`}
  </figure>`;
}

function Overlay({ explanation, size, strength }) {
  const canvas = useRef();
  const { map } = explanation.class;
  useEffect(() => draw(canvas.current, { map, crop: explanation.crop, size }), [map, size.width, size.height]);
  return html`<canvas ref=${canvas} role="img" aria-label=${`Where ${explanation.class.label} is seen`} style=${{ opacity: strength / 100 }}></canvas>`;
}

/** The sum that the network made: the map's cells and the bias are the logit. */
function Why({ of: { label, logit, bias, map }, isPart }) {
  const sum = map.flat().reduce((all, value) => all + value, 0);
  const shown = (value) => value.toFixed(2).replace('-', '−');
  return html`<p>What speaks <b class="for">for</b> and <b class="against">against</b> <em>${label}</em>, cell by cell.</p>
    <p class="quiet">Together ${shown(sum)}, with a bias of ${shown(bias)}: a logit of ${shown(logit)}, exactly.${isPart && ' Dark is what the network did not look at.'}</p>`;
}

const isWhole = (crop, size) => crop.width >= size.width - 1 && crop.height >= size.height - 1;

/** The smallest picture with `crop` in its middle. */
function around({ x, y, width, height }) {
  return { width: 2 * x + width, height: 2 * y + height };
}
