// What Plotly draws. Every function draws one view of one side into an element, or says in it why there is nothing to see.

const FONT = { family: 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif', size: 12, color: '#1a1a1a' };
const CONFIG = { displaylogo: false, modeBarButtons: [['zoom2d', 'pan2d', 'resetScale2d', 'toImage']] };
const FIXED = { displaylogo: false, modeBarButtons: [['toImage']] };
const MARGIN = { l: 58, r: 58, t: 6, b: 34 }; // the same wherever time runs to the right, so that the plots align
const GREY = '#8a8a8a';

function instead(element, sentence) {
  if (element.data) Plotly.purge(element);
  element.replaceChildren(Object.assign(document.createElement('p'), { className: 'instead', textContent: sentence }));
}

function draw(element, traces, layout, config = CONFIG) {
  if (element.querySelector('.instead')) element.replaceChildren();
  const axis = { showline: true, linecolor: '#777', ticks: 'outside', ticklen: 4, zeroline: false, showgrid: false };
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis/.test(key))) {
    layout[name] = {
      ...axis,
      ...layout[name],
      title: { standoff: name.startsWith('x') ? 2 : 6, ...layout[name].title },
    };
  }
  return Plotly.react(
    element,
    traces,
    {
      font: FONT,
      showlegend: false,
      hovermode: 'closest',
      dragmode: 'zoom',
      width: element.clientWidth, // Plotly would keep the width that it found at first
      height: element.clientHeight,
      ...layout,
    },
    config,
  );
}

const actionColor = (action) => PAGE.colors.actions[action];
const timeAxis = ([first, end, view]) => ({
  title: { text: 'time, steps' },
  range: view ? [...view] : [-0.5, end - first - 0.5],
  ...(end - first < 10 ? { dtick: 1 } : {}),
});
const line = (shape, color, dash = 'solid', width = 1) => ({
  type: 'line',
  layer: 'below',
  line: { color, dash, width },
  ...shape,
});

/** Vertical lines where episodes begin, when several are shown. */
function episodeLines(side, [first, end]) {
  const begins = side.first.filter((step) => step > first && step < end);
  return begins.map((step) =>
    line({ x0: step - first - 0.5, x1: step - first - 0.5, y0: 0, y1: 1, yref: 'paper' }, '#c4c4c4'),
  );
}

/** Dashed ring walls on a distance axis, and each ring's name between them. */
function ringWalls(side, along) {
  if (!side.maze) return { shapes: [], annotations: [] };
  const scale = side.maze.px_per_mm,
    across = along === 'y' ? 'x' : 'y';
  const edges = [0, ...side.maze.wall_mm, side.maze.rim_mm].map((mm) => mm * scale);
  const shapes = edges
    .slice(1, -1)
    .map((edge) =>
      line(
        { [`${along}0`]: edge, [`${along}1`]: edge, [`${across}0`]: 0, [`${across}1`]: 1, [`${across}ref`]: 'paper' },
        '#b5b5b5',
        'dash',
      ),
    );
  const annotations = edges.slice(1).map((edge, ring) => ({
    text: ring ? `ring ${ring}` : 'centre',
    showarrow: false,
    font: { size: 11, color: '#595959' },
    [along]: (edges[ring] + edge) / 2,
    [`${across}ref`]: 'paper',
    ...(along === 'y' ? { x: 1.005, xanchor: 'left' } : { y: 1.0, yanchor: 'bottom' }),
  }));
  return { shapes, annotations };
}

/** The ball's distance over time (figure 3), ring crossings as points, the chosen bookmarks as ticks. */
function drawDistance(element, side, scope, marks) {
  const [first, end] = scope;
  if (!side.ball_seen) return instead(element, 'The ball was not recorded: there is no distance to draw.');
  const x = [],
    y = [];
  for (let t = first; t < end; t++) {
    if (t > first && side.episode[t] !== side.episode[t - 1]) {
      x.push(t - first - 0.5);
      y.push(null);
    }
    x.push(t - first);
    y.push(side.away[t]);
  }
  const inside = (step) => step >= first && step < end;
  const crossings = side.bookmarks.crossings.filter(inside);
  const top = side.maze ? side.maze.rim_mm * side.maze.px_per_mm : largest(y) * 1.05 || 1;
  const unit = side.distance.unit,
    walls = ringWalls(side, 'y');
  const mm = (px) => ((1000 * px) / side.distance.per_m).toFixed(0);
  return draw(
    element,
    [
      {
        x,
        y,
        mode: end - first > 1 ? 'lines' : 'markers',
        line: { color: '#222', width: 1.5 },
        connectgaps: false,
        text: y.map((value) => (unit === 'px' && value !== null ? ` (${mm(value)} mm)` : '')),
        hovertemplate: `step %{x}<br>%{y:.1f} ${unit}%{text}<extra></extra>`,
      },
      {
        x: crossings.map((t) => t - first),
        y: crossings.map((t) => side.away[t]),
        mode: 'markers',
        marker: {
          color: '#fff',
          size: crossings.length > 40 ? 4 : 7,
          line: { color: '#222', width: crossings.length > 40 ? 0.7 : 1.5 },
        },
        text: crossings.map((t) => `ring ${side.ring[t - 1]} → ${side.ring[t]}`),
        hovertemplate: 'step %{x}: %{text}<extra></extra>',
      },
      {
        x: marks.filter(inside).map((t) => t - first),
        y: marks.filter(inside).map(() => 0),
        mode: 'markers',
        cliponaxis: false,
        marker: {
          symbol: 'line-ns-open',
          size: 12,
          color: PAGE.colors.salient,
          line: { width: marks.length > 40 ? 0.7 : 1.5 },
        },
        hoverinfo: 'x',
      },
    ],
    {
      margin: MARGIN,
      xaxis: timeAxis(scope),
      yaxis: { title: { text: `to centre, ${unit}` }, range: [0, top] },
      shapes: [...episodeLines(side, scope), ...walls.shapes],
      annotations: walls.annotations,
    },
  );
}
