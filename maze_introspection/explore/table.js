// The table of channels: sortable, and saved as CSV. With two sides, what changed comes first.

const number = (digits) => (value) => (Number.isFinite(value) ? value.toFixed(digits) : '');
const percent = (digits) => (value) => (Number.isFinite(value) ? (100 * value).toFixed(digits) : '');
const ringName = (ring) => (ring < 0 ? '' : ring ? `ring ${ring}` : 'centre');

/** Columns of one side: title, name in the CSV, value of a channel, how to write it. */
function columnsOf(side, perChannel) {
  const { data, table } = side,
    [first, end] = side.scope,
    steps = end - first;
  const of = (field) => (channel) => table.of(channel, field);
  const said = (field) => (channel) => perChannel[channel][field];
  return [
    {
      title: 'salient, % of time',
      name: 'salient_share',
      value: (channel) => of('salient_steps')(channel) / steps,
      show: percent(1),
    },
    {
      title: 'mostly for',
      name: 'action',
      value: of('action'),
      show: (action) => data.actions[action] ?? '',
      word: true,
      action: true,
    },
    { title: 'action purity, %', name: 'action_purity', value: of('action_share'), show: percent(0) },
    { title: 'mostly in', name: 'ring', value: of('ring'), show: ringName, word: true },
    { title: 'in that ring, %', name: 'ring_share', value: of('ring_share'), show: percent(0) },
    { title: 'spread, mm rms', name: 'spread_m', value: of('spread_m'), show: (value) => number(1)(1000 * value) },
    { title: 'contribution, mean %', name: 'mean_contribution', value: of('mean_share'), show: percent(2) },
    { title: 'offsets', name: 'offsets', value: said('n'), show: number(0) },
    { title: 'median, steps', name: 'offset_median_steps', value: said('median'), show: number(1) },
    { title: 'lower quartile, steps', name: 'offset_q1_steps', value: said('q1'), show: number(1) },
    { title: 'upper quartile, steps', name: 'offset_q3_steps', value: said('q3'), show: number(1) },
    { title: 'longest, steps', name: 'offset_longest_steps', value: said('most'), show: number(0) },
    { title: 'censored', name: 'censored', value: said('censored'), show: number(0) },
  ];
}

/** Columns of both sides in pairs: only what is worth comparing, after how much the channel's role changed. */
function columnsOfBoth(sides, perChannel) {
  const kept = [
    'salient_share',
    'action',
    'action_purity',
    'ring_share',
    'spread_m',
    'offset_median_steps',
    'censored',
  ];
  const [one, other] = sides.map((side, index) => columnsOf(side, perChannel[index]));
  const change = {
    title: 'role changed, %',
    name: 'change',
    value: (channel) => PAGE.change[channel],
    show: percent(1),
  };
  return [
    change,
    ...kept.flatMap((name) =>
      [
        [one, 'A'],
        [other, 'B'],
      ].map(([columns, letter]) => {
        const column = columns.find((each) => each.name === name);
        return { ...column, title: `${letter}: ${column.title}`, name: `${letter}_${name}` };
      }),
    ),
  ];
}

/** Offsets in each ring, outermost first, as `maze-introspection analyze` prints them. */
function ringTable(data, rows) {
  const table = make('table', { className: 'rings' }),
    line = (kind, cells) => make('tr', {}, ...cells.map((textContent) => make(kind, { textContent })));
  table.append(line('th', ['ring', 'offsets', 'median, steps', 'quartiles, steps', 'longest, steps', 'censored']));
  offsetsPerRing(data, rows)
    .map((row, ring) => [ring, row])
    .reverse()
    .forEach(([ring, row]) => {
      const quartiles = row.n ? `${row.q1.toFixed(1)} to ${row.q3.toFixed(1)}` : '';
      table.append(
        line('td', [ringName(ring), row.n, number(1)(row.median), quartiles, number(0)(row.most), row.censored]),
      );
    });
  const note =
    'Censored: the gate was open already when the episode (or what memory continued) began; such an offset is a lower bound and counts nowhere.';
  return make('div', {}, ...(data.rings ? [table] : []), make('p', { className: 'about', textContent: note }));
}

class Table {
  constructor(report) {
    this.report = report;
    this.head = document.querySelector('#table thead');
    this.body = document.querySelector('#table tbody');
    this.sorted = null;
    document.getElementById('csv').onclick = () => this.save();
  }

  /** Recompute everything; the order stays as the reader has chosen it. */
  draw(sides, perChannel) {
    const both = sides.length > 1 && PAGE.change;
    const columns = both ? columnsOfBoth(sides, perChannel) : columnsOf(sides[0], perChannel[0]);
    this.columns = [{ title: 'channel', name: 'channel', value: (channel) => channel, show: String }, ...columns];
    this.sorted ??= { name: both ? 'change' : 'salient_share', down: true };
    this.channels = Array.from({ length: sides[0].data.channels }, (_, channel) => channel);
    this.sort();
    this.head.replaceChildren(
      make(
        'tr',
        {},
        ...this.columns.map((column) => {
          const cell = make('th', { textContent: column.title, onclick: () => this.by(column.name) });
          if (column.name === this.sorted.name)
            cell.setAttribute('aria-sort', this.sorted.down ? 'descending' : 'ascending');
          return cell;
        }),
      ),
    );
    this.body.replaceChildren(
      ...this.channels.map((channel) => {
        const row = make(
          'tr',
          { onclick: () => this.report.setChannel(channel) },
          ...this.columns.map((column) => {
            const value = column.value(channel),
              cell = make('td', { className: column.word ? 'word' : '' });
            if (column.action && value >= 0) cell.append(make('i', { style: `background:${actionColor(value)}` }));
            cell.append(column.show(value));
            return cell;
          }),
        );
        row.dataset.channel = channel;
        return row;
      }),
    );
    this.choose(this.report.channel);
  }

  by(name) {
    this.sorted = { name, down: this.sorted.name === name ? !this.sorted.down : name !== 'channel' };
    this.report.drawTable();
  }

  /** Missing values last, whichever way; among equals the lower channel first. */
  sort() {
    const { value } = this.columns.find((column) => column.name === this.sorted.name),
      way = this.sorted.down ? -1 : 1;
    const keyed = this.channels.map((channel) => [channel, value(channel)]);
    keyed.sort(([a, x], [b, y]) => Number.isNaN(x) - Number.isNaN(y) || way * (x - y) || a - b);
    this.channels = keyed.map(([channel]) => channel);
  }

  choose(channel) {
    this.body.querySelector('.chosen')?.classList.remove('chosen');
    this.body.querySelector(`[data-channel="${channel}"]`)?.classList.add('chosen');
  }

  /** The table as it stands: full numbers, units in the names. */
  csv() {
    const cell = (column, channel) => {
      const value = column.value(channel);
      return column.word ? column.show(value) : Number.isFinite(value) ? String(value) : '';
    };
    const rows = this.channels.map((channel) => this.columns.map((column) => cell(column, channel)).join(','));
    return [this.columns.map((column) => column.name).join(','), ...rows].join('\n') + '\n';
  }

  save() {
    const link = make('a', {
      href: URL.createObjectURL(new Blob([this.csv()], { type: 'text/csv' })),
      download: 'channels.csv',
    });
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
