// What Plotly draws in space: the maze with the ball's way and a channel's places, and the joint histogram.

const MAZE_MARGIN = { l: 46, r: 16, t: 10, b: 36 };

/** Walls with their openings, in mm: x and y with breaks. */
function wallLines(maze) {
  const x = [],
    y = [];
  [...maze.wall_mm, maze.rim_mm].forEach((radius, wall) => {
    const half = maze.clear_mm / 2 / radius;
    for (let index = 0; index <= 720; index++) {
      const angle = (index / 360) * Math.PI;
      const gap = (maze.openings_rad[wall] ?? []).some(
        (at) => Math.abs(((angle - at + 3 * Math.PI) % (2 * Math.PI)) - Math.PI) < half,
      );
      x.push(gap ? null : radius * Math.cos(angle));
      y.push(gap ? null : radius * Math.sin(angle));
    }
    x.push(null);
    y.push(null);
  });
  return { x, y, mode: 'lines', line: { color: '#555', width: 2 }, hoverinfo: 'skip' };
}

/** Half of what the maze plot shows, mm. */
function reachMm(side) {
  if (side.maze) return Math.round(1e3 * (side.maze.rim_mm + 2 * side.maze.thickness_mm)) / 1e3;
  return 1.05 * 1000 * largest(side.ball_m.map(Math.abs), 0.001);
}

/** The ball's way, and where it is when the channel is salient (figure 4). */
function drawPlaces(element, side, [first, end], channel) {
  if (!side.ball_seen) return instead(element, 'The ball was not recorded: there is no place to show.');
  const T = side.steps,
    way = [[], [], []],
    place = [[], [], [], []];
  for (let t = first; t < end; t++) {
    const x = 1000 * side.ball_m[t],
      y = 1000 * side.ball_m[T + t];
    if (t > first && side.episode[t] !== side.episode[t - 1]) {
      way[0].push(null);
      way[1].push(null);
      way[2].push(t);
    }
    way[0].push(x);
    way[1].push(y);
    way[2].push(t);
    if (channel < side.channels && side.salient[channel * T + t]) {
      place[0].push(x);
      place[1].push(y);
      place[2].push(side.action[t]);
      place[3].push(t);
    }
  }
  const many = end - first > 1000,
    reach = reachMm(side),
    size = element.clientWidth - MAZE_MARGIN.l - MAZE_MARGIN.r;
  const axis = { range: [-reach, reach], fixedrange: true };
  const traces = [
    {
      x: way[0],
      y: way[1],
      customdata: way[2],
      mode: end - first > 1 ? 'lines' : 'markers',
      line: { color: many ? '#dcdcdc' : '#bdbdbd', width: many ? 0.8 : 1.5 },
      text: way[2].map((t) => t - first),
      hovertemplate: 'step %{text}<extra></extra>',
    },
    {
      x: place[0],
      y: place[1],
      customdata: place[3],
      mode: 'markers',
      marker: { color: place[2].map(actionColor), size: many ? 5 : 7, line: { color: '#fff', width: 0.5 } },
      text: place[3].map((t) => `step ${t - first}: ${side.actions[side.action[t]]}`),
      hovertemplate: '%{text}<extra></extra>',
    },
  ];
  if (side.maze) traces.unshift(wallLines(side.maze));
  return draw(
    element,
    traces,
    {
      margin: MAZE_MARGIN,
      height: size + MAZE_MARGIN.t + MAZE_MARGIN.b,
      width: element.clientWidth,
      xaxis: { ...axis, title: { text: 'x, mm' } },
      yaxis: { ...axis, title: { text: 'y, mm' } },
    },
    FIXED,
  );
}

/** Joint histogram of offset and distance (figure 6), the samples at each distance above it. */
function drawHistogram(element, side, histogram, most, gate) {
  const { count, columns, width, bars, total, censored, nowhere, outside } = histogram;
  if (!total) {
    const left = censored ? ` (${censored} censored ones are left out)` : '';
    return instead(
      element,
      nowhere
        ? `${side.label}: the ball was not recorded: nobody knows at which distance the ${nowhere} offsets are.`
        : outside
          ? `${side.label}: the ball is beyond the rim at all of the ${outside} offsets.`
          : `${side.label}: no offset passes these filters${left}.`,
    );
  }
  const unit = side.distance.unit,
    walls = ringWalls(side, 'x');
  const x = Array.from({ length: columns }, (_, column) => column + 0.5),
    y = Array.from({ length: bars }, (_, bar) => (bar + 0.5) * width - 0.5);
  const at = (column) => `distance ${column} to ${column + 1} ${unit}`,
    long = (bar) => (width > 1 ? `${bar * width} to ${(bar + 1) * width - 1}` : bar);
  const samples = x.map((_, column) => count.reduce((sum, row) => sum + row[column], 0));
  const ticks = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].filter((value) => value <= most);
  return draw(
    element,
    [
      {
        type: 'heatmap',
        x,
        y,
        z: count.map((row) => Array.from(row, (value) => (value ? Math.log10(value) : null))),
        hoverongaps: false,
        zmin: 0,
        zmax: Math.log10(Math.max(2, most)),
        colorscale: 'Viridis',
        reversescale: true,
        text: count.map((row) => Array.from(row)),
        customdata: count.map((row, bar) => Array.from(row, (_, column) => `${at(column)}<br>offset ${long(bar)} steps`)),
        hovertemplate: '%{text} samples<br>%{customdata}<extra></extra>',
        colorbar: {
          title: { text: 'samples', side: 'right' },
          tickvals: ticks.map(Math.log10),
          ticktext: ticks.map(String),
          thickness: 12,
          len: 0.8,
          y: 0,
          yanchor: 'bottom',
        },
      },
      {
        type: 'bar',
        x,
        y: samples,
        yaxis: 'y2',
        marker: { color: GREY },
        width: 1,
        text: x.map((_, column) => at(column)),
        textposition: 'none',
        hovertemplate: '%{y} samples<br>%{text}<extra></extra>',
      },
    ],
    {
      margin: { l: 58, r: 10, t: 22, b: 38 },
      bargap: 0,
      xaxis: { title: { text: `distance to maze centre, ${unit}` }, range: [0, columns] },
      yaxis: {
        title: { text: `preceding offset (${gate} gate), steps` },
        domain: [0, 0.8],
        range: [-0.5, bars * width - 0.5],
      },
      yaxis2: { title: { text: 'samples' }, domain: [0.83, 1], ...(largest(samples) < 4 ? { dtick: 1 } : { nticks: 3 }) },
      shapes: walls.shapes,
      annotations: walls.annotations,
    },
  );
}
