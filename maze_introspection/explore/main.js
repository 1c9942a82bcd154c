// The whole page: what is chosen for all sides, and what follows from it.

const $ = (id) => document.getElementById(id);

class Report {
  constructor(sides) {
    this.sides = sides.map((data) => new Side(data, this));
    this.shown = this.sides.filter((side) => side.data.steps);
    $('sides').append(...this.sides.map((side) => side.element));
    document.body.classList.toggle('compare', sides.length > 1);
    /** Both sides have one grid of thresholds, but the slider of theta_c ends where the larger share does. */
    this.widest = this.shown.reduce(
      (one, other) => (other.data.theta_c.points.length > one.data.theta_c.points.length ? other : one),
      this.shown[0],
    )?.data;
    this.kept = new Map();
    if (this.shown.length === 1 && sides.length === 1) document.querySelector('h1').after(this.sides[0].about);
    document.querySelector('h1').textContent =
      sides.length > 1 ? sides.map((data, index) => `${'AB'[index]}: ${data.label}`).join('   |   ') : sides[0].label;
    if (this.shown.length) this.start(this.shown[0].data);
    else for (const id of ['filters', 'offsets', 'channels']) $(id).hidden = true;
  }

  start(data) {
    this.channel = data.start.channel;
    this.activate(this.shown[0]);
    this.table = new Table(this);
    const rings = largest(this.shown.map((side) => side.data.rings));
    const names = this.shown.map((side) => side.data.actions).reduce((a, b) => (b.length > a.length ? b : a));
    const options = (names, every) => [new Option(every, ''), ...names.map((name, index) => new Option(name, index))];
    $('gate').replaceChildren(...PAGE.gates.map((name, index) => new Option(name, index)));
    $('action').replaceChildren(...options(names, 'all'));
    $('ring').replaceChildren(
      ...options(
        Array.from({ length: rings }, (_, ring) => ringName(ring)),
        'all',
      ),
    );
    $('ring').disabled = !rings;
    for (const theta of ['theta_g', 'theta_c'])
      Object.assign($(theta), { min: 0, max: this.widest[theta].points.length - 1, step: 1 });
    this.asAnalyzed();
    let waiting = false;
    $('filters').oninput = () => {
      if (!waiting)
        requestAnimationFrame(() => {
          waiting = false;
          this.refilter();
        });
      waiting = true;
    };
    $('as_analyzed').onclick = () => {
      this.asAnalyzed();
      this.refilter();
    };
    document.addEventListener('keydown', (event) => this.key(event));
    let { innerWidth: width } = window;
    window.addEventListener('resize', () => {
      if (width === window.innerWidth) return;
      width = window.innerWidth;
      for (const side of this.shown) side.drawAll();
      this.drawHistograms();
    });
  }

  /** The keys move time in the side that the reader last touched. */
  activate(side) {
    this.active = side;
    for (const each of this.sides) each.element.classList.toggle('active', each === side);
  }

  /** The filters as Python analyzed the recording: the output gate, the configured thresholds. */
  asAnalyzed() {
    const data = this.widest;
    $('filters').reset();
    $('gate').value = PAGE.gates.indexOf('output');
    for (const theta of ['theta_g', 'theta_c'])
      $(theta).value = data[theta].points.findIndex(([, value]) => value === data[theta].configured);
    this.readFilters();
  }

  readFilters() {
    const data = this.widest,
      choice = (id) => ($(id).value === '' ? null : Number($(id).value));
    for (const [theta, code] of [
      ['theta_g', 'kg'],
      ['theta_c', 'kc'],
    ]) {
      const [k, value] = data[theta].points[Number($(theta).value)];
      this[code] = k;
      const short = value.toFixed(theta === 'theta_g' ? 2 : 3);
      $(`${theta}_says`).textContent = Number(short) === value ? short : value; // a configured one may lie between
    }
    Object.assign(this, {
      gate: choice('gate'),
      action: choice('action'),
      ring: choice('ring'),
      which: $('which').value,
    });
  }

  /** Offsets of a side that pass the filters, in the episodes that it shows. */
  rowsOf(side) {
    const [first, end] = side.scope;
    const key = [
      this.gate,
      this.kg,
      this.kc,
      this.action,
      this.ring,
      this.which === 'all' ? '' : this.channel,
      first,
      end,
    ].join();
    const kept = this.kept.get(side);
    if (kept?.key === key) return kept.rows;
    const rows = filtered(side.data, intervalOffsets(side.data, this.gate, this.kg, this.kc), {
      first,
      end,
      action: this.action,
      ring: this.ring,
      channel: this.which === 'all' ? null : this.channel,
    });
    this.kept.set(side, { key, rows });
    return rows;
  }

