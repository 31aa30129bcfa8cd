/* The distribution of gaps of the rows that the search wants. */

const MOST_BINS = 40;
const STEPS = [0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5];

/** A colour of the page, as it is in light or dark. */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** What all figures of plotly have in common. */
function layout(more) {
  const axis = { gridcolor: colour('line'), linecolor: colour('line'), zerolinecolor: colour('line'), automargin: true };
  return {
    font: { family: 'system-ui, sans-serif', size: 13, color: colour('ink') },
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    hoverlabel: { bgcolor: colour('raised'), bordercolor: colour('line'), font: { color: colour('ink') } },
    modebar: { bgcolor: 'rgba(0,0,0,0)', color: colour('faint'), activecolor: colour('accent') },
    ...more,
    xaxis: { ...axis, ...more.xaxis },
    yaxis: { ...axis, ...more.yaxis },
  };
}

const FIGURE = { displaylogo: false, responsive: true };

class Histogram {
  constructor(root, note, columns, { ranged }) {
    const named = (name) => columns.find((column) => column.name === name).values;
    Object.assign(this, { root, note, ranged, gaps: named('band_gap_ev'), direct: named('is_direct'), metals: named('is_metal'), rows: [] });
    const top = this.gaps.reduce((most, gap) => Math.max(most, gap ?? 0), 0);
    this.root.hidden = this.gaps.every((gap) => gap === null);
    this.step = STEPS.find((step) => top / step <= MOST_BINS) ?? top / MOST_BINS;
    this.n = Math.max(1, Math.ceil((top + 1e-9) / this.step));
  }

  /** Draw these rows; without plotly, say how many they are. */
  async show(rows) {
    this.rows = rows;
    let metals = 0;
    const counts = [new Array(this.n).fill(0), new Array(this.n).fill(0)];
    for (const row of rows) {
      if (this.gaps[row] === null) metals += 1;
      else counts[this.direct[row] ? 1 : 0][Math.min(this.n - 1, Math.floor(this.gaps[row] / this.step))] += 1;
    }
    const gapped = rows.length - metals;
    const highest = counts[0].reduce((most, count, bin) => Math.max(most, count + counts[1][bin]), 0);
    this.note.textContent = `${gapped} with a gap, ${metals} metals, which have none and are not drawn.`
      + (gapped ? ' Drag over the figure to search a range.' : '');
    if (this.root.hidden) return;
    const Plotly = await plotly();
    if (this.rows !== rows) return; // another search came first
    const centers = counts[0].map((_, bin) => (bin + 0.5) * this.step);
    const ranges = centers.map((center) => `${(center - this.step / 2).toFixed(2)} to ${(center + this.step / 2).toFixed(2)} eV`);
    const traces = ['indirect', 'direct'].map((name, index) => ({
      type: 'bar', name, x: centers, y: counts[index], customdata: ranges, width: this.step,
      marker: { color: colour(index ? 'conduction' : 'valence'), line: { width: 0.5, color: colour('ground') } },
      hovertemplate: `%{y} ${name}, %{customdata}<extra></extra>`,
    }));
    await Plotly.react(this.root, traces, layout({
      barmode: 'stack', bargap: 0, margin: { l: 50, r: 10, t: 24, b: 40 }, dragmode: 'select', selectdirection: 'h',
      legend: { x: 1, y: 1, xanchor: 'right', yanchor: 'bottom', orientation: 'h', bgcolor: 'rgba(0,0,0,0)' },
      xaxis: { title: { text: 'gap (eV)' }, range: [0, this.n * this.step], fixedrange: true },
      yaxis: { title: { text: 'crystals' }, fixedrange: true, rangemode: 'tozero', ...(highest < 5 ? { dtick: 1 } : {}) },
    }), { ...FIGURE, displayModeBar: false });
    if (this.listening) return;
    this.listening = true;
    this.root.on('plotly_selected', (event) => {
      if (event?.range) this.ranged(...event.range.x.map((end) => Math.max(0, end).toFixed(2)));
    });
  }
}
