// What Python left in the page: JSON, and arrays deflated and in base64.

const PAGE = JSON.parse(document.getElementById('page').textContent);
const TYPES = {
  uint8: Uint8Array,
  int8: Int8Array,
  uint16: Uint16Array,
  int32: Int32Array,
  float32: Float32Array,
  float64: Float64Array,
};

async function inflate(blob) {
  const packed = await fetch('data:application/octet-stream;base64,' + document.getElementById(blob).textContent);
  return new Response(packed.body.pipeThrough(new DecompressionStream('deflate')));
}

async function readArray(reference) {
  return new TYPES[reference.type](await (await inflate(reference.blob)).arrayBuffer());
}

/** Plotly, run as if it stood here. */
async function loadPlotly() {
  const script = document.createElement('script');
  script.textContent = await (await inflate(PAGE.plotly)).text();
  document.head.append(script);
}

const FIELDS = ['salient_steps', 'action', 'action_share', 'ring', 'ring_share', 'spread_m', 'turn', 'mean_share'];

/** Replace every reference of a side by what it refers to. */
async function readSide(side) {
  side.pictures.step = await readArray(side.pictures.step);
  if (!side.steps) return side;
  const names = Object.keys(side.arrays);
  const arrays = await Promise.all(names.map((name) => readArray(side.arrays[name])));
  names.forEach((name, index) => {
    side[name] = arrays[index];
  });
  side.grid_g = await readArray(side.grid.g);
  side.grid_c = await readArray(side.grid.c);
  side.scopes = await Promise.all(
    side.tables.map(async (table) => {
      const values = await readArray(table.values);
      return { rows: table.rows, of: (channel, field) => values[channel * FIELDS.length + FIELDS.indexOf(field)] };
    }),
  );
  side.episode = new Uint16Array(side.steps);
  side.first.slice(0, -1).forEach((first, index) => side.episode.fill(index, first, side.first[index + 1]));
  side.picture = latestPicture(side);
  return side;
}

/** For each step the last picture of its episode that is not after it; -1 where there is none. */
function latestPicture(side) {
  const found = new Int32Array(side.steps).fill(-1);
  side.pictures.step.forEach((step, index) => {
    found[step] = index;
  });
  for (let t = 1; t < side.steps; t++) {
    if (found[t] < 0 && side.episode[t] === side.episode[t - 1]) found[t] = found[t - 1];
  }
  return found;
}

/** The largest of any number of values, at least `least`; what is not a number does not count. */
function largest(values, least = 0) {
  let most = least;
  for (const value of values) if (value > most) most = value;
  return most;
}

/** The middle of what a code stands for: it lies between two points of the grid. */
function decoded(code, grid) {
  return code ? (grid[code - 1] + (grid[code] ?? 1)) / 2 : 0;
}

/** The steps of an episode, or of all (-1): first, and one behind the last. */
function scopeOf(side, episode) {
  return episode < 0 ? [0, side.steps] : [side.first[episode], side.first[episode + 1]];
}

/** The table of an episode, or of all (-1). */
function tableOf(side, episode) {
  return side.scopes.length > 1 ? side.scopes[episode + 1] : side.scopes[0];
}
