/* Puts the page together: the table first, then small figures, then the large ones. */

const SETTLED = 120; // milliseconds after the last key that a search begins

/** A search box, and what it finds, before a table. */
function searching(box, said, columns, table, found) {
  const search = new Search(columns);
  let waiting = 0;
  const look = () => {
    const { matches, problem, all } = search.parsed(box.value.trim());
    const rows = [];
    for (let row = 0; row < table.total; row++) if (all || matches(row)) rows.push(row);
    said.textContent = problem || (all ? `${table.total}` : `${rows.length} of ${table.total}`);
    box.setAttribute('aria-invalid', String(Boolean(problem)));
    table.filter(Int32Array.from(rows));
    found(table.rows);
  };
  box.addEventListener('input', () => {
    clearTimeout(waiting);
    waiting = setTimeout(look, SETTLED);
  });
  look();
}

/** The gallery: a button for each crystal that is drawn, in the order of the table; buttons are made as they come into view. */
class Gallery {
  constructor(root, note, columns, drawings, opened) {
    Object.assign(this, { root, note, drawings, buttons: new Map() });
    const value = (name, row) => columns.find((column) => column.name === name)?.values[row] ?? null;
    const seen = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        seen.unobserve(target);
        target.firstChild.replaceWith(thumbnail(drawings.get(Number(target.dataset.row))));
      }
    }, { root, rootMargin: '300px' });
    for (const row of drawings.keys()) {
      const item = document.createElement('li');
      const button = document.createElement('button');
      button.type = 'button';
      button.dataset.row = row;
      const [gap, p] = [value('band_gap_ev', row), value('p_match', row)];
      const verdict = gap === null ? 'metal' : `${gap.toFixed(2)} eV ${value('is_direct', row) ? 'direct' : 'indirect'}`;
      const lines = [verdict + (p === null ? '' : `, p ${p.toFixed(2)}`), value('id', row)];
      button.append(drawn('svg', {}), element('b', prettyFormula(value('formula', row))), ...lines.map((line) => element('span', line)));
      button.addEventListener('click', () => opened(row));
      item.append(button);
      this.buttons.set(row, item);
      seen.observe(button);
    }
  }

  show(rows) {
    const items = Array.from(rows).filter((row) => this.drawings.has(row)).map((row) => this.buttons.get(row));
    this.root.replaceChildren(...items);
    this.note.textContent = items.length < this.buttons.size ? `${items.length} of ${this.buttons.size} are found by the search.` : '';
  }
}

/** Note how far the page is, for whoever measures or waits. */
function reached(stage) {
  performance.mark(`bandrt-${stage}`);
  document.documentElement.dataset.reached = stage;
}

async function start() {
  const named = (id) => document.getElementById(id);
  const { columns, drawn: ids } = await unpackedValues('data-table');
  const rowOf = new Map(ids.map((id) => [id, -1]));
  columns[0].values.forEach((id, row) => rowOf.has(id) && rowOf.set(id, row));
  const drawings = new Map(ids.map((id) => [rowOf.get(id), null]));
  let [gallery, histogram, dialog] = [null, null, null];
  const table = new VirtualTable(named('crystals'), columns, {
    opened: (row) => dialog?.open(row),
    isDrawn: (row) => drawings.has(row),
    changed: () => gallery?.show(table.rows),
  });
  searching(named('search'), named('found'), columns, table, (rows) => histogram?.show(rows));
  const ranked = columns.find((column) => column.name === 'p_match');
  if (ranked) table.sortBy(ranked, true);
  reached('table');
  named('export').addEventListener('click', () => download(csv(columns, table.rows), 'crystals.csv'));
  for (const button of document.querySelectorAll('[data-search]')) {
    button.addEventListener('click', () => {
      const box = named(button.dataset.search);
      box.value = button.dataset.text;
      box.dispatchEvent(new Event('input'));
      (button.dataset.search === 'search' ? named('table') : named('failed')).scrollIntoView();
    });
  }
  await new Promise((shown) => setTimeout(shown)); // the table is there before the rest is made
  const values = await unpackedValues('data-drawings');
  ids.forEach((id, place) => drawings.set(rowOf.get(id), values[place]));
  dialog = new CrystalDialog(columns, drawings, () => table.rows);
  gallery = new Gallery(named('gallery'), named('gallery-said'), columns, drawings, (row) => dialog.open(row));
  gallery.show(table.rows);
  const { columns: failed } = await unpackedValues('data-failed');
  if (failed[0].values.length) {
    const failures = new VirtualTable(named('failed'), failed);
    searching(named('failed-search'), named('failed-found'), failed, failures, () => {});
    named('failed-export').addEventListener('click', () => download(csv(failed, failures.rows), 'failures.csv'));
  }
  reached('gallery');
  await new Promise((shown) => setTimeout(shown));
  histogram = new Histogram(named('histogram'), named('histogram-said'), columns, {
    ranged: (low, high) => {
      named('search').value = `band_gap_ev>=${low} band_gap_ev<=${high}`;
      named('search').dispatchEvent(new Event('input'));
    },
  });
  await histogram.show(table.rows);
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    histogram.show(table.rows);
    dialog.redraw();
  });
  reached('whole');
}

start().catch((error) => {
  const trouble = document.getElementById('trouble');
  trouble.hidden = false;
  trouble.textContent = `This page could not be opened (${error.message}). It needs a browser of 2023 or newer.`;
  throw error;
});
