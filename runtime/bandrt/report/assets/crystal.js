/* One crystal, large: its bands, its Brillouin zone, and all that the table says of it. */

class CrystalDialog {
  /**
   * @param columns of the table.
   * @param drawings what is drawn, by row.
   * @param order gives the rows in the order in which arrow keys go through them.
   */
  constructor(columns, drawings, order) {
    const named = (id) => document.getElementById(id);
    Object.assign(this, { columns, drawings, order, dialog: named('crystal'), structure: named('structure'), row: null });
    this.zone = new Zone(named('zone'));
    named('close').addEventListener('click', () => this.dialog.close());
    named('before').addEventListener('click', () => this.step(-1));
    named('after').addEventListener('click', () => this.step(1));
    this.dialog.addEventListener('click', (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener('keydown', (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1 };
      if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.step(steps[event.key]);
    });
  }

  value(name) {
    return this.columns.find((column) => column.name === name)?.values[this.row] ?? null;
  }

  open(row) {
    const from = document.activeElement;
    this.dialog.addEventListener('close', () => from?.isConnected && from.focus(), { once: true });
    this.dialog.showModal();
    this.show(row);
    document.getElementById('crystal-title').focus();
  }

  /** The rows that the arrow keys go through: of a crystal that is drawn, those that are drawn, too. */
  get others() {
    const rows = Array.from(this.order());
    return this.drawings.has(this.row) ? rows.filter((row) => this.drawings.has(row)) : rows;
  }

  step(by) {
    const others = this.others;
    const next = others[others.indexOf(this.row) + by];
    if (next !== undefined) this.show(next);
  }

  async show(row) {
    this.row = row;
    const drawing = this.drawings.get(row);
    const [others, gap, direct] = [this.others, this.value('band_gap_ev'), this.value('is_direct')];
    const place = others.indexOf(row);
    document.getElementById('before').disabled = place <= 0;
    document.getElementById('after').disabled = place < 0 || place === others.length - 1;
    const verdict = gap === null ? 'metal' : `${gap.toFixed(2)} eV ${direct ? 'direct' : 'indirect'} gap`;
    const symbol = drawing ? prettySymbol(drawing.symbol) : null;
    document.getElementById('crystal-title').textContent = [prettyFormula(this.value('formula')), symbol, verdict, this.value('id')]
      .filter(Boolean).join(' · ');
    this.facts();
    this.dialog.querySelector('.drawn').hidden = !drawing;
    const notice = document.getElementById('not-drawn');
    notice.hidden = Boolean(drawing);
    notice.textContent = `The bands of this crystal are not in this page. Draw them with: bandrt plot OUT ${this.value('id')}`;
    if (!drawing) return;
    this.zone.show(drawing, this.value('formula'));
    this.structure.setAttribute('aria-label', `Band structure of ${this.value('formula')}, ${verdict}`);
    await drawStructure(this.structure, drawing, (kpoint) => this.zone.mark(kpoint));
    this.structure.dataset.shown = this.value('id');
  }

  facts() {
    const facts = this.columns.map((column) => {
      const pair = document.createElement('div');
      pair.append(element('dt', column.title), element('dd', shown(column.values[this.row], column)));
      return pair;
    });
    document.getElementById('crystal-facts').replaceChildren(...facts);
  }

  /** Draw again, as in light or dark. */
  redraw() {
    if (this.dialog.open) this.show(this.row);
  }
}
