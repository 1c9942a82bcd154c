// Preceding offsets as maze_introspection.offset defines them, from codes: value > threshold if and only if code > k.

/**
 * Offsets of one gate, as columns channel, t0, t, censored. `hit(index)` says of each (channel, step) whether it contributes
 * or is salient; with `firstOnly` only the first hit of each run counts (per interval), else every one (per salient step).
 */
function offsets(side, gate, k, hit, firstOnly, from = 0, to = side.channels) {
  const T = side.steps,
    codes = side.gate,
    begins = side.begins;
  const rows = { channel: [], t0: [], t: [], censored: [] };
  for (let channel = from; channel < to; channel++) {
    const base = (gate * side.channels + channel) * T,
      own = channel * T;
    let t0 = -1,
      pending = false,
      censored = false;
    for (let t = 0; t < T; t++) {
      if (codes[base + t] <= k) {
        t0 = -1;
        continue;
      }
      if (t0 < 0 || begins[t]) {
        t0 = t;
        pending = true;
        censored = t === 0 || begins[t] > 0;
      }
      if (hit(own + t) && (pending || !firstOnly)) {
        rows.channel.push(channel);
        rows.t0.push(t0);
        rows.t.push(t);
        rows.censored.push(censored);
        pending = false;
      }
    }
  }
  return rows;
}

const intervalOffsets = (side, gate, kg, kc) => offsets(side, gate, kg, (index) => side.share[index] > kc, true);
const stepOffsets = (side, gate, kg, channel) =>
  offsets(side, gate, kg, (index) => side.salient[index] > 0, false, channel, channel + 1);

/** Rows that pass the filters; `null` lets everything pass. */
function filtered(side, rows, { first, end, action = null, ring = null, channel = null }) {
  const kept = { channel: [], t0: [], t: [], censored: [] };
  for (let index = 0; index < rows.t.length; index++) {
    const t = rows.t[index];
    if (t < first || t >= end) continue;
    if (action !== null && side.action[t] !== action) continue;
    if (ring !== null && side.ring[t] !== ring) continue;
    if (channel !== null && rows.channel[index] !== channel) continue;
    for (const name in kept) kept[name].push(rows[name][index]);
  }
  return kept;
}

const MOST_BARS = 120;

/** Counts by (distance, offset) as figures/histogram.py bins them; apart: censored, without a ball, beyond the rim. */
function jointHistogram(side, rows) {
  const away = [],
    offset = [],
    steps = [];
  let censored = 0,
    nowhere = 0;
  rows.t.forEach((t, index) => {
    if (rows.censored[index]) censored++;
    else if (Number.isNaN(side.away[t])) nowhere++;
    else {
      away.push(side.away[t]);
      offset.push(t - rows.t0[index]);
      steps.push(t);
    }
  });
  const furthest = side.maze ? (side.distance.per_m * side.maze.rim_mm) / 1000 : largest(away, 1);
  const columns = Math.ceil(furthest);
  const longest = largest(offset) + 1;
  const width = Math.ceil(longest / MOST_BARS),
    bars = Math.ceil(longest / width);
  const count = Array.from({ length: bars }, () => new Float64Array(columns));
  const inside = [];
  let total = 0;
  away.forEach((distance, index) => {
    const x = distance === columns ? columns - 1 : Math.floor(distance),
      y = Math.floor(offset[index] / width);
    if (x < columns) {
      count[y][x]++;
      total++;
      inside.push([x, y, steps[index]]);
    }
  });
  return { count, columns, width, bars, total, censored, nowhere, outside: away.length - total, inside };
}

/** numpy's percentile of sorted values: linear between the two neighbours. */
function percentile(sorted, share) {
  if (!sorted.length) return NaN;
  const at = share * (sorted.length - 1),
    below = Math.floor(at);
  return sorted[below] + (at - below) * ((sorted[below + 1] ?? sorted[below]) - sorted[below]);
}

/** Median, quartiles and the longest of the observed offsets of each of `groups`, and how many are censored. */
function offsetsPer(groups, group, rows) {
  const found = Array.from({ length: groups }, () => ({ values: [], censored: 0 }));
  rows.t.forEach((t, index) => {
    const own = found[group(index)];
    if (!own) return;
    if (rows.censored[index]) own.censored++;
    else own.values.push(t - rows.t0[index]);
  });
  return found.map(({ values, censored }) => {
    values.sort((a, b) => a - b);
    const [q1, median, q3] = [0.25, 0.5, 0.75].map((share) => percentile(values, share));
    return { n: values.length, q1, median, q3, most: values.length ? values.at(-1) : NaN, censored };
  });
}

const offsetsPerChannel = (side, rows) => offsetsPer(side.channels, (index) => rows.channel[index], rows);
const offsetsPerRing = (side, rows) => offsetsPer(side.rings, (index) => side.ring[rows.t[index]], rows);

/** A sentence where the page does not count what Python counted at the configured thresholds; '' where it does. */
function checkedAgainstPython(side) {
  const at = (theta) => side[theta].points.find(([, value]) => value === side[theta].configured)[0];
  for (const want of side.check) {
    const rows = intervalOffsets(side, side.gates[want.gate], at('theta_g'), at('theta_c'));
    let count = 0,
      sum = 0;
    rows.t.forEach((t, index) => {
      if (!rows.censored[index]) {
        count++;
        sum += t - rows.t0[index];
      }
    });
    const got = { count, censored: rows.t.length - count, sum };
    for (const name in got) {
      if (got[name] !== want[name]) {
        return (
          `${side.label}: this page finds ${got[name]} (${name}) for the offsets of the ${want.gate} gate, Python ` +
          `found ${want[name]}: do not trust its offsets, and please report this`
        );
      }
    }
  }
  return '';
}
