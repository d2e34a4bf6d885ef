// A class map drawn over a picture: warm where the picture speaks for the class, cool where it speaks against it, and what the network did
// not see darkened. The map is the network's own few cells; between them it is interpolated, as a photograph of so few pixels would be.

/** The longest side of what is drawn, in pixels. */
const LONGEST = 960;

/** Values between two cells of the map. */
const STEPS = 12;

const WARM = [[255, 196, 60], [226, 60, 20]];
const COOL = [[120, 190, 255], [30, 80, 200]];

/** Draws on `canvas`, which gets the picture's proportions; `size`: of the upright picture. */
export function draw(canvas, { map, crop, size }) {
  const scale = LONGEST / Math.max(size.width, size.height);
  canvas.width = Math.max(1, Math.round(size.width * scale));
  canvas.height = Math.max(1, Math.round(size.height * scale));
  const context = canvas.getContext('2d');
  const [x, y, width, height] = [crop.x, crop.y, crop.width, crop.height].map((value) => value * scale);

  context.fillStyle = 'rgb(10 12 16 / 0.55)';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.clearRect(x, y, width, height);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = 'high';
  context.drawImage(painted(map), x, y, width, height);
  if (width < canvas.width - 1 || height < canvas.height - 1) {
    context.strokeStyle = 'rgb(255 255 255 / 0.9)';
    context.lineWidth = 2;
    context.strokeRect(x + 1, y + 1, width - 2, height - 2);
  }
}

/** The map as a picture of its own. */
function painted(map) {
  const fine = smooth(map);
  const [rows, columns] = [fine.length, fine[0].length];
  const most = Math.max(...map.flat().map(Math.abs)) || 1;
  const canvas = document.createElement('canvas');
  canvas.width = columns;
  canvas.height = rows;
  const context = canvas.getContext('2d');
  const image = context.createImageData(columns, rows);
  fine.forEach((row, y) => row.forEach((value, x) => {
    const part = Math.min(Math.abs(value) / most, 1);
    const [pale, deep] = value >= 0 ? WARM : COOL;
    const place = 4 * (y * columns + x);
    for (let channel = 0; channel < 3; channel += 1) image.data[place + channel] = pale[channel] + (deep[channel] - pale[channel]) * part;
    image.data[place + 3] = 235 * part ** 0.75;
  }));
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Values between those of the map; each cell's value stands in the middle of its cell. Exported for tests. */
export function smooth(map) {
  const across = map.map(between);
  const columns = across[0].map((_, x) => between(across.map((row) => row[x])));
  return columns[0].map((_, y) => columns.map((column) => column[y]));
}

/** Along one line, through every value (Catmull and Rom's cubic), the outermost ones repeated. */
function between(values) {
  const at = (place) => values[Math.min(Math.max(place, 0), values.length - 1)];
  return Array.from({ length: values.length * STEPS }, (_, step) => {
    const place = (step + 0.5) / STEPS - 0.5;
    const cell = Math.floor(place);
    const t = place - cell;
    const [a, b, c, d] = [at(cell - 1), at(cell), at(cell + 1), at(cell + 2)];
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)));
  });
}
