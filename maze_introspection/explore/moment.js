// The moment that a side shows: its picture, its numbers, the cursors, bookmarks, and time passing.

Object.assign(Side.prototype, {
  setStep(step) {
    const [first, end] = this.scope;
    this.step = Math.max(0, Math.min(end - first - 1, step));
    this.slider.value = this.step;
    const which = this.episode < 0 ? ` of episode ${this.data.episode[this.at]}` : '';
    this.now.textContent = `step ${this.step} of ${end - first - 1}, ${this.data.time_s[this.at].toFixed(2)} s${which}`;
    this.drawPicture();
    this.drawFacts();
    this.placeCursors();
  },

  /** The picture of this step, or the last one before it. */
  drawPicture() {
    const { pictures } = this.data,
      index = this.data.picture[this.at],
      context = this.canvas.getContext('2d');
    this.canvas.dataset.step = '';
    this.canvas.hidden = index < 0;
    this.seen.classList.toggle('instead', index < 0);
    if (index < 0) {
      const none = pictures.step.length ? 'no picture of this step, nor of one before in its episode' : pictures.what;
      this.seen.textContent = none || 'no picture recorded';
      return;
    }
    const of = pictures.step[index],
      late = this.at - of;
    this.seen.textContent =
      `${pictures.what}${late ? `, ${late} step${late > 1 ? 's' : ''} before` : ''}` +
      (pictures.every > 1 ? ` (one of ${pictures.every} kept)` : '');
    const sheet = Math.floor(index / pictures.per_sheet),
      place = index % pictures.per_sheet;
    const image = this.sheet(sheet);
    const show = () => {
      if (this.data.picture[this.at] !== index) return; // time has moved on meanwhile
      const { width, height } = pictures;
      context.drawImage(image, (place % 8) * width, Math.floor(place / 8) * height, width, height, 0, 0, width, height);
      this.canvas.dataset.step = of;
    };
    if (image.complete) show();
    else image.addEventListener('load', show);
    if (sheet + 1 < pictures.sheets.length) this.sheet(sheet + 1);
  },

  /** A sheet of pictures, decoded; only the last few used are kept. */
  sheet(index) {
    const image = this.sheets.get(index) ?? new Image();
    if (!image.src)
      image.src = 'data:image/webp;base64,' + document.getElementById(this.data.pictures.sheets[index]).textContent;
    this.sheets.delete(index);
    this.sheets.set(index, image);
    if (this.sheets.size > 6) this.sheets.delete(this.sheets.keys().next().value);
    return image;
  },

  /** Action, ball, tilt, and the salient channels of this step, the largest share first. */
  drawFacts() {
    const { data, at: t } = this,
      T = data.steps;
    const ring = data.ring[t],
      away = data.away[t],
      tilt = [data.tilt_deg[t], data.tilt_deg[T + t]];
    const mm = ((1000 * away) / data.distance.per_m).toFixed(0);
    const ball = Number.isNaN(away)
      ? 'not seen'
      : `${ring >= 0 ? `${ring ? `ring ${ring}` : 'centre'}, ` : ''}${data.maze ? `${away.toFixed(1)} px, ` : ''}${mm} mm`;
    const salient = [];
    for (let channel = 0; channel < data.channels; channel++) {
      if (data.salient[channel * T + t]) salient.push([channel, decoded(data.share[channel * T + t], data.grid_c)]);
    }
    salient.sort((a, b) => b[1] - a[1]);
    const row = (name, ...what) => [make('dt', { textContent: name }), make('dd', {}, ...what)];
    this.facts.replaceChildren(
      ...row(
        'action',
        make('i', { className: 'swatch', style: `background:${actionColor(data.action[t])}` }),
        ` ${data.actions[data.action[t]]}`,
      ),
      ...row('ball', ball),
      ...row('tilt', Number.isNaN(tilt[0]) ? 'not recorded' : `x ${tilt[0].toFixed(1)}°, y ${tilt[1].toFixed(1)}°`),
      ...row(
        'salient',
        salient.length
          ? `${salient.length} channels for ${(100 * data.fraction).toFixed(0)} % of the score`
          : 'none: no channel pulls this way',
      ),
      make(
        'div',
        { className: 'chips' },
        ...salient.map(([channel, share]) =>
          make('button', {
            type: 'button',
            textContent: channel,
            title: `channel ${channel}: ${(100 * share).toFixed(1)} % of the score`,
            className: channel === this.report.channel ? 'chosen' : '',
            style: `border-left-color:${actionColor(data.action[t])}`,
            onclick: () => this.report.setChannel(channel),
          }),
        ),
      ),
    );
  },

  /** A line at this step in every plot over time, a ball in the maze; no redrawing, so that time can pass smoothly. */
  placeCursors() {
    for (const element of [this.distance, this.heatmap, this.channel]) {
      const cursor = this.overlay(element, 'cursor');
      if (!cursor) continue;
      const {
        margin,
        xaxis: { range },
      } = element.layout;
      const width = element.clientWidth - margin.l - margin.r,
        share = (this.step - range[0]) / (range[1] - range[0]);
      Object.assign(cursor.style, {
        left: `${margin.l + share * width - 0.75}px`,
        top: `${margin.t}px`,
        height: `${element.clientHeight - margin.t - margin.b}px`,
        display: share >= 0 && share <= 1 ? '' : 'none',
      });
    }
    const ball = this.overlay(this.places, 'ball');
    if (!ball) return;
    const { margin, height, width } = this.places.layout,
      reach = reachMm(this.data),
      { ball_m: at, steps: T } = this.data;
    const across = (mm, low, high) => low + ((mm + reach) / (2 * reach)) * (high - low);
    const x = 1000 * at[this.at],
      y = 1000 * at[T + this.at];
    const size = this.data.maze ? ((2 * this.data.maze.ball_mm) / (2 * reach)) * (width - margin.l - margin.r) : 14;
    Object.assign(ball.style, {
      left: `${across(x, margin.l, width - margin.r)}px`,
      top: `${across(y, height - margin.b, margin.t)}px`,
      width: `${size}px`,
      height: `${size}px`,
      display: Number.isNaN(x) ? 'none' : '',
    });
  },

  overlay(element, className) {
    if (!element.layout || element.querySelector('.instead')) return null;
    return element.querySelector(`:scope > .${className}`) ?? element.appendChild(make('div', { className }));
  },

  /** The steps of a kind of bookmark inside what is shown, counted from its beginning. */
  bookmarks(kind) {
    const [first, end] = this.scope,
      { bookmarks } = this.data;
    const all = {
      flips: bookmarks.flips,
      crossings: bookmarks.crossings,
      stalls: bookmarks.stalls.map(([begin]) => begin),
      longest: this.longest(),
      bin: this.bin,
    };
    const steps = new Set(all[kind].filter((t) => t >= first && t < end).map((t) => t - first));
    return [...steps].sort((a, b) => a - b);
  },

  /** Where the longest offsets end, of those that pass the filters. */
  longest() {
    const { t, t0, censored } = this.report.rowsOf(this);
    const order = [...t.keys()].filter((index) => !censored[index]).sort((a, b) => t[b] - t0[b] - (t[a] - t0[a]));
    return order.slice(0, LONGEST).map((index) => t[index]);
  },

  drawMarks() {
    if (!this.data.steps) return;
    const options = Object.entries(MARKS)
      .map(([kind, name]) => [kind, name, this.bookmarks(kind).length])
      .filter(([kind, , count]) => kind !== 'bin' || count);
    if (!options.some(([kind]) => kind === this.kind)) this.kind = 'crossings';
    this.kinds.replaceChildren(...options.map(([kind, name, count]) => new Option(`${name} (${count})`, kind)));
    this.kinds.value = this.kind;
    const marks = this.bookmarks(this.kind);
    this.back.disabled = this.on.disabled = !marks.length;
    drawDistance(
      this.distance,
      this.data,
      this.scope,
      marks.map((step) => step + this.scope[0]),
    );
    this.listenTo(this.distance, (point) => this.setStep(Math.round(point.x)));
    this.placeCursors();
  },

  jump(direction) {
    const marks = this.bookmarks(this.kind);
    const next =
      direction > 0
        ? (marks.find((step) => step > this.step) ?? marks[0])
        : (marks.findLast((step) => step < this.step) ?? marks.at(-1));
    if (next === undefined) return;
    this.setStep(next);
    if (this.kind === 'longest') {
      const { t, channel, t0, censored } = this.report.rowsOf(this);
      const here = [...t.keys()].filter((index) => t[index] === this.at && !censored[index]);
      const best = here.sort((a, b) => t0[a] - t0[b])[0];
      if (best !== undefined) this.report.setChannel(channel[best]);
    }
  },

  toggle() {
    this.playing = !this.playing;
    this.play.textContent = this.playing ? '❚❚' : '▶';
    if (!this.playing) return;
    const last = this.scope[1] - this.scope[0] - 1;
    if (this.step >= last) this.setStep(0);
    let before = performance.now(),
      owed = 0;
    const tick = (now) => {
      if (!this.playing) return;
      owed += (((now - before) / 1000) * Number(this.speed.value)) / this.data.period_s;
      before = now;
      if (owed >= 1) {
        this.setStep(this.step + Math.floor(owed));
        owed %= 1;
      }
      if (this.step >= this.scope[1] - this.scope[0] - 1) this.toggle();
      else requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  },
});
