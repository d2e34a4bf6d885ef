// What one model says of one picture: bars, and where the time went.

import { areProbabilities, ms, percent } from './classify.js';
import { Spoken, Trouble } from './parts.js';
import { html } from './htm-preact.js';

/** `pressed`: the index of the class whose map is shown; `onPress` is called with a class. */
export function Answer({ item, choice, result, pressed, onPress, onRetry }) {
  const title = `answer-${choice.key}`;
  return html`<section class="answer" aria-labelledby=${title}>
    <header>
      <h3 id=${title}>${choice.name}${choice.version && html` <small>version ${choice.version}</small>`}</h3>
      ${result?.classes && html`<p class="quiet">${!choice.version && `version ${result.version} · `}${result.architecture}${result.answeredBy
        && result.answeredBy !== result.model && ` · answered by ${result.answeredBy}`}</p>`}
    </header>
    ${result ? html`<${Said} ...${{ result, pressed, onPress, onRetry }} />` : html`<${NotYet} item=${item} onRetry=${onRetry} />`}
  </section>`;
}

function NotYet({ item, onRetry }) {
  if (item.state === 'failed') {
    return html`<${Trouble} ...${item.error}><button type="button" onClick=${onRetry}>Try again</button><//>`;
  }
  const words = { waiting: 'Waiting its turn', running: 'On its way', cancelled: 'Not asked', done: 'Not asked yet' };
  return html`<p class=${`pending ${item.state}`}>${words[item.state]}</p>`;
}

function Said({ result, pressed, onPress, onRetry }) {
  if (result.error) {
    return html`<${Trouble} message=${result.error} code=${result.code}><button type="button" onClick=${onRetry}>Try again</button><//>`;
  }
  const { classes } = result;
  const probable = areProbabilities(classes);
  const most = Math.max(...classes.map(({ probability }) => Math.abs(probability)), 1e-9);
  const part = (probability) => (probable ? probability : Math.max(probability, 0) / most);
  return html`
    ${classes.length === 0 && html`<p class="quiet">No class.</p>`}
    <ol class="bars">
      ${classes.map(({ index, label, probability }, rank) => html`<li key=${index}>
        <button type="button" class=${`bar ${rank === 0 ? 'first' : ''}`} aria-pressed=${String(pressed === index)}
          onClick=${() => onPress(classes[rank])}>
          <span class="label">${label}</span>
          <span class="value">${probable ? percent(probability) : probability.toFixed(3)}</span>
          <span class="track"><span class="fill" style=${{ width: `${(100 * part(probability)).toFixed(2)}%` }}></span></span>
          <${Spoken}>${pressed === index ? 'Hide' : 'Show'} where it is seen<//>
        </button>
      </li>`)}
    </ol>
    <${Phases} result=${result} />`;
}

/** The server's phases as one bar, and what the way there and back took beside them. */
function Phases({ result: { timing, batch, cached, elapsed } }) {
  const own = timing.preprocess + timing.queue + timing.inference;
  const phases = [
    ['decode', 'decode', timing.preprocess],
    ['queue', 'queue', timing.queue],
    ['inference', 'inference', timing.inference],
    ['other', 'other', Math.max(timing.total - own, 0)],
  ];
  const said = phases.map(([, name, value]) => `${name} ${ms(value)}`).join(', ');
  const how = cached ? 'kept from an earlier answer' : batch > 1 ? `in a batch of ${batch}` : 'alone in its batch';
  return html`<div class="time">
    <div class="phases" role="img" aria-label=${`Time in the server: ${said}`}>
      ${phases.map(([kind, , value]) => html`<span key=${kind} class=${kind} style=${{ flexGrow: Math.max(value, 0) }}></span>`)}
    </div>
    <dl class="legend">
      ${phases.map(([kind, name, value]) => html`<div key=${kind}><dt class=${kind}>${name}</dt><dd>${ms(value)}</dd></div>`)}
      <div><dt>in all</dt><dd>${ms(timing.total)}</dd></div>
    </dl>
    <p class="quiet">${how}; ${ms(elapsed)} seen from this browser</p>
  </div>`;
}
