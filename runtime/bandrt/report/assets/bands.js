/* Band structures: small, as one drawing of lines, and large, as a figure of plotly. */

const EV = 1e-4; // the unit of the energies that the page carries
const SMALL = { width: 160, height: 100, points: 14 }; // points that a line between two labels keeps, at least
const BUTTONS = ['toImage', 'zoom2d', 'pan2d', 'zoomIn2d', 'zoomOut2d', 'resetScale2d']; // none that leads out of the page
const LETTER = 8; // pixels of a letter of a label

/** The lowest and highest energy, eV. */
function extent(drawing) {
  let [low, high] = [Infinity, -Infinity];
  for (const band of drawing.energies) for (const energy of band) [low, high] = [Math.min(low, energy), Math.max(high, energy)];
  return [low * EV, high * EV];
}

/** A drawing for the gallery: bands and the level between filled and empty states. */
function thumbnail(drawing) {
  const svg = drawn('svg', { viewBox: `0 0 ${SMALL.width} ${SMALL.height}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  const [low, high] = extent(drawing);
  const along = SMALL.width / drawing.x.at(-1);
  const up = (SMALL.height - 6) / (high - low || 1);
  const y = (energy) => (SMALL.height - 3 - (energy - low) * up).toFixed(1);
  const style = { fill: 'none', 'stroke-width': 1.3, 'vector-effect': 'non-scaling-stroke' };
  svg.append(drawn('path', { ...style, class: 'level', d: `M0 ${y(drawing.efermi)}H${SMALL.width}`, 'stroke-width': 1 }));
  drawing.energies.forEach((band, index) => {
    const steps = drawing.branches.map(({ first, last }) => {
      const stride = Math.max(1, Math.floor((last - first) / SMALL.points));
      const points = [];
      for (let point = first; point < last; point += stride) points.push(point);
      return `M${[...points, last].map((point) => `${(drawing.x[point] * along).toFixed(1)} ${y(band[point] * EV)}`).join('L')}`;
    });
    svg.append(drawn('path', { ...style, class: index < drawing.n_valence ? 'valence' : 'conduction', d: steps.join('') }));
  });
  return svg;
}

/** Fractional coordinates of each point of a drawing. */
function fractional(drawing) {
  const places = new Array(drawing.x.length);
  for (const { first, last, k: [start, end] } of drawing.branches) {
    const length = drawing.x[last] - drawing.x[first] || 1;
    for (let point = first; point <= last; point++) {
      const part = (drawing.x[point] - drawing.x[first]) / length;
      places[point] = start.map((from, axis) => from + part * (end[axis] - from));
    }
  }
  return places;
}

/** What is said of each point of a drawing: its label, or between which two it lies. */
function placeNames(drawing) {
  const names = new Array(drawing.x.length);
  for (const { first, last, ends } of drawing.branches) {
    const [start, end] = ends.map(prettyLabel);
    for (let point = first; point <= last; point++) names[point] = point === first ? start : point === last ? end : `${start}–${end}`;
  }
  return names;
}

/** Names along an axis so many pixels wide; of two that would touch, the second stands a line lower. */
function tickTexts(ticks, pixels) {
  const scale = pixels / ticks.at(-1)[0];
  let lower = false;
  return ticks.map(([place, label], index) => {
    const text = prettyLabel(label);
    if (index > 0) {
      const room = (place - ticks[index - 1][0]) * scale;
      lower = !lower && room < (LETTER * (text.length + ticks[index - 1][1].length)) / 2 + LETTER;
    }
    return (lower ? '<br>' : '') + text;
  });
}

/** Draw a band structure large; `pointed(k)` is called with the fractional k-point under the pointer, or null. */
async function drawStructure(root, drawing, pointed) {
  const Plotly = await plotly();
  const [places, names] = [fractional(drawing), placeNames(drawing)];
  const told = places.map((k, point) => [names[point], k.map((one) => (Math.abs(one) < 5e-4 ? 0 : one).toFixed(3)).join(', '), k]);
  const gapped = (values) => drawing.branches.flatMap(({ first, last, joined }, index) => {
    const own = values.slice(first, last + 1);
    return index === 0 || joined ? own : [null, ...own]; // the pen is lifted where the path jumps
  });
  const [x, custom] = [gapped(drawing.x), gapped(told)];
  const traces = drawing.energies.map((band, index) => ({
    type: 'scatter', mode: 'lines', x, y: gapped(band.map((energy) => energy * EV)), customdata: custom, name: `band ${index + 1}`,
    line: { color: colour(index < drawing.n_valence ? 'valence' : 'conduction'), width: 2 },
    hovertemplate: '<b>%{customdata[0]}</b>  (%{customdata[1]})<br>%{y:.3f} eV<extra>%{fullData.name}</extra>',
  }));
  for (const edge of drawing.edges) {
    traces.push({
      type: 'scatter', mode: 'markers', x: edge.x, y: edge.x.map(() => edge.energy), name: edge.name,
      marker: { size: 10, color: colour(edge.name === 'VBM' ? 'valence' : 'conduction'), line: { width: 1.5, color: colour('ground') } },
      hovertemplate: `<b>${edge.name}</b><br>%{y:.3f} eV<extra></extra>`,
    });
  }
  const full = { xref: 'paper', x0: 0, x1: 1 };
  const shapes = [{ type: 'line', ...full, y0: drawing.efermi, y1: drawing.efermi, line: { color: colour('faint'), width: 1, dash: 'dash' } }];
  if (drawing.edges.length === 2) {
    const [low, high] = drawing.edges.map((edge) => edge.energy);
    shapes.push({ type: 'rect', ...full, y0: low, y1: high, fillcolor: colour('faint'), opacity: 0.12, line: { width: 0 }, layer: 'below' });
  }
  for (const { first, joined } of drawing.branches.slice(1)) {
    if (!joined) shapes.push({ type: 'line', yref: 'paper', y0: 0, y1: 1, x0: drawing.x[first], x1: drawing.x[first], line: { color: colour('ink'), width: 1.2 } });
  }
  const all = drawing.x.at(-1);
  await Plotly.react(root, traces, layout({
    showlegend: false, hovermode: 'closest', dragmode: 'zoom', shapes, margin: { l: 58, r: 12, t: 34, b: 46 },
    xaxis: { range: [0, all], tickvals: drawing.ticks.map(([place]) => place), ticktext: tickTexts(drawing.ticks, root.clientWidth - 70), tickangle: 0, zeroline: false },
    yaxis: { title: { text: 'energy (eV)' }, zeroline: false },
  }), { ...FIGURE, scrollZoom: true, modeBarButtons: [BUTTONS] });
  root.removeAllListeners('plotly_hover');
  root.removeAllListeners('plotly_unhover');
  root.on('plotly_hover', (event) => pointed(event.points[0].customdata?.[2] ?? null));
  root.on('plotly_unhover', () => pointed(null));
}
