// What Plotly draws. Every function draws one view of one side into an element, or says in it why there is nothing to see.

const FONT = { family: 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif', size: 12, color: '#1a1a1a' };
const CONFIG = { displaylogo: false, modeBarButtons: [['zoom2d', 'pan2d', 'resetScale2d', 'toImage']] };
const FIXED = { displaylogo: false, modeBarButtons: [['toImage']] };
const MARGIN = { l: 58, r: 58, t: 6, b: 34 };  // the same wherever time runs to the right, so that the plots align
const WIDEST = 2000;  // columns of the heat map, as in figures/heatmap.py
const GREY = '#8a8a8a';

function instead(element, sentence) {
  if (element.data) Plotly.purge(element);
  element.replaceChildren(Object.assign(document.createElement('p'), { className: 'instead', textContent: sentence }));
}

function draw(element, traces, layout, config = CONFIG) {
  if (element.querySelector('.instead')) element.replaceChildren();
  const axis = { showline: true, linecolor: '#777', ticks: 'outside', ticklen: 4, zeroline: false, showgrid: false };
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
    layout[name] = { ...axis, ...layout[name], title: { standoff: name.startsWith('x') ? 2 : 6, ...layout[name].title } };
  }
  return Plotly.react(element, traces, { font: FONT, showlegend: false, hovermode: 'closest', dragmode: 'zoom', ...layout }, config);
}

const actionColor = (action) => PAGE.colors.actions[action];
const timeAxis = ([first, end]) => ({ title: { text: 'time, steps' }, range: [-0.5, end - first - 0.5], ...(end - first < 10 ? { dtick: 1 } : {}) });
const line = (shape, color, dash = 'solid', width = 1) => ({ type: 'line', layer: 'below', line: { color, dash, width }, ...shape });

/** Vertical lines where episodes begin, when several are shown. */
function episodeLines(side, [first, end]) {
  const begins = side.first.filter((step) => step > first && step < end);
  return begins.map((step) => line({ x0: step - first - 0.5, x1: step - first - 0.5, y0: 0, y1: 1, yref: 'paper' }, '#c4c4c4'));
}

/** Dashed ring walls on a distance axis, and each ring's name between them. */
function ringWalls(side, along) {
  if (!side.maze) return { shapes: [], annotations: [] };
  const scale = side.maze.px_per_mm, across = along === 'y' ? 'x' : 'y';
  const edges = [0, ...side.maze.wall_mm, side.maze.rim_mm].map((mm) => mm * scale);
  const shapes = edges.slice(1, -1).map((edge) => line(
    { [`${along}0`]: edge, [`${along}1`]: edge, [`${across}0`]: 0, [`${across}1`]: 1, [`${across}ref`]: 'paper' }, '#b5b5b5', 'dash'));
  const annotations = edges.slice(1).map((edge, ring) => ({
    text: ring ? `ring ${ring}` : 'centre', showarrow: false, font: { size: 11, color: '#595959' },
    [along]: (edges[ring] + edge) / 2, [`${across}ref`]: 'paper',
    ...(along === 'y' ? { x: 1.005, xanchor: 'left' } : { y: 1.0, yanchor: 'bottom' }),
  }));
  return { shapes, annotations };
}

