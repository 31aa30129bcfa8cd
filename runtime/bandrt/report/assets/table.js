/* A table of any length: only the rows in view are in the document. It sorts by its heads and goes by keys. */

const OVERSCAN = 6;
const MOST_PIXELS = 12e6; // browsers place nothing much further down; longer tables scroll in larger steps
const WIDEST = 46; // characters of a column
const OPENS = 5; // characters that the mark and the frame of a button take
const BAR = 20; // pixels of a scroll bar and a frame
const SAMPLED = 400; // rows that decide how wide a column is

/** A text of which numbers sort as numbers: mp-9 before mp-10. */
const natural = (text) => text.toLowerCase().replace(/\d+/g, (digits) => digits.padStart(12, '0'));

/** Numbers by which the values of a column sort; NaN: missing. */
function ranks(column) {
  const { values } = column;
  if (column.numeric || column.kind === 'truth') return Float64Array.from(values, (value) => (value === null ? NaN : Number(value)));
  const texts = values.map((value) => (value === null || value.length === 0 ? null : natural(column.kind === 'words' ? value.join(' ') : value)));
  const order = [...new Set(texts)].filter((text) => text !== null).sort((a, b) => (a < b ? -1 : 1));
  const places = new Map(order.map((text, place) => [text, place]));
  return Float64Array.from(texts, (text) => (text === null ? NaN : places.get(text)));
}

class VirtualTable {
  /**
   * @param root the scrolling element.
   * @param columns of the table.
   * @param options `opened(row)`, called for a row that is chosen; `isDrawn(row)`; `changed()`, called when the order changes.
   */
  constructor(root, columns, { opened = null, isDrawn = () => false, changed = () => {} } = {}) {
    Object.assign(this, { root, columns, opened, isDrawn, changed });
    this.total = columns[0].values.length;
    this.rows = Int32Array.from({ length: this.total }, (_, row) => row);
    this.sorting = { column: null, down: false };
    this.active = 0;
    this.build();
    root.addEventListener('scroll', () => this.soon(), { passive: true });
    new ResizeObserver(() => this.soon()).observe(root);
  }

  build() {
    const table = document.createElement('table');
    const group = document.createElement('colgroup');
    let width = 0;
    for (const column of this.columns) {
      const col = document.createElement('col');
      const letters = Math.min(WIDEST, this.letters(column)) + (group.childElementCount === 0 && this.opened ? OPENS : 0);
      col.style.width = `calc(${letters}ch + 22px)`;
      width += letters;
      group.append(col);
    }
    table.style.width = `max(100%, calc(${width}ch + ${22 * this.columns.length}px))`;
    table.setAttribute('aria-rowcount', this.total + 1);
    const head = document.createElement('thead');
    const row = document.createElement('tr');
    row.setAttribute('aria-rowindex', 1);
    for (const column of this.columns) {
      const th = element('th', '', column.numeric ? 'number' : '');
      th.scope = 'col';
      th.setAttribute('aria-sort', 'none');
      const button = element('button', column.title);
      button.type = 'button';
      button.title = `${column.name}: sort by it`;
      button.addEventListener('click', () => this.sortBy(column));
      th.append(button);
      row.append(th);
    }
    head.append(row);
    this.body = document.createElement('tbody');
    this.body.addEventListener('keydown', (event) => this.key(event));
    this.body.addEventListener('click', (event) => this.click(event));
    table.append(group, head, this.body);
    this.head = row;
    this.root.replaceChildren(table);
    this.height = row.getBoundingClientRect().height || 34;
    this.root.style.setProperty('--whole', `${(Math.max(1, this.total) + 1) * this.height + BAR}px`); // a short table needs no more
    this.render();
  }

  letters(column) {
    let most = column.title.length + 4;
    for (let row = 0; row < Math.min(this.total, SAMPLED); row++) most = Math.max(most, shown(column.values[row], column).length);
    return most;
  }

  /** Show these rows, sorted as before. */
  filter(rows) {
    this.rows = rows;
    this.active = 0;
    this.root.scrollTop = 0;
    this.sort();
  }

  /** Sort by a column: upwards, of one that does already downwards, and then as it was; `down` at once. */
  sortBy(column, down = false) {
    const same = this.sorting.column === column;
    this.sorting = same && this.sorting.down ? { column: null, down: false } : { column, down: down || same };
    this.columns.forEach((one, index) => {
      const state = one !== this.sorting.column ? 'none' : this.sorting.down ? 'descending' : 'ascending';
      this.head.children[index].setAttribute('aria-sort', state);
    });
    this.active = 0;
    this.root.scrollTop = 0;
    this.sort();
  }

