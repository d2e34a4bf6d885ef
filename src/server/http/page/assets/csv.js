// The answers as a table for other programs: the columns of `resnetd classify --format csv`, with the model in front.
//
// Spreadsheets take a text that begins with one of = + - @ for a formula, whatever the quotes; labels and file names are foreign text, so
// such a one gets an apostrophe in front, which spreadsheets take for "this is text".

const HEAD = ['file', 'model', 'version', 'rank', 'index', 'label', 'probability', 'error'];

/** A line a class of each picture and model; one with the error where there is none. As pieces, for a Blob. */
export async function* pieces(items, choices) {
  yield line(HEAD);
  const AT_A_TIME = 500;
  for (let start = 0; start < items.length; start += AT_A_TIME) {
    const some = items.slice(start, start + AT_A_TIME);
    yield some.flatMap((item) => rows(item, choices)).map(line).join('');
    // Whoever types or scrolls meanwhile comes first.
    await new Promise((resolve) => setTimeout(resolve));
  }
}

function rows(item, choices) {
  return choices.flatMap(({ key }) => {
    const result = item.results.get(key);
    if (!result && item.error) return [[item.name, key, '', '', '', '', '', item.error.message]];
    if (!result) return [[item.name, key, '', '', '', '', '', item.state === 'cancelled' ? 'cancelled' : 'not answered yet']];
    if (result.error) return [[item.name, key, '', '', '', '', '', result.error]];
    return result.classes.map(({ index, label, probability }, place) => [
      item.name, result.model, result.version, place + 1, index, label, probability, '',
    ]);
  });
}

/** One line as RFC 4180 has it. */
export function line(cells) {
  return `${cells.map(cell).join(',')}\r\n`;
}

function cell(value) {
  if (typeof value === 'number') return String(value);
  const text = /^[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]/.test(value) ? `'${value}` : value;
  return /["',\r\n\t;]/.test(text) || text !== text.trim() ? `"${text.replaceAll('"', '""')}"` : text;
}