/** The ball's distance over time (figure 3), ring crossings as points, the chosen bookmarks as ticks. */
function drawDistance(element, side, scope, marks) {
  const [first, end] = scope;
  if (!side.ball_seen) return instead(element, 'The ball was not recorded: there is no distance to draw.');
  const x = [], y = [];
  for (let t = first; t < end; t++) {
    if (t > first && side.episode[t] !== side.episode[t - 1]) { x.push(t - first - 0.5); y.push(null); }
    x.push(t - first); y.push(side.away[t]);
  }
  const inside = (step) => step >= first && step < end;
  const crossings = side.bookmarks.crossings.filter(inside);
  const top = side.maze ? side.maze.rim_mm * side.maze.px_per_mm : largest(y) * 1.05 || 1;
  const unit = side.distance.unit, walls = ringWalls(side, 'y');
  const mm = (px) => (1000 * px / side.distance.per_m).toFixed(0);
  return draw(element, [
    { x, y, mode: end - first > 1 ? 'lines' : 'markers', line: { color: '#222', width: 1.5 }, connectgaps: false,
      text: y.map((value) => (unit === 'px' && value !== null ? ` (${mm(value)} mm)` : '')),
      hovertemplate: `step %{x}<br>%{y:.1f} ${unit}%{text}<extra></extra>` },
    { x: crossings.map((t) => t - first), y: crossings.map((t) => side.away[t]), mode: 'markers',
      marker: { color: '#fff', size: crossings.length > 40 ? 4 : 7, line: { color: '#222', width: crossings.length > 40 ? 0.7 : 1.5 } },
      text: crossings.map((t) => `ring ${side.ring[t - 1]} → ${side.ring[t]}`), hovertemplate: 'step %{x}: %{text}<extra></extra>' },
    { x: marks.filter(inside).map((t) => t - first), y: marks.filter(inside).map(() => 0), mode: 'markers', cliponaxis: false,
      marker: { symbol: 'line-ns-open', size: 12, color: PAGE.colors.salient, line: { width: marks.length > 40 ? 0.7 : 1.5 } }, hoverinfo: 'x' },
  ], {
    margin: MARGIN, xaxis: timeAxis(scope), yaxis: { title: { text: `to centre, ${unit}` }, range: [0, top] },
    shapes: [...episodeLines(side, scope), ...walls.shapes], annotations: walls.annotations,
  });
}

/** Action of each salient (row, column), and how many steps make a column, as figures/heatmap.py has it. */
function salientActions(side, rows, [first, end]) {
  const per = Math.ceil((end - first) / WIDEST), columns = Math.ceil((end - first) / per), actions = side.actions.length;
  const pixels = rows.map((channel) => {
    const found = new Float32Array(columns).fill(NaN), own = channel * side.steps;
    const count = new Int32Array(actions);
    for (let column = 0; column < columns; column++) {
      count.fill(0);
      for (let t = first + column * per; t < Math.min(end, first + (column + 1) * per); t++) {
        if (side.salient[own + t]) count[side.action[t]]++;
      }
      const most = Math.max(...count);
      if (most) found[column] = count.indexOf(most);
    }
    return found;
  });
  return { pixels, per, columns };
}

/** Salient channels over time, coloured by action (figure 2). */
function drawHeatmap(element, side, scope, rows, channel) {
  if (!rows.length) return instead(element, 'No channel is ever salient here: no channel pulls towards the action taken.');
  const { pixels, per, columns } = salientActions(side, rows, scope);
  const n = side.actions.length, names = rows.map(String), chosen = rows.indexOf(channel);
  const colors = side.actions.flatMap((_, action) => [[action / n, actionColor(action)], [(action + 1) / n, actionColor(action)]]);
  const shapes = episodeLines(side, scope);
  if (chosen >= 0) {
    const around = rows.length > 60 ? 1 : 0.5;  // so that it hides nothing of a thin row
    shapes.push({ type: 'rect', xref: 'paper', x0: 0, x1: 1, y0: chosen - around, y1: chosen + around, line: { color: '#000', width: 1 } });
  }
  return draw(element, [{
    type: 'heatmap', z: pixels, x: Float64Array.from({ length: columns }, (_, column) => column * per + (per - 1) / 2), y: names,
    zmin: -0.5, zmax: n - 0.5, colorscale: colors, showscale: false, hoverongaps: false,
    text: pixels.map((row) => Array.from(row, (action) => side.actions[action] ?? '')),
    hovertemplate: 'channel %{y}<br>step %{x}<br>%{text}<extra></extra>',
  }], {
    margin: MARGIN, xaxis: timeAxis(scope),
    yaxis: { type: 'category', range: [rows.length - 0.5, -0.5], title: { text: `${rows.length} LSTM channels`, standoff: chosen < 0 ? 24 : 6 },
      tickvals: chosen < 0 ? [] : [names[chosen]], ticktext: [`<b>${channel}</b>`] },
    shapes,
  });
}