  /** What depends on a filter. */
  refilter() {
    this.readFilters();
    for (const side of this.shown) {
      side.bin = []; // the field's moments were those of other filters
      side.drawMarks();
      side.drawChannel();
      side.placeCursors();
    }
    this.drawHistograms();
    this.drawTable();
  }

  setChannel(channel) {
    this.channel = channel;
    for (const side of this.shown) {
      side.drawRows();
      side.drawFacts();
    }
    this.table.choose(channel);
    if (this.which !== 'all') this.refilter();
  }

  drawHistograms() {
    const binned = this.shown.map((side) => jointHistogram(side.data, this.rowsOf(side)));
    const most = Math.max(...binned.flatMap(({ count }) => count.map((row) => Math.max(...row))));
    const name = PAGE.gates[this.gate];
    $('histograms').replaceChildren(
      ...this.shown.map((side, index) => {
        side.histogram ??= make('div', { className: 'plot histogram' });
        side.count ??= make('p', { className: 'count' });
        const { total, censored, nowhere, outside } = binned[index],
          all = total + nowhere + outside;
        side.count.textContent =
          `${all} offset${all === 1 ? '' : 's'}; ${censored} censored left out` +
          (nowhere && total ? `; ${nowhere} without a ball` : '') +
          (outside ? `; ${outside} with the ball beyond the rim` : '') +
          (this.shown.length > 1 ? ` (${side.data.label})` : '');
        return make(
          'div',
          { className: 'offsets' },
          make('div', {}, side.count, side.histogram),
          ringTable(side.data, this.rowsOf(side)),
        );
      }),
    );
    this.shown.forEach((side, index) => {
      drawHistogram(side.histogram, side.data, binned[index], most, name);
      if (!side.histogram.on) return;
      side.histogram.removeAllListeners('plotly_click');
      side.histogram.on('plotly_click', ({ points: [point] }) => {
        const { width, inside } = binned[index],
          x = Math.floor(point.x),
          y = Math.floor((point.y + 0.5) / width);
        side.bin = inside
          .filter(([column, bar]) => column === x && (point.data.type === 'bar' || bar === y))
          .map(([, , t]) => t);
        side.kind = 'bin';
        side.drawMarks();
      });
    });
  }

  drawTable() {
    const perChannel = this.shown.map((side) => offsetsPerChannel(side.data, this.rowsOf(side)));
    const where = (side) =>
      side.episode < 0 || side.data.episodes.length === 1 ? 'all episodes' : `episode ${side.episode}`;
    const about =
      this.shown.length > 1
        ? PAGE.incomparable
          ? `${this.shown[0].data.label} only: ${PAGE.incomparable}`
          : 'ranked by how much their role changed, over all episodes; click a heading to sort, a row to see the channel'
        : `${where(this.shown[0])}; click a heading to sort, a row to see the channel`;
    $('channels_about').textContent = about;
    this.table.draw(this.shown, perChannel);
  }

  key(event) {
    const { target, key } = event,
      side = this.active;
    if (target.matches('select, input:not(.slider)') || event.ctrlKey || event.metaKey || event.altKey) return;
    const rows = side.table.rows,
      row = rows.indexOf(this.channel),
      far = event.shiftKey ? 10 : 1;
    const does = {
      ArrowLeft: () => side.setStep(side.step - far),
      ArrowRight: () => side.setStep(side.step + far),
      Home: () => side.setStep(0),
      End: () => side.setStep(side.scope[1]),
      ArrowUp: () => rows.length && this.setChannel(rows[Math.max(0, row - 1)]),
      ArrowDown: () => rows.length && this.setChannel(rows[Math.min(rows.length - 1, row + 1)]),
      ' ': () => side.toggle(),
      n: () => side.jump(1),
      p: () => side.jump(-1),
    }[key];
    if (!does || (key === ' ' && target.matches('button'))) return;
    event.preventDefault();
    does();
  }
}

async function open() {
  const [sides] = await Promise.all([Promise.all(PAGE.sides.map(readSide)), loadPlotly()]);
  globalThis.report = new Report(sides);
  for (const side of report.shown) side.drawAll();
  if (report.shown.length) {
    report.drawHistograms();
    report.drawTable();
  }
  const alarms = report.shown.map((side) => checkedAgainstPython(side.data)).filter(Boolean);
  $('alarm').textContent = alarms.join(' ');
  $('alarm').hidden = !alarms.length;
  $('footer').textContent =
    `Opened in ${(performance.now() / 1000).toFixed(1)} s. Everything is in this file; it uses no network. Plotly.js © Plotly, Inc., MIT licence.`;
  document.body.dataset.ready = (performance.now() / 1000).toFixed(3);
}

open().catch((error) => {
  $('alarm').textContent = `This page could not be drawn: ${error.message}`;
  $('alarm').hidden = false;
  throw error;
});
