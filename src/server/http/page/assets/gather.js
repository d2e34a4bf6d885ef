// Pictures out of what people drop, paste and pick. Folders are walked; what in them is no picture by its name is left out and counted, what
// was named itself is sent whatever it is: the server says what it makes of it.

const PICTURE = /\.(jpe?g|jpe|jfif|png|webp|gif|bmp|dib|tiff?|p[pgn]m)$/i;

const isPicture = (file) => (file.type.startsWith('image/') && file.type !== 'image/svg+xml') || PICTURE.test(file.name);

/** { pictures: [{ file, name }], left }: `name` has the folders in it. */
export function fromInput(input) {
  const files = Array.from(input.files, (file) => ({ file, name: file.webkitRelativePath || file.name }));
  // The same one may be chosen again.
  input.value = '';
  if (!files.some(({ file }) => file.webkitRelativePath)) return { pictures: files, left: 0 };
  return sorted(files);
}

/** Of a drop. Must be called while the event is handled: what is in it is gone afterwards. */
export function fromDrop(transfer) {
  const entries = Array.from(transfer.items || [], (item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const files = Array.from(transfer.files);
  if (!entries.some((entry) => entry.isDirectory)) {
    return Promise.resolve({ pictures: files.map((file) => ({ file, name: file.name })), left: 0 });
  }
  return walk(entries);
}

/** Of a paste. A picture that was copied has no name of its own. */
export function fromPaste(transfer) {
  const files = Array.from(transfer?.files || []);
  return { pictures: files.map((file) => ({ file, name: file.name || 'pasted' })), left: 0 };
}

async function walk(entries) {
  const found = [];
  const open = [...entries];
  for (let entry; (entry = open.pop()); ) {
    if (entry.isDirectory) {
      open.push(...(await children(entry)));
    } else {
      const file = await new Promise((resolve) => entry.file(resolve, () => resolve(undefined)));
      if (file) found.push({ file, name: entry.fullPath.replace(/^\//, '') });
    }
  }
  return sorted(found);
}

/** A reader gives a hundred at a time, and none at the end. */
async function children(folder) {
  const reader = folder.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (some.length === 0) return all;
    all.push(...some);
  }
}

function sorted(files) {
  const pictures = files.filter(({ file }) => isPicture(file));
  const order = new Intl.Collator('en', { numeric: true });
  pictures.sort((one, other) => order.compare(one.name, other.name));
  return { pictures, left: files.length - pictures.length };
}
