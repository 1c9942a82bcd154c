// Figure 2: which channels are salient when.

const WIDEST = 2000; // columns of the heat map, as in figures/heatmap.py

/** Action of each salient (row, column), and how many steps make a column, as figures/heatmap.py has it. */
function salientActions(side, rows, [first, end]) {
  const per = Math.ceil((end - first) / WIDEST),
    columns = Math.ceil((end - first) / per),
    actions = side.actions.length;
  const pixels = rows.map((channel) => {
    const found = new Float32Array(columns).fill(NaN),
      own = channel * side.steps;
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
  if (!rows.length)
    return instead(element, 'No channel is ever salient here: no channel pulls towards the action taken.');
  const { pixels, per, columns } = salientActions(side, rows, scope);
  const n = side.actions.length,
    names = rows.map(String),
    chosen = rows.indexOf(channel);
  const colors = side.actions.flatMap((_, action) => [
    [action / n, actionColor(action)],
    [(action + 1) / n, actionColor(action)],
  ]);
  const shapes = episodeLines(side, scope);
  if (chosen >= 0) {
    const around = rows.length > 60 ? 1 : 0.5; // so that it hides nothing of a thin row
    shapes.push({
      type: 'rect',
      xref: 'paper',
      x0: 0,
      x1: 1,
      y0: chosen - around,
      y1: chosen + around,
      line: { color: '#000', width: 1 },
    });
  }
  return draw(
    element,
    [
      {
        type: 'heatmap',
        z: pixels,
        x: Float64Array.from({ length: columns }, (_, column) => column * per + (per - 1) / 2),
        y: names,
        zmin: -0.5,
        zmax: n - 0.5,
        colorscale: colors,
        showscale: false,
        hoverongaps: false,
        text: pixels.map((row) => Array.from(row, (action) => side.actions[action] ?? '')),
        hovertemplate: 'channel %{y}<br>step %{x}<br>%{text}<extra></extra>',
      },
    ],
    {
      margin: MARGIN,
      xaxis: timeAxis(scope),
      yaxis: {
        type: 'category',
        range: [rows.length - 0.5, -0.5],
        uirevision: names.join(), // a zoom of the rows stays when another channel is chosen
        title: { text: `${rows.length} LSTM channels`, standoff: chosen < 0 ? 24 : 6 },
        tickvals: chosen < 0 ? [] : [names[chosen]],
        ticktext: [`<b>${channel}</b>`],
      },
      shapes,
    },
  );
}
