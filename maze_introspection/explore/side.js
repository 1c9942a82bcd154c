// One side of the page: pick an episode, move through time, see the moment, the ball and the channels.

const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

const MARKS = {
  flips: 'action flips',
  crossings: 'ring crossings',
  stalls: 'stalls',
  longest: 'longest offsets',
  bin: 'chosen bin',
};
const LONGEST = 20;

class Side {
  constructor(data, report) {
    this.data = data;
    this.report = report;
    this.step = 0;
    this.view = null;
    this.kind = 'crossings';
    this.bin = [];
    this.sheets = new Map();
    this.element = this.build();
    this.fill();
  }

  build() {
    const part = (name) => {
      this[name] = make('div', { className: `plot ${name}` });
      return this[name];
    };
    this.episodes = make('select', { className: 'episodes', title: 'episode' });
    this.play = make('button', { className: 'play', type: 'button', textContent: '▶', title: 'play (space)' });
    this.speed = make(
      'select',
      { className: 'speed', title: 'speed' },
      ...[0.1, 0.25, 0.5, 1, 2, 4].map((factor) => new Option(`${factor}×`, factor, factor === 1, factor === 1)),
    );
    this.slider = make('input', { className: 'slider', type: 'range', min: 0, step: 1, value: 0, title: 'time' });
    this.now = make('output', { className: 'now' });
    this.kinds = make('select', { className: 'kinds', title: 'bookmarks' });
    this.back = make('button', { className: 'back', type: 'button', textContent: '◀', title: 'bookmark before (p)' });
    this.on = make('button', { className: 'on', type: 'button', textContent: '▶', title: 'next bookmark (n)' });
    this.canvas = make('canvas');
    this.seen = make('small');
    this.facts = make('dl');
    this.channelTitle = make('h3');
    this.placesTitle = make('h3');
    this.legend = make('span', { className: 'legend' });
    this.about = make('p', { className: 'about' });
    this.problems = make('div');
    this.controls = make(
      'div',
      { className: 'controls' },
      this.episodes,
      this.play,
      this.speed,
      this.slider,
      this.now,
      make('span', { className: 'marks' }, this.kinds, this.back, this.on),
    );
    this.walk = make(
      'div',
      { className: 'walk' },
      make(
        'div',
        {},
        make(
          'h3',
          { textContent: 'Where was the ball? ' },
          make('small', { textContent: 'distance to the centre (figure 3), ○ entering another ring' }),
        ),
        part('distance'),
        make(
          'h3',
          { textContent: 'Which channels made up half of the score? ' },
          make('small', { textContent: '(figure 2; click one) ' }),
          this.legend,
        ),
        part('heatmap'),
        this.channelTitle,
        part('channel'),
      ),
      make(
        'div',
        { className: 'space' },
        make('div', { className: 'moment' }, make('div', { className: 'seen' }, this.canvas, this.seen), this.facts),
        make('div', {}, this.placesTitle, part('places')),
      ),
    );
    return make('section', { className: 'side' }, this.about, this.problems, this.controls, this.walk);
  }

  fill() {
    const { data } = this;
    const episodes = data.steps ? data.episodes : [];
    const solved = episodes.filter((row) => row.solved).length,
      known = episodes.some((row) => row.whole);
    this.about.textContent = data.steps
      ? `${PAGE.sides.length > 1 ? `${data.label}: ` : ''}${episodes.length} episode${episodes.length > 1 ? 's' : ''}${known ? `, ${solved} solved` : ''}, ${data.steps} step${data.steps > 1 ? 's' : ''}, ${data.channels} LSTM channels`
      : '';
    const lost = [...(data.missing ?? []), ...(data.corrupt ?? [])];
    const problems = [
      ...data.problems,
      ...(lost.length
        ? [
            `Not complete: steps are missing or damaged before step ${lost.slice(0, 8).join(', ')}${lost.length > 8 ? ' ...' : ''} (of all); no offset spans these.`,
          ]
        : []),
    ];
    this.problems.replaceChildren(...problems.map((textContent) => make('p', { className: 'problems', textContent })));
    if (!data.steps) {
      this.problems.remove();
      this.controls.hidden = true;
      this.walk.replaceChildren(
        make('p', {
          className: 'instead',
          textContent: `Nothing to show of ${data.label}: ${data.problems.join('; ') || 'it holds no policy step'}.`,
        }),
      );
      return;
    }
    if (episodes.length > 1) this.episodes.append(new Option(`all ${episodes.length} episodes`, -1));
    episodes.forEach((row, index) => {
      const end = row.solved ? `solved in ${row.solved_s.toFixed(1)} s` : `${row.seconds.toFixed(1)} s`;
      this.episodes.append(new Option(`${index}: ${row.id}, ${end}`, index));
    });
    this.episodes.value = PAGE.sides.length > 1 && episodes.length > 1 ? -1 : data.start.episode;
    this.legend.replaceChildren(
      ...data.actions.map((name, action) =>
        make('span', {}, make('i', { style: `background:${actionColor(action)}` }), name),
      ),
    );
    this.canvas.width = data.pictures.width || 84;
    this.canvas.height = data.pictures.height || 84;
    this.canvas.style.imageRendering = data.pictures.height > 100 ? 'auto' : 'pixelated';
    this.listen();
  }