  sort() {
    const { column, down } = this.sorting;
    if (column === null) this.rows.sort((a, b) => a - b);
    else {
      const rank = (column.ranks ??= ranks(column));
      this.rows.sort((a, b) => {
        const [x, y] = [rank[a], rank[b]];
        if (x === y) return a - b;
        if (x !== x) return y !== y ? a - b : 1; // what is missing comes last
        if (y !== y) return -1;
        return down ? y - x : x - y;
      });
    }
    this.render();
    this.changed();
  }

  soon() {
    this.waiting ??= requestAnimationFrame(() => {
      this.waiting = null;
      this.render();
    });
  }

  get inView() {
    return Math.ceil(this.root.clientHeight / this.height) || 20;
  }

  /** By how many rows the table is longer than what scrolls, and how far that scrolls. */
  get travel() {
    const most = Math.max(0, this.rows.length - this.inView + 2);
    return { most, pixels: Math.min(most * this.height, MOST_PIXELS) };
  }

  get first() {
    const { most, pixels } = this.travel;
    return pixels === 0 ? 0 : Math.min(most, Math.floor((this.root.scrollTop / pixels) * most));
  }

  render() {
    const hadFocus = this.body.contains(document.activeElement);
    const { most, pixels } = this.travel;
    const start = Math.max(0, this.first - OVERSCAN);
    const end = Math.min(this.rows.length, this.first + this.inView + OVERSCAN);
    this.stop = this.active >= start && this.active < end ? this.active : this.first; // the row that Tab leads to
    const shownRows = [];
    for (let place = start; place < end; place++) shownRows.push(this.row(place));
    const above = most === 0 ? 0 : Math.max(0, (this.first * pixels) / most - (this.first - start) * this.height);
    const all = pixels + (Math.min(this.rows.length, this.inView) * this.height);
    const below = Math.max(0, Math.min(all, this.rows.length * this.height) - above - (end - start) * this.height);
    this.body.replaceChildren(this.space(above), ...shownRows, this.space(below));
    if (hadFocus) (this.body.querySelector('[tabindex="0"]') ?? this.root).focus({ preventScroll: true });
  }

  space(pixels) {
    const row = element('tr', '', 'space');
    row.setAttribute('aria-hidden', 'true');
    const cell = document.createElement('td');
    cell.colSpan = this.columns.length;
    cell.style.height = `${pixels}px`;
    row.append(cell);
    return row;
  }

  row(place) {
    const row = this.rows[place];
    const tr = document.createElement('tr');
    tr.setAttribute('aria-rowindex', place + 2);
    tr.dataset.place = place;
    this.columns.forEach((column, index) => {
      const value = column.values[row];
      const text = shown(value, column);
      const td = element('td', '', [column.numeric ? 'number' : '', value === null ? 'none' : ''].filter(Boolean).join(' '));
      if (text.length > 12) td.title = text;
      if (index === 0 && this.opened) {
        const button = element('button', text, this.isDrawn(row) ? 'drawn' : '');
        button.type = 'button';
        button.tabIndex = place === this.stop ? 0 : -1;
        td.append(button);
      } else td.textContent = text;
      tr.append(td);
    });
    return tr;
  }

  click(event) {
    const button = event.target.closest('button');
    if (!button) return;
    this.active = Number(button.closest('tr').dataset.place);
    this.opened(this.rows[this.active]);
  }

  key(event) {
    const page = Math.max(1, this.inView - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.rows.length, End: this.rows.length };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const place = Number(event.target.closest('tr').dataset.place);
    this.goTo(Math.max(0, Math.min(this.rows.length - 1, place + steps[event.key])));
  }

  /** Make a row the one that keys start from, in view and focused. */
  goTo(place) {
    this.active = place;
    const { most, pixels } = this.travel;
    const fits = Math.max(1, this.inView - 3);
    const first = place < this.first + 1 ? place : place > this.first + fits ? place - fits : this.first;
    if (first !== this.first && most > 0) this.root.scrollTop = Math.ceil((Math.min(first, most) * pixels) / most);
    this.render();
    this.body.querySelector('[tabindex="0"]')?.focus({ preventScroll: true });
  }
}
