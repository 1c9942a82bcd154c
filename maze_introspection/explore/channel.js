// Figure 5: the gate of one channel, its contribution, when it is salient, and the preceding offsets.

/** Gate, contribution, salient steps and offsets of one channel (figure 5). */
function drawChannel(element, side, scope, channel, gate, kg) {
  if (channel >= side.channels)
    return instead(element, `This policy has ${side.channels} channels: there is no channel ${channel}.`);
  const [first, end] = scope,
    T = side.steps,
    own = channel * T,
    base = (gate * side.channels + channel) * T;
  const x = [],
    gates = [],
    shares = [],
    bars = [[], []];
  for (let t = first; t < end; t++) {
    x.push(t - first);
    gates.push(decoded(side.gate[base + t], side.grid_g));
    shares.push(decoded(side.share[own + t], side.grid_c));
    if (side.salient[own + t]) {
      bars[0].push(t - first, t - first, null);
      bars[1].push(0, 1.05, null);
    }
  }
  const theta_g = side.grid_g[kg];
  const name = PAGE.gates[gate],
    lines = offsetLines(filtered(side, stepOffsets(side, gate, kg, channel), { first, end }), first, theta_g);
  const green = (part, dash) => ({
    x: part[0],
    y: part[1],
    mode: 'lines',
    line: { color: PAGE.colors.offset, width: 1.4, dash },
    text: part[2],
    hovertemplate: '%{text}<extra></extra>',
  });
  const most = largest(shares),
    mode = end - first > 1 ? 'lines' : 'markers';
  return draw(
    element,
    [
      {
        x: bars[0],
        y: bars[1],
        mode: 'lines',
        line: { color: 'rgba(200, 16, 46, 0.3)', width: Math.max(1, Math.min(4, 500 / (end - first))) },
        hoverinfo: 'skip',
      },
      green(lines.observed, 'solid'),
      green(lines.censored, 'dot'),
      {
        x,
        y: shares,
        yaxis: 'y2',
        mode,
        line: { color: '#000', width: 1.3, dash: '2px,2px' },
        hovertemplate: 'step %{x}<br>contribution %{y:.1%}<extra></extra>',
      },
      {
        x,
        y: gates,
        mode,
        line: { color: PAGE.colors.gate, width: 1.7 },
        hovertemplate: `step %{x}<br>${name} gate %{y:.3f}<extra></extra>`,
      },
    ],
    {
      margin: { ...MARGIN, t: 4 },
      xaxis: timeAxis(scope),
      yaxis: { title: { text: `${name} gate` }, range: [0, 1.05], tickvals: [0, 0.25, 0.5, 0.75, 1] },
      yaxis2: {
        title: { text: 'share of the score' },
        overlaying: 'y',
        side: 'right',
        range: [0, 1.08 * most || 0.1],
        tickformat: '.1~%',
        tickmode: 'auto',
        nticks: 5,
      },
      shapes: [
        ...episodeLines(side, scope),
        line({ xref: 'paper', x0: 0, x1: 1, y0: theta_g, y1: theta_g }, PAGE.colors.gate, 'dash', 0.8),
      ],
    },
  );
}

/** One line per salient step back to where its run began; those of one run are stacked below theta_g. */
function offsetLines(rows, first, theta_g) {
  const parts = { observed: [[], [], []], censored: [[], [], []] };
  const size = new Map(),
    done = new Map();
  rows.t0.forEach((t0) => size.set(t0, (size.get(t0) ?? 0) + 1));
  rows.t.forEach((t, index) => {
    const t0 = rows.t0[index],
      rank = (done.get(t0) ?? 0) + 1,
      censored = rows.censored[index];
    done.set(t0, rank);
    const height = theta_g * (1 - rank / (size.get(t0) + 1)),
      part = censored ? parts.censored : parts.observed;
    part[0].push(t0 - first, t - first, null);
    part[1].push(height, height, null);
    const says = `open since step ${t0 - first}: offset ${censored ? 'at least ' : ''}${t - t0} steps`;
    part[2].push(says, says, '');
  });
  return parts;
}