  listen() {
    this.episodes.onchange = () => {
      this.step = 0;
      this.view = null;
      this.bin = [];
      this.drawAll();
      this.report.refilter();
    };
    this.slider.oninput = () => this.setStep(Number(this.slider.value));
    this.play.onclick = () => this.toggle();
    this.kinds.onchange = () => {
      this.kind = this.kinds.value;
      this.drawMarks();
    };
    this.back.onclick = () => this.jump(-1);
    this.on.onclick = () => this.jump(1);
    this.element.addEventListener('pointerdown', () => this.report.activate(this));
  }

  get episode() {
    return Number(this.episodes.value);
  }
  /** First step, one behind the last, and the part of it that the reader has zoomed to, if any. */
  get scope() {
    return [...scopeOf(this.data, this.episode), this.view];
  }
  get table() {
    return tableOf(this.data, this.episode);
  }
  /** The step of the recording that is shown; `step` counts from the beginning of what is shown. */
  get at() {
    return this.scope[0] + this.step;
  }

  /** Everything, after another episode or another width. */
  drawAll() {
    if (!this.data.steps) return;
    const [first, end] = this.scope;
    this.step = Math.min(this.step, end - first - 1);
    this.slider.max = end - first - 1;
    this.slider.disabled = end - first === 1;
    this.drawMarks();
    this.drawRows();
    this.setStep(this.step);
  }

  /** What depends on the chosen channel or the gate. */
  drawRows() {
    if (!this.data.steps) return;
    const { data, table } = this;
    const { channel } = this.report;
    drawHeatmap(this.heatmap, data, this.scope, table.rows, channel);
    this.drawChannel();
    drawPlaces(this.places, data, this.scope, channel);
    this.listenTo(this.heatmap, (point) => {
      this.setStep(Math.round(point.x));
      this.report.setChannel(Number(point.y));
    });
    this.listenTo(this.places, (point) => {
      if (point.customdata !== undefined) this.setStep(point.customdata - this.scope[0]);
    });
    this.placesTitle.replaceChildren(
      `Where was the ball when channel ${channel} spoke? `,
      make('small', { textContent: this.role(channel) }),
    );
    this.placeCursors();
  }

  drawChannel() {
    const { channel, gate, kg } = this.report;
    drawChannel(this.channel, this.data, this.scope, channel, gate, kg);
    this.listenTo(this.channel, (point) => this.setStep(Math.round(point.x)));
    const color = (name, text) => make('span', { textContent: text, style: `color:${name}` });
    this.channelTitle.replaceChildren(
      `When did the gate of channel ${channel} open? `,
      make(
        'small',
        {},
        color(PAGE.colors.gate, `${PAGE.gates[gate]} gate`),
        ', ',
        'contribution, ',
        color(PAGE.colors.salient, 'salient'),
        ', ',
        color('#00785a', 'offset (dotted: censored)'),
        ' (figure 5)',
      ),
    );
  }

  /** What the channel is for, in words; figure 4's numbers. */
  role(channel) {
    const { data, table } = this,
      [first, end] = this.scope;
    if (channel >= data.channels) return '';
    const n = table.of(channel, 'salient_steps'),
      percent = (share) => `${share > 0 && share < 0.01 ? (100 * share).toPrecision(1) : (100 * share).toFixed(0)} %`;
    if (!n) return `never salient ${this.episode < 0 ? 'in these episodes' : 'in this episode'}`;
    const ring = table.of(channel, 'ring'),
      spread = table.of(channel, 'spread_m');
    return (
      `salient ${percent(n / (end - first))} of the time, ${percent(table.of(channel, 'action_share'))} of it for ${data.actions[table.of(channel, 'action')]}` +
      (ring >= 0 ? `, ${percent(table.of(channel, 'ring_share'))} in ${ring ? `ring ${ring}` : 'the centre'}` : '') +
      (spread >= 0 ? `, within ${(1000 * spread).toFixed(0)} mm rms` : '')
    );
  }

  listenTo(element, clicked) {
    if (!element.on) return;
    element.removeAllListeners('plotly_click');
    element.removeAllListeners('plotly_relayout');
    element.on('plotly_click', ({ points }) => {
      this.report.activate(this);
      clicked(points[0]);
    });
    if (element !== this.places) element.on('plotly_relayout', (change) => this.zoomed(element, change));
  }

  /** Time runs to the right in three plots: they zoom together. */
  zoomed(element, change) {
    if (Object.keys(change).some((key) => key.startsWith('xaxis'))) {
      const [first, end] = this.scope;
      const [low, high] = element.layout.xaxis.range;
      const view = [Math.max(-0.5, low), Math.min(end - first - 0.5, high)];
      this.view = view[0] === -0.5 && view[1] === end - first - 0.5 ? null : view;
      for (const plot of [this.distance, this.heatmap, this.channel]) {
        const range = plot.layout?.xaxis.range;
        // Only what is not there yet: every change comes back here as an event.
        if (range && range.some((edge, index) => edge !== view[index]))
          Plotly.relayout(plot, { 'xaxis.range': [...view] });
      }
    }
    this.placeCursors();
  }
}