/** Gate, contribution, salient steps and offsets of one channel (figure 5). */
function drawChannel(element, side, scope, channel, gate, kg) {
  if (channel >= side.channels) return instead(element, `This policy has ${side.channels} channels: there is no channel ${channel}.`);
  const [first, end] = scope, T = side.steps, own = channel * T, base = (gate * side.channels + channel) * T;
  const x = [], gates = [], shares = [], bars = [[], []];
  for (let t = first; t < end; t++) {
    x.push(t - first);
    gates.push(decoded(side.gate[base + t], side.grid_g));
    shares.push(decoded(side.share[own + t], side.grid_c));
    if (side.salient[own + t]) { bars[0].push(t - first, t - first, null); bars[1].push(0, 1.05, null); }
  }
  const theta_g = side.grid_g[kg];
  const name = PAGE.gates[gate], lines = offsetLines(filtered(side, stepOffsets(side, gate, kg, channel), { first, end }), first, theta_g);
  const green = (part, dash) => ({ x: part[0], y: part[1], mode: 'lines', line: { color: PAGE.colors.offset, width: 1.4, dash }, text: part[2],
    hovertemplate: '%{text}<extra></extra>' });
  const most = largest(shares), mode = end - first > 1 ? 'lines' : 'markers';
  return draw(element, [
    { x: bars[0], y: bars[1], mode: 'lines', line: { color: 'rgba(200, 16, 46, 0.3)', width: Math.max(1, Math.min(4, 500 / (end - first))) }, hoverinfo: 'skip' },
    green(lines.observed, 'solid'), green(lines.censored, 'dot'),
    { x, y: shares, yaxis: 'y2', mode, line: { color: '#000', width: 1.3, dash: '2px,2px' }, hovertemplate: 'step %{x}<br>contribution %{y:.1%}<extra></extra>' },
    { x, y: gates, mode, line: { color: PAGE.colors.gate, width: 1.7 }, hovertemplate: `step %{x}<br>${name} gate %{y:.3f}<extra></extra>` },
  ], {
    margin: { ...MARGIN, t: 4 }, xaxis: timeAxis(scope),
    yaxis: { title: { text: `${name} gate` }, range: [0, 1.05], tickvals: [0, 0.25, 0.5, 0.75, 1] },
    yaxis2: { title: { text: 'share of the score' }, overlaying: 'y', side: 'right', range: [0, 1.08 * most || 0.1], tickformat: '.1~%', tickmode: 'auto', nticks: 5 },
    shapes: [...episodeLines(side, scope), line({ xref: 'paper', x0: 0, x1: 1, y0: theta_g, y1: theta_g }, PAGE.colors.gate, 'dash', 0.8)],
  });
}

/** One line per salient step back to where its run began; those of one run are stacked below theta_g. */
function offsetLines(rows, first, theta_g) {
  const parts = { observed: [[], [], []], censored: [[], [], []] };
  const size = new Map(), done = new Map();
  rows.t0.forEach((t0) => size.set(t0, (size.get(t0) ?? 0) + 1));
  rows.t.forEach((t, index) => {
    const t0 = rows.t0[index], rank = (done.get(t0) ?? 0) + 1, censored = rows.censored[index];
    done.set(t0, rank);
    const height = theta_g * (1 - rank / (size.get(t0) + 1)), part = censored ? parts.censored : parts.observed;
    part[0].push(t0 - first, t - first, null);
    part[1].push(height, height, null);
    const says = `open since step ${t0 - first}: offset ${censored ? 'at least ' : ''}${t - t0} steps`;
    part[2].push(says, says, '');
  });
  return parts;
}
